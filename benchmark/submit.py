"""Reports that another program wrote, as a run with a card: scored, compared and shown like those written here."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmark import evaluate, licence, matching, predictions_in, protocols, provenance, registry
from benchmark.contracts import Dataset
from benchmark.errors import UserError, unknown
from benchmark.evaluate import Selection
from benchmark.novelty import FILE as TRAINING_TEXTS
from benchmark.novelty import TrainingTexts
from benchmark.predictions_in import Text
from benchmark.schema import SECTIONS, Prediction
from benchmark.sections import join_output, split_output
from benchmark.store import RunFolder, exclusive, read_json, write_json

CHECKPOINT = "submitted"
"""Stands where a run written here names its checkpoint, so that a later submission takes the place of an earlier."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,63}")


@dataclass(frozen=True)
class Card:
    """What a submission declares; None and empty where it does not say."""

    paper: str = ""
    url: str = ""
    views: int | None = None
    """How many images of a study the system reads."""
    uses: Sequence[str] = ()
    """What else it is given: `indication`, `comparison`, `prior`, …"""
    trained_on: str = ""
    parameters: int | None = None
    seconds_per_report: float | None = None
    peak_memory_mb: float | None = None
    note: str = ""

    @classmethod
    def read(cls, path: Path | None, given: Mapping[str, Any]) -> Card:
        """Of a JSON file, and of `given` what is not None in its place.

        Raises UserError for a file that cannot be read, an unknown field, or a value of another kind.
        """
        if path is not None and not path.is_file():
            raise UserError(f"No such file: {path}.")
        found = {key: value for key, value in (read_json(path) if path else {}).items() if key != "schema"}
        found |= {key: value for key, value in given.items() if value is not None}
        for key, value in found.items():
            if key not in cls.__dataclass_fields__:
                raise unknown("field of the card", key, cls.__dataclass_fields__)
            words, fits = _KINDS[key]
            if not fits(value):
                raise UserError(f"{key} of the card must be {words}, not {value!r}.")
        return cls(**found)


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < float("inf")


def _count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


_TEXT = "a text", lambda value: isinstance(value, str)
_KINDS: Mapping[str, Any] = {
    **dict.fromkeys(("paper", "url", "trained_on", "note"), _TEXT),
    **dict.fromkeys(("views", "parameters"), ("a whole number", _count)),
    **dict.fromkeys(("seconds_per_report", "peak_memory_mb"), ("a number", _number)),
    "uses": (
        "a list of texts",
        lambda value: isinstance(value, list | tuple) and all(isinstance(each, str) for each in value),
    ),
}


@dataclass(frozen=True)
class Submission:
    """What is handed in."""

    path: Path
    """Any form that `predictions_in` reads."""
    name: str
    """Of the system, as it stands on the leaderboard."""
    section: str = ""
    """What texts without headings are, one of SECTIONS; empty where the file divides them itself."""
    missing: str = "fail"
    """One of matching.POLICIES. Under `skip` the row is shown and not ranked."""
    card: Card = field(default_factory=Card)


def submit(submission: Submission, dataset: Dataset, split: str, results: Path) -> tuple[RunFolder, Selection]:
    """A complete run folder of a submission, to be scored with `evaluate.score_run` on the studies returned.

    The same texts again give the same folder, with the card as it is now. Raises UserError for a name that is taken or
    cannot be one, and for texts that cannot be matched with the split's studies.
    """
    _check_name(submission.name)
    if submission.section and submission.section not in SECTIONS:
        raise UserError(f"--section takes {', '.join(SECTIONS)}, not '{submission.section}'.")
    texts = predictions_in.read(submission.path)
    if texts.numbered:
        raise UserError(f"{submission.path} has no study ids, so its texts cannot be matched with {dataset.name}.")
    selection = evaluate.select(dataset, split, None)
    protocol = protocols.load("default")
    rows, _ = matching.dataset_rows(dataset, selection.split, protocol.TARGET, protocol)
    known = [study.study_id for study in dataset.listed(selection.split)]
    pairs = matching.match(texts, rows, known, dataset.canonical_id, submission.missing)
    predictions = [
        _prediction(row.study_id, text, submission.section) for row, text in zip(pairs.rows, pairs.texts, strict=True)
    ]
    sections = [submission.section] if submission.section else _sections(submission.path, pairs.texts, predictions)
    n_skipped = len(rows) - len(pairs.rows)
    if n_skipped:
        selection = selection.only({row.study_id for row in pairs.rows})

    identity = {
        "model": submission.name,
        "preset": "",
        "checkpoint": provenance.digest([asdict(prediction) for prediction in predictions]),
        "dataset": dataset.name,
        "split": selection.short,
        "fingerprint": provenance.fingerprint(selection.studies, selection.references),
        "settings": {},
        "seed": 0,
        "control": "",
        "images": "",
        "sections": sections,
    }
    run_id = provenance.digest(identity)[:12]
    folder = RunFolder(results / "runs" / dataset.name / selection.short / submission.name / run_id)
    licence.keep_out_of_git(dataset, frozenset({"texts", "values"}), folder.path)
    card, n = submission.card, len(predictions)
    seconds = None if card.seconds_per_report is None else card.seconds_per_report * n
    record = {
        "status": "complete",
        "run_id": run_id,
        **identity,
        **evaluate.data_facts(dataset, selection),
        "limited": False,
        "n": n,
        "n_skipped": n_skipped,
        "note": card.note,
        "given": {"views": card.views, "uses": list(card.uses)},
        "checkpoint_name": CHECKPOINT,
        "checkpoint_path": str(folder.path),
        "trained_on": {"declared": card.trained_on},
        "history": [],
        "code": provenance.code_identity(),
        "date": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "card": asdict(card),
        "hardware": {},
        "seconds": {"load": None, "generate": seconds},
        "peak_memory_mb": card.peak_memory_mb,
        "n_errors": sum(bool(prediction.error) for prediction in predictions),
        "n_truncated": 0,
        "submitted": pairs.counts(submission.missing),
    }
    with exclusive(folder.path, "submitting"):
        folder.predictions.unlink(missing_ok=True)
        folder.append(predictions)
        _keep_training_texts(dataset, selection, folder.path)
        write_json(folder.record, record)
    return folder, selection


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise UserError(
            f"--name takes letters, digits and . _ + - (at most 64, a letter or digit first), not '{name}'."
        )
    if name.casefold() in {known.casefold() for known in registry.MODELS.names()}:
        raise UserError(
            f"'{name}' is a model of this benchmark, whose rows are written here. Choose another --name, such as "
            f"{name}-elsewhere."
        )


def _prediction(study_id: str, text: Text | None, section: str) -> Prediction:
    """What stands in the file for a study, as a run has it."""
    if text is None:
        return Prediction(study_id, "", "", "", error="not just one report in the file")
    if section:
        written = text.section(section, lambda findings, impression: " ".join(filter(None, (findings, impression))))
        findings, impression = ("", written) if section == "impression" else (written, "")
        return Prediction(study_id, written, findings, impression)
    if text.in_one():
        whole = text.section("", join_output)
        return Prediction(study_id, whole, *split_output(whole))
    findings, impression = text.findings or "", text.impression or ""
    return Prediction(study_id, join_output(findings, impression), findings, impression)


def _sections(path: Path, texts: Collection[Text | None], predictions: Sequence[Prediction]) -> list[str]:
    """The sections that a file holds; all of them where every report is empty.

    Raises UserError where nothing in it says which section its texts are.
    """
    written = [(p, text) for p, text in zip(predictions, texts, strict=True) if text and p.text.strip()]
    if written and all(text.in_one() and p.findings == p.text.strip() for p, text in written):
        raise UserError(
            f"Nothing in {path} says which section its texts are: say --section {', '.join(SECTIONS[:-1])} or "
            f"{SECTIONS[-1]}, or give findings and impression in fields of their own."
        )
    there = {name: any(p.section(name).strip() for p, _ in written) for name in SECTIONS[:2]}
    return [name for name, any_text in there.items() if any_text] if sum(there.values()) == 1 else list(SECTIONS)


def _keep_training_texts(dataset: Dataset, selection: Selection, folder: Path) -> None:
    """Hashes of the data set's training texts, by which copies are told, where it has them."""
    if "train" in dataset.splits and selection.split != "train" and not (folder / TRAINING_TEXTS).exists():
        references = dataset.references("train")
        if references:
            TrainingTexts.of(references).save(folder)
