"""What of a scored run may leave the machine: its aggregate, which the leaderboards are made from."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmark import licence, packing, provenance
from benchmark.console import say
from benchmark.errors import UserError
from benchmark.novelty import TrainingTexts
from benchmark.schema import Prediction, Reference
from benchmark.store import read_json, write_json


def write(run: Mapping[str, Any], scores: Mapping[str, Any], results: Path) -> None:
    """Write a run's aggregate to `results/scores/<board>/`, less what must not leave because it is of few patients."""
    kept_back = licence.suppressed(run["may_leave"], scores["sections"])
    for section in kept_back:
        say(f"{section}: fewer than {licence.MIN_PATIENTS} patients, so its scores stay in the run folder.")
    sections = {
        name: _in_file(scored | _slices(run, scored))
        for name, scored in scores["sections"].items()
        if name not in kept_back
    }
    if sections:
        under = {name: _to_leave(run, name, found) for name, found in scores.get("protocols", {}).items()}
        shown = {**scores, "sections": sections, "protocols": {name: found for name, found in under.items() if found}}
        content = aggregate(run, shown) | {"suppressed": kept_back}
        folder, name = f"{run['dataset']}-{run['split']}", f"{run['model']}-{run['run_id']}"
        write_json(results / "scores" / folder / f"{name}.json", content, dense=True)


def read(path: Path) -> dict[str, Any]:
    """An aggregate. Raises UserError for a file that is none."""
    entry = read_json(path)
    if "sections" not in entry or "run_id" not in entry:
        raise UserError(f"{path} holds no aggregated scores. Remove it, or run `bench eval` again.")
    for scored in entry["sections"].values():
        if "packed_slices" in scored:
            scored["slices"] = packing.unpack(scored.pop("packed_slices"))
    return entry


def _in_file(scored: Mapping[str, Any]) -> dict[str, Any]:
    rest = {key: value for key, value in scored.items() if key != "slices"}
    return {**rest, "packed_slices": packing.pack(scored["slices"])}


def _slices(run: Mapping[str, Any], scored: Mapping[str, Any]) -> dict[str, Any]:
    """A control is there for its distance from the run, which is told of all studies: its slices stay here."""
    return slices_to_leave(run["may_leave"], {} if run["control"] else scored["slices"])


def _to_leave(run: Mapping[str, Any], protocol: str, sections: Mapping[str, Any]) -> dict[str, Any]:
    """The sections of a protocol that may leave the machine."""
    kept_back = licence.suppressed(run["may_leave"], sections)
    for section in kept_back:
        say(f"{protocol}, {section}: fewer than {licence.MIN_PATIENTS} patients, so its scores stay in the run folder.")
    return {name: scored for name, scored in sections.items() if name not in kept_back}


def compact(scored: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a section without its slices, and without what the signatures say already."""
    keys = "n n_patients n_unscored n_empty_hypotheses draws seed signature".split()
    left_out = {"seconds", "signature_long", "reason", "extra"}
    metrics = {
        name: {key: value for key, value in metric.items() if key not in left_out}
        for name, metric in scored["metrics"].items()
        if metric["value"] is not None
    }
    return {**{key: scored[key] for key in keys}, "metrics": metrics}


def slices_to_leave(may_leave: Collection[str], slices: Mapping[str, Any]) -> dict[str, Any]:
    """The slices that may leave the machine, and the names of those `suppressed`."""
    hidden = licence.suppressed_slices(may_leave, slices)
    return {"slices": {name: each for name, each in slices.items() if name not in hidden}, "suppressed": hidden}


def aggregate(run: Mapping[str, Any], scores: Mapping[str, Any]) -> dict[str, Any]:
    """What of a run may leave the machine: no text, no study id, no value of a single study."""
    keys = (
        "model preset run_id dataset dataset_version split fingerprint checkpoint checkpoint_name seed control "
        "settings note n dropped date trained_on history card hardware seconds peak_memory_mb n_errors n_truncated"
    ).split()
    code, seconds = run["code"], run["seconds"]["generate"]
    return {
        **{key: run[key] for key in keys},
        "given": run.get("given"),
        "submitted": run.get("submitted"),
        "n_skipped": run.get("n_skipped", 0),
        "image_fingerprint": run["images"],
        "settings_id": provenance.digest(run["settings"])[:8],
        "commit": code["commit"] + ("+changes" if code["dirty"] else ""),
        "packages": code["packages"],
        "reports": scores["reports"],
        "labelled_by": scores["labelled_by"],
        "truth": scores["truth"],
        "seconds_per_report": None if seconds is None else seconds / run["n"],
        "protocol": scores["protocol"],
        "sections": scores["sections"],
        "protocols": scores.get("protocols", {}),
    }


def describe(
    predictions: Sequence[Prediction], references: Sequence[Reference], training: TrainingTexts | None
) -> dict[str, Any]:
    """How varied, how long and how new the reports are, and how they end: what tells a model from a constant.

    `length_ratio` is the mean length in words against that of the references' own sections; what needs the training
    texts is absent where the checkpoint does not have them.
    """
    texts = Counter(prediction.text for prediction in predictions)
    mean_words = _mean_words(f"{prediction.findings} {prediction.impression}" for prediction in predictions)
    expected = _mean_words(f"{reference.findings} {reference.impression}" for reference in references)
    return {
        "distinct_reports": len(texts),
        "commonest_share": texts.most_common(1)[0][1] / len(predictions),
        "ended_share": 1 - sum(prediction.truncated for prediction in predictions) / len(predictions),
        "mean_words": mean_words,
        "length_ratio": mean_words / expected if expected else None,
        **(training.describe(predictions) if training else {}),
    }


def _mean_words(texts: Iterable[str]) -> float:
    return statistics.fmean(len(text.split()) for text in texts)
