"""Scoring by itself: files of texts, under any protocols, or a run folder that is there already."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from benchmark import aggregates, evaluate, matching, opening, predictions_in, provenance, slices
from benchmark.console import progress, say
from benchmark.contracts import Dataset, Metric, MetricContext
from benchmark.errors import UserError
from benchmark.matching import Row
from benchmark.predictions_in import Text, Texts
from benchmark.protocols import Protocol
from benchmark.schema import SECTIONS
from benchmark.slices import Slice
from benchmark.store import RunFolder, read_json


@dataclass(frozen=True)
class Order:
    """What is to be done with the texts, whatever they are scored against."""

    protocols: Sequence[str] = ("default",)
    section: str = ""
    """One of SECTIONS; empty for each protocol's own, or in two files for the texts as they are."""
    missing: str = "fail"
    """One of matching.POLICIES."""
    training_texts: Path | None = None
    context: MetricContext = field(default_factory=MetricContext)
    """`extra["folders"]` gives folders of hub ids."""
    extra: Sequence[str] = ()
    """Names of metrics beside those of the protocols."""


class _References(ABC):
    """What hypotheses are scored against, under any protocol."""

    def __init__(self, section: str):
        self._section = section

    known: Sequence[str] = ()
    """Ids that hypotheses may have without being scored."""
    slices: Sequence[Slice] = ()
    """Of the studies."""

    @abstractmethod
    def section(self, protocol: Protocol) -> str:
        """One of SECTIONS, or empty for texts as they are."""

    @abstractmethod
    def rows(self, protocol: Protocol) -> list[Row]:
        """Raises UserError where the protocol has none."""

    @abstractmethod
    def training_texts(self, protocol: Protocol) -> Sequence[str]:
        """Raises UserError where there are none."""

    def canonical(self, given: str) -> str:
        """The id that is meant."""
        return given


class _File(_References):
    """A file of references. A protocol's unit cannot be known, so a row is an id of the file."""

    def __init__(self, texts: Texts, section: str):
        super().__init__(section)
        self._texts = texts.by_id
        for study, of_id in texts.by_id.items():
            if len(of_id) > 1:
                where = of_id[1].where
                raise UserError(f"{where}: study {study} stands there twice. Keep one reference for each study.")

    def section(self, protocol: Protocol) -> str:
        return self._section

    def rows(self, protocol: Protocol) -> list[Row]:
        return [Row(study, study, (), self._expected(self._texts[study][0], protocol)) for study in sorted(self._texts)]

    def training_texts(self, protocol: Protocol) -> Sequence[str]:
        raise UserError(
            f"The protocol {protocol.name} has a vocabulary of training texts: name them with --training-texts, or "
            "score against a data set (--dataset)."
        )

    def _expected(self, text: Text, protocol: Protocol) -> str:
        if self._section and not text.in_one():
            return protocol.reference_text(self._section, text.findings or "", text.impression or "")
        return text.section(self._section, protocol.joined)


class _Split(_References):
    """A data set's split, or some of its studies."""

    def __init__(self, dataset: Dataset, selection: evaluate.Selection, section: str):
        super().__init__(section)
        self._dataset = dataset
        self._split = selection.split
        self._chosen = {study.study_id for study in selection.studies}
        self.slices = slices.slices(selection.studies, selection.references)
        self.known = [study.study_id for study in dataset.listed(selection.split)]

    def section(self, protocol: Protocol) -> str:
        return self._section or protocol.TARGET

    def rows(self, protocol: Protocol) -> list[Row]:
        rows, others = matching.dataset_rows(self._dataset, self._split, self.section(protocol), protocol)
        found = [row for row in rows if row.study_id in self._chosen]
        left_out = self._chosen.intersection(others)
        if left_out:
            say(f"{protocol.name}: {len(left_out)} studies left out, since its unit is: {protocol.UNIT}.")
        if not found:
            raise UserError(f"{protocol.name} scores nothing in this split: its unit is {protocol.UNIT}.")
        return found

    def training_texts(self, protocol: Protocol) -> Sequence[str]:
        if "train" not in self._dataset.splits:
            raise UserError(
                f"The protocol {protocol.name} has a vocabulary of training texts, and {self._dataset.name} has no "
                "training split here: name them with --training-texts."
            )
        rows, _ = matching.dataset_rows(self._dataset, "train", self.section(protocol), protocol)
        return [row.reference for row in rows]

    def canonical(self, given: str) -> str:
        return self._dataset.canonical_id(given)


def score_files(hypotheses: Path, references: Path, order: Order) -> dict[str, Any]:
    """Score one file of texts against another, matched by id in any order; plain lines are matched line by line.

    Returns `{"protocols": {name: scores}}`. Raises UserError where ids do not match and the policy is `fail`.
    """
    written, expected = predictions_in.read(hypotheses), predictions_in.read(references, references=True)
    if written.numbered != expected.numbered:
        without = written if written.numbered else expected
        raise UserError(f"{without.path} has no study ids, but the other file has. Give both ids, or neither.")
    return {"protocols": _refuse_nothing(_score(written, _File(expected, order.section), order))}


def score_against(hypotheses: Path, dataset: Dataset, split: str, order: Order) -> dict[str, Any]:
    """Score a file of texts against a data set's own references, matched by study or image id.

    Returns `{"protocols": {name: scores}}` and what data they are of. Raises UserError as `score_files` does.
    """
    written = predictions_in.read(hypotheses)
    if written.numbered:
        raise UserError(f"{hypotheses} has no study ids, so its texts cannot be matched with {dataset.name}.")
    return _against(written, dataset, evaluate.select(dataset, split, None), order)


def _against(written: Texts, dataset: Dataset, selection: evaluate.Selection, order: Order) -> dict[str, Any]:
    scored = _refuse_nothing(_score(written, _Split(dataset, selection, order.section), order))
    for of_protocol in scored.values():
        of_protocol |= aggregates.slices_to_leave(dataset.MAY_LEAVE, of_protocol["slices"])
    fingerprint = provenance.fingerprint(selection.studies, selection.references)
    return {"dataset": dataset.name, "split": selection.split, "fingerprint": fingerprint, "protocols": scored}


def _refuse_nothing(scored: dict[str, Any]) -> dict[str, Any]:
    """What protocols gave. Raises UserError where none gave anything."""
    refusals = [of_protocol["refused"] for of_protocol in scored.values()]
    if all(refusals):
        raise UserError(" ".join(refusals))
    return scored


def _score(hypotheses: Texts, references: _References, order: Order) -> dict[str, Any]:
    """By protocol, what it gave, or why it refused."""
    if order.section and order.section not in SECTIONS:
        raise UserError(f"--section takes {', '.join(SECTIONS)}, not '{order.section}'.")
    chosen = [_load(name, references, order) for name in dict.fromkeys(order.protocols)]
    for protocol in chosen:
        if order.section and order.section not in protocol.sections:
            say(f"{protocol.name}: scored on {order.section}, but its source scores {' or '.join(protocol.sections)}.")
    matched = [
        matching.match(hypotheses, references.rows(protocol), references.known, references.canonical, order.missing)
        for protocol in chosen
    ]
    # All made before any is used: metrics that live at a time share Java and the encoder.
    metrics = [protocol.metrics(order.context) for protocol in chosen]
    return {
        protocol.name: {
            "section": references.section(protocol),
            **_scored(protocol, pairs, references, order, its),
        }
        for protocol, pairs, its in zip(chosen, matched, metrics, strict=True)
    }


def _load(name: str, references: _References, order: Order) -> Protocol:
    """The protocol, with its vocabulary where it has one."""
    from benchmark import protocols

    protocol = protocols.load(name, order.context.extra.get("folders"))
    if not protocol.NEEDS_TRAINING_TEXTS:
        return protocol
    if order.training_texts is None:
        return protocol.fitted(references.training_texts(protocol))
    texts = predictions_in.read(order.training_texts, references=True).by_id.values()
    section = references.section(protocol)
    return protocol.fitted([text.section(section, protocol.joined) for of_id in texts for text in of_id])


def _written(text: Text | None, section: str, protocol: Protocol) -> str:
    """The text that is scored."""
    if text is None:
        return ""
    # A whole report that a protocol joins with headings keeps its own.
    whole = section == "report" and text.text is not None and protocol.KEEPS_HEADINGS
    return text.section("" if whole else section, protocol.joined)


def _scored(
    protocol: Protocol, pairs: matching.Pairs, references: _References, order: Order, metrics: Sequence[Metric]
) -> dict[str, Any]:
    from benchmark import score

    section = references.section(protocol)
    further = score.extra_metrics(order.context, order.extra, metrics)
    with progress(f"{protocol.name}: scoring", len(metrics) + len(further)) as advance:
        scored = score.score_pairs(
            [row.study_id for row in pairs.rows],
            [row.patient_id for row in pairs.rows],
            [_written(text, section, protocol) for text in pairs.texts],
            [row.reference for row in pairs.rows],
            protocol=protocol,
            metrics=metrics,
            extra=further,
            slices=references.slices,
            progress=advance,
        )
    return {"policy": pairs.counts(order.missing), "refused": scored.refused, **scored.to_dict()}


def open_run(folder: Path, root: Path | None, reports_root: Path | None, results: Path) -> tuple[RunFolder, Dataset]:
    """A run folder with the data set that it names. Raises UserError where the folder is no run's."""
    run_folder = RunFolder(folder)
    if not run_folder.record.exists():
        raise UserError(f"{folder} is no run folder: it has no run.json.")
    run = read_json(run_folder.record)
    if lacking := sorted({"dataset_plugin", "root", "reports_root", "data_options"} - run.keys()):
        raise UserError(f"{run_folder.record} is no record of a run: it has no {', '.join(lacking)}. Evaluate again.")
    dataset = opening.open_dataset(
        run["dataset_plugin"],
        root or Path(run["root"]),
        reports_root or (Path(run["reports_root"]) if run["reports_root"] else None),
        results,
        run["data_options"],
    )
    return run_folder, dataset


def score_folder(
    run_folder: RunFolder, dataset: Dataset, results: Path, context: MetricContext, extra: Sequence[str] = ()
) -> dict[str, Any]:
    """Score a run folder anew under the default protocol, all sections, and keep the scores in it.

    `extra` names further metrics. Returns the content of `scores.json`. Raises UserError where the data set is not what
    the run was generated for.
    """
    return evaluate.score_run(run_folder, run_selection(run_folder, dataset), results, context, extra=extra)


def score_run_under(run_folder: RunFolder, dataset: Dataset, order: Order) -> dict[str, Any]:
    """Score a run's predictions under protocols as those of a file, and write nothing into the folder.

    Raises UserError as `score_folder` and `score_against` do.
    """
    written, selection = predictions_in.read(run_folder.predictions), run_selection(run_folder, dataset)
    return _against(written, dataset, selection, order)


def keep_protocols(
    run_folder: RunFolder, dataset: Dataset, results: Path, order: Order
) -> tuple[dict[str, Any], list[str]]:
    """Score a scored run under the order's protocols too, and keep the numbers beside its others and in its aggregate.

    Each protocol but the default one, whose scores a run has, scores its `sections`, as far as the run has them, or the
    order's section alone. Kept are corpus values with intervals and signatures, no slices. Returns the content of
    `scores.json`, and why protocols refused.

    Raises UserError where the run's predictions are not scored as they are now, and as `score_run_under` does.
    """
    from benchmark import protocols

    written, selection = predictions_in.read(run_folder.predictions), run_selection(run_folder, dataset)
    kept: dict[str, dict[str, Any]] = {}
    refused = []
    in_run = read_json(run_folder.record).get("sections", SECTIONS)
    for name in dict.fromkeys(order.protocols):
        wanted = [order.section] if order.section else protocols.load(name).sections
        for section in [each for each in wanted if each in in_run and name != "default"]:
            one = replace(order, protocols=[name], section=section)
            scored = _score(written, _Split(dataset, selection, section), one)[name]
            if scored["refused"]:
                refused.append(scored["refused"])
            else:
                kept.setdefault(name, {})[section] = aggregates.compact(scored)
    return evaluate.add_protocols(run_folder, kept, results), list(dict.fromkeys(refused))


def run_selection(run_folder: RunFolder, dataset: Dataset) -> evaluate.Selection:
    """The studies of a run. Raises UserError where the data set holds others now."""
    run: Mapping[str, Any] = read_json(run_folder.record)
    selection = evaluate.select(dataset, run["split"], run["n"] if run["limited"] else None)
    if run.get("n_skipped"):
        selection = selection.only(run_folder.read().keys())
    if provenance.fingerprint(selection.studies, selection.references) != run["fingerprint"]:
        raise UserError(
            f"{dataset.root} holds other data than {run_folder.path} was generated for. Run `bench eval` again."
        )
    return selection
