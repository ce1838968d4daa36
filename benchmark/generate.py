"""Data set and model to predictions: fixed batches, appended one by one, resumable."""

from __future__ import annotations

import contextlib
import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmark import licence, memory, processes, provenance
from benchmark.console import Advance, say
from benchmark.contracts import Dataset, Model, OnText
from benchmark.errors import UserError
from benchmark.schema import GenerationSettings, Prediction, Report, Study, View, to_dict
from benchmark.sections import split_output
from benchmark.store import RunFolder, exclusive, read_json, write_json

CONTROLS = ("", "shuffle", "blank")
"""What the model is shown: its own images, those of another study, or black ones."""


@dataclass(frozen=True)
class RunPlan:
    """All that identifies a run; its hash is the run's id. No time and no host is part of it."""

    model: str
    preset: str
    checkpoint: str
    """Hash of the checkpoint."""
    dataset: str
    split: str
    fingerprint: str
    """Of the studies, references and views (see provenance.fingerprint)."""
    settings: GenerationSettings
    seed: int
    control: str = ""
    images: str = ""
    """Fingerprint of the image files, so that a mended or another copy is another run; empty for text baselines."""

    @property
    def run_id(self) -> str:
        return provenance.digest(to_dict(self))[:12]

    def folder(self, results: Path) -> RunFolder:
        return RunFolder(results / "runs" / self.dataset / self.split / self.model / self.run_id)


def study_seed(seed: int, study_id: str) -> int:
    """A study's own randomness: 63 bits that depend on the seed and the study alone."""
    return int.from_bytes(hashlib.sha256(f"{seed}:{study_id}".encode()).digest()[:8], "big") >> 1


def batches(studies: Sequence[Study], size: int) -> Iterator[Sequence[Study]]:
    for begin in range(0, len(studies), size):
        yield studies[begin : begin + size]


def apply_control(studies: Sequence[Study], control: str, folder: Path) -> list[Study]:
    """The studies as the model is shown them.

    `shuffle` gives every study the images of another one, and of another patient unless one has more than half of the
    studies. `blank` shows a black image, which is written into `folder`.
    """
    if control == "shuffle":
        if len(studies) < 2:
            raise UserError("Images can be shuffled among at least two studies; this selection has fewer.")
        donors = _donors(studies)
        return [replace(study, views=donors[study.study_id].views) for study in studies]
    if control == "blank":
        from PIL import Image

        black = folder / "blank.png"
        processes.by_first(lambda: Image.new("L", (256, 256)).save(black))
        return [replace(study, views=(View(black, study.views[0].position, "blank"),)) for study in studies]
    return list(studies)


def _donors(studies: Sequence[Study]) -> dict[str, Study]:
    """By study, another one: in a hash order with a patient's studies side by side, as many places on as the patient
    with the most has studies.
    """
    patients: dict[str, list[Study]] = {}
    for study in sorted(studies, key=lambda study: study_seed(0, study.study_id)):
        patients.setdefault(study.patient_id, []).append(study)
    order = [study for of_patient in patients.values() for study in of_patient]
    step = min(max(map(len, patients.values())), len(order) - 1)
    return {study.study_id: donor for study, donor in zip(order, order[step:] + order[:step], strict=True)}


def write_predictions(
    model: Model,
    studies: Sequence[Study],
    folder: RunFolder,
    settings: GenerationSettings,
    seed: int,
    advance: Advance = lambda steps: None,
) -> None:
    """Append what is missing to the folder's predictions, in the order of the studies.

    A batch of which some predictions are there already is computed whole, so that every study sees the same batch as
    in an undisturbed run; only what is missing is written. A study that had an error is tried again: what was wrong,
    such as a missing decoder, may have been mended. Several processes take turns at the batches, each with a file of
    its own, and the first puts them together. The first holds the folder (`store.exclusive`).
    """
    order = [study.study_id for study in studies]
    failed = processes.by_first(lambda: {study: bool(p.error) for study, p in folder.join(order).items()})
    done = {study for study, error in failed.items() if not error}
    if len(done) < len(failed):
        say(f"Tried again, since they had an error before: {len(failed) - len(done)} studies.")
    apart = processes.count() > 1 or len(done) < len(failed)
    part = folder.part(processes.rank()) if apart else folder
    for number, batch in enumerate(batches(studies, settings.batch_size)):
        missing = [study.study_id not in done for study in batch]
        if any(missing) and number % processes.count() == processes.rank():
            predictions = predict(model, batch, settings, seed)
            part.append(p for p, wanted in zip(predictions, missing, strict=True) if wanted)
        advance(len(batch))
    processes.wait()
    processes.by_first(lambda: folder.join(order))


def predict(model: Model, batch: Sequence[Study], settings: GenerationSettings, seed: int) -> list[Prediction]:
    """Predictions for one batch, split into sections.

    Raises UserError for a prompt or a precision that the model does not take, and where it does not give what
    `Model.generate` promises.
    """
    _check(model, settings)
    began = time.perf_counter()
    reports = list(model.generate(batch, settings, [study_seed(seed, study.study_id) for study in batch]))
    if len(reports) != len(batch) or not all(isinstance(report, Report) for report in reports):
        gave = f"{len(reports)} of {', '.join(sorted({type(report).__name__ for report in reports}))}"
        raise UserError(
            f"{type(model).__module__}: generate gave {gave} for {len(batch)} studies, not a Report for each."
        )
    seconds = (time.perf_counter() - began) / len(batch)
    return [_prediction(study, report, seconds) for study, report in zip(batch, reports, strict=True)]


def stream(model: Model, study: Study, settings: GenerationSettings, seed: int, on_text: OnText) -> Prediction:
    """As `predict` for one study; `on_text` is told the text as it grows (`Model.stream`)."""
    _check(model, settings)
    began = time.perf_counter()
    report = model.stream(study, settings, study_seed(seed, study.study_id), on_text)
    return _prediction(study, report, time.perf_counter() - began)


def _check(model: Model, settings: GenerationSettings) -> None:
    if settings.prompt and not model.TAKES_PROMPT:
        raise UserError("This model takes no prompt: its reports cannot begin with given words.")
    if settings.precision not in model.PRECISIONS:
        offered = " and ".join(model.PRECISIONS)
        raise UserError(f"This model writes in {offered}, not in {settings.precision}: choose with --precision.")


def _prediction(study: Study, report: Report, seconds: float) -> Prediction:
    findings, impression = split_output(report.text)
    return Prediction(
        study.study_id,
        report.text,
        findings,
        impression,
        report.error,
        round(seconds, 4),
        report.n_tokens,
        report.truncated,
        report.unread,
    )


def run(
    plan: RunPlan,
    dataset: Dataset,
    studies: Sequence[Study],
    load: Callable[[], Model],
    results: Path,
    facts: dict[str, Any],
    progress: Any,
) -> RunFolder:
    """Write a run folder: `run.json` and one prediction a study. A complete one without errors is left as it is.

    `load` is called only where something is left to do; `facts` are added to the record.
    """
    folder = plan.folder(results)
    licence.keep_out_of_git(dataset, frozenset({"texts", "values"}), folder.path)
    with exclusive(folder.path, "evaluating") if processes.first() else contextlib.nullcontext():
        if processes.by_first(lambda: _is_complete(folder, studies)):
            return folder
        record = {
            "status": "running",
            "run_id": plan.run_id,
            **to_dict(plan),
            "dataset_version": dataset.VERSION,
            "may_leave": sorted(dataset.MAY_LEAVE),
            "n": len(studies),
            **facts,
            "code": provenance.code_identity(),
        }
        processes.by_first(lambda: write_json(folder.record, record))
        alone = memory.first_work()
        began = time.perf_counter()
        model = load()
        loaded = time.perf_counter()
        shown = apply_control(studies, plan.control, folder.path)
        with progress(f"{plan.model}: writing reports", len(shown)) as advance:
            write_predictions(model, shown, folder, plan.settings, plan.seed, advance)
        predictions = folder.read().values()
        record |= {
            "status": "complete",
            "date": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "card": {**model.card(), "precision": plan.settings.precision},
            "hardware": provenance.hardware(),
            "processes": processes.count(),
            "seconds": {"load": round(loaded - began, 3), "generate": round(sum(p.seconds for p in predictions), 3)},
            "peak_memory_mb": provenance.peak_memory_mb() if alone else None,
            "n_errors": sum(bool(p.error) for p in predictions),
            "n_unread_views": sum(len(p.unread) for p in predictions),
            "n_truncated": sum(p.truncated for p in predictions),
        }
        processes.by_first(lambda: write_json(folder.record, record))
    return folder


def _is_complete(folder: RunFolder, studies: Sequence[Study]) -> bool:
    if not folder.record.exists() or read_json(folder.record)["status"] != "complete":
        return False
    done = {study_id for study_id, prediction in folder.read().items() if not prediction.error}
    return done == {study.study_id for study in studies}
