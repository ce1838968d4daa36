"""Hypotheses to the rows that they answer, under a stated policy for ids that do not match."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from benchmark.contracts import Dataset
from benchmark.errors import UserError
from benchmark.predictions_in import Text, Texts
from benchmark.protocols import Protocol

POLICIES = ("fail", "zero", "skip")
"""What becomes of a row that has no hypothesis, or several: an error, an empty report, or it is left out."""


@dataclass(frozen=True)
class Row:
    """What one hypothesis is scored against."""

    study_id: str
    patient_id: str
    images: tuple[str, ...]
    """Ids of the images that it stands for: hypotheses may be named by these."""
    reference: str


@dataclass(frozen=True)
class Pairs:
    """Rows with their hypotheses, in one order."""

    rows: Sequence[Row]
    texts: Sequence[Text | None]
    """What stands in the file for each row; None for an empty report in its place."""
    missing: Sequence[str]
    """Studies without a hypothesis; under `zero` they have none, under `skip` they are not among the rows."""
    several: Sequence[str]
    """Likewise, studies with more than one hypothesis."""
    unknown: Sequence[str]
    """Ids of the file that no row has; their texts are not scored."""

    def counts(self, policy: str) -> dict[str, str | int]:
        return {
            "missing": policy,
            "n_missing": len(self.missing),
            "n_several": len(self.several),
            "n_unknown": len(self.unknown),
        }


def dataset_rows(dataset: Dataset, split: str, section: str, protocol: Protocol) -> tuple[list[Row], list[str]]:
    """The rows of a split under a protocol's unit, and the studies that its unit leaves out."""
    images = {study.study_id: tuple(view.image_id for view in study.views) for study in dataset.listed(split)}
    rows, left_out = [], []
    for reference in dataset.references(split):
        study, ids = reference.study_id, images[reference.study_id]
        n = protocol.rows(len(ids))
        text = protocol.reference_text(section, reference.findings, reference.impression)
        if not n:
            left_out.append(study)
        elif n == 1:
            rows.append(Row(study, reference.patient_id, ids, text))
        else:
            rows += [Row(study, reference.patient_id, (image,), text) for image in ids]
    return rows, left_out


def match(
    texts: Texts,
    rows: Sequence[Row],
    known: Sequence[str],
    canonical: Callable[[str], str],
    policy: str,
) -> Pairs:
    """The hypothesis of each row: that of its one image, else of its study, else the only one of its images.

    `known` are further ids that may stand in the file and are not scored (studies of the split without a reference),
    `canonical` gives the study_id that a spelling means. Raises UserError where the policy is `fail` and a row has no
    or several hypotheses, or an id is unknown; and for an unknown policy.
    """
    if policy not in POLICIES:
        raise UserError(f"--missing takes {', '.join(POLICIES)}, not '{policy}'.")
    given, unknown = _by_id(texts, {row.study_id for row in rows} | set(known), rows, canonical)
    kept: list[Row] = []
    kept_texts: list[Text | None] = []
    missing: dict[str, None] = {}
    several: dict[str, None] = {}
    for row in rows:
        found = _of(row, given)
        if len(found) != 1:
            (several if found else missing)[row.study_id] = None
            if policy == "skip":
                continue
        kept.append(row)
        kept_texts.append(found[0] if len(found) == 1 else None)
    if policy == "fail":
        _refuse(texts, list(missing), list(several), unknown, given)
    if not kept:
        raise UserError(f"{texts.path} has a hypothesis for none of the {len(rows)} studies.")
    return Pairs(kept, kept_texts, list(missing), list(several), unknown)


def _by_id(
    texts: Texts, studies: set[str], rows: Sequence[Row], canonical: Callable[[str], str]
) -> tuple[Mapping[str, list[Text]], list[str]]:
    """The texts by study or image id, and the ids that are neither."""
    ids = studies | {image for row in rows for image in row.images if image}
    found: dict[str, list[Text]] = {}
    unknown = []
    for given, written in texts.by_id.items():
        name = given if given in ids else canonical(given)
        if name in ids:
            found.setdefault(name, []).extend(written)
        else:
            unknown.append(given)
    return found, unknown


def _of(row: Row, given: Mapping[str, list[Text]]) -> list[Text]:
    if len(row.images) == 1 and row.images[0] in given:
        return given[row.images[0]]
    of_images = [text for image in row.images if image != row.study_id for text in given.get(image, [])]
    return [*given.get(row.study_id, []), *of_images]


def _refuse(
    texts: Texts,
    missing: Sequence[str],
    several: Sequence[str],
    unknown: Sequence[str],
    given: Mapping[str, list[Text]],
) -> None:
    policy = "--missing zero takes an empty report for such a study, --missing skip leaves it out"
    if several:
        places = ", ".join(text.where.rpartition(", ")[2] for text in given.get(min(several), []))
        raise UserError(
            f"{texts.path}: {len(several)} studies stand there twice or more, such as {min(several)}"
            f"{f' ({places})' if places else ''}. Give one report a study; {policy}."
        )
    if missing:
        raise UserError(
            f"{len(missing)} studies have no hypothesis in {texts.path}, such as {min(missing)}. A report that could "
            f'not be made is a line with "text": ""; {policy}.'
        )
    if unknown:
        raise UserError(
            f"{texts.path}: {len(unknown)} studies have no reference, such as {min(unknown)}. Look whether the data "
            "set and the split are the right ones; with --missing zero or skip such texts are counted and not scored."
        )
