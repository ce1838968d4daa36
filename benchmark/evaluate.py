"""The stages of an evaluation put together: choose, generate, score, aggregate."""

from __future__ import annotations

import csv
import json
import math
import shlex
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from benchmark import aggregates, generate, processes, provenance, registry, released, slices
from benchmark import train as training
from benchmark.console import progress, say
from benchmark.contracts import Dataset, Metric, MetricContext, Model
from benchmark.errors import UserError, unknown
from benchmark.novelty import TrainingTexts
from benchmark.schema import PRECISIONS, SECTIONS, GenerationSettings, Prediction, Reference, Study
from benchmark.store import RunFolder, exclusive, read_json, write_json, write_text

MOST_BEAMS = 64
"""Each holds a cache of its own; the literature has 3 to 5."""


def choose_device(given: str | None) -> str:
    """The torch device named, else a GPU where there is one. Raises UserError for one that is not there."""
    import torch

    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    here = [name for name, ok in there.items() if ok]
    kind, _, index = (given or here[0]).partition(":")
    gpus = torch.cuda.device_count()
    if kind not in here or (index and not (kind == "cuda" and index.isdecimal() and int(index) < gpus)):
        more = f" ({gpus} of them)" if "cuda" in here else ""
        raise UserError(f"The device '{given}' is not here. Here: {', '.join(here)}{more}.")
    if kind != "cuda" or processes.count() == 1:
        return given or kind
    if index or processes.local_rank() >= gpus:
        raise UserError(
            f"Each of several processes takes a GPU of its own: give --device {kind} without a number, and at most "
            f"{gpus} processes here."
        )
    return f"cuda:{processes.local_rank()}"


def find_checkpoint(
    name: str,
    plugin: type[Model],
    dataset: Dataset,
    given: Path | None,
    preset: str | None,
    results: Path,
    words: str = "",
    changes: Sequence[str] = (),
) -> training.Checkpoint:
    """The checkpoint named, or the newest one that fits; those that take seconds to make are made now.

    `changes`: `key=value` in place of a preset's value, as at its training. Raises UserError where there is none.
    """
    if given is not None:
        if changes:
            raise UserError("--checkpoint names a checkpoint, and --set would choose another: give one of the two.")
        return named_checkpoint(name, plugin, given, results, words)
    if words:
        raise UserError("--tokenizer is for a file of released weights: name the file with --checkpoint.")
    chosen = training.choose_preset(plugin, dataset, preset)
    values = training.parse_overrides(training.all_options(plugin, chosen), list(changes))
    if plugin.INSTANT or (chosen in plugin.ZERO_SHOT and (preset or changes)):
        recipe = training.make_recipe(name, plugin, chosen, dataset.name, 0, values)
        try:
            path = training.train(plugin, recipe, dataset, results, device="cpu")
        except training.ChangedTraining:
            say(f"The data have changed since {name} was trained: training it anew.")
            path = training.train(plugin, recipe, dataset, results, device="cpu", fresh=True)
        return training.open_checkpoint(path, name)
    wanted = chosen if changes else preset
    found = processes.by_first(lambda: training.newest_checkpoint(results, name, dataset.name, wanted, values))
    if found is None:
        how = (f" with preset {wanted}" if wanted else "") + (f" and {', '.join(changes)}" if changes else "")
        say_what = " or say with --set what to make one of" if chosen in plugin.ZERO_SHOT else ""
        command = ["bench", "train", name, "--dataset", dataset.name, "--root", str(dataset.root)]
        command += ["--preset", wanted] if wanted else []
        command += [word for change in changes for word in ("--set", change)]
        raise UserError(
            f"No finished checkpoint of {name} trained on {dataset.name}{how}. "
            f"Run `{shlex.join(command)}` first, or name one with --checkpoint{say_what}."
        )
    say(f"Checkpoint: {found.path} (the newest of {name} for {dataset.name}).")
    return found


def check_asked(
    name: str,
    plugin: type[Model],
    results: Path,
    given: Path | None,
    preset: str | None,
    changes: Sequence[str],
    control: str,
) -> None:
    """What can be told of an evaluation before data are opened or made, which may take long. Raises UserError for a
    preset, a setting or a control that there is not, and where nothing was trained yet.
    """
    _check_control(control)
    training.check_asked(plugin, preset, training.read_settings(changes))
    if (
        given is None
        and not plugin.INSTANT
        and not plugin.ZERO_SHOT
        and not training.finished_checkpoints(results, name)
    ):
        raise UserError(
            f"No finished checkpoint of {name}. Run `bench train {name}` first, or name one with --checkpoint."
        )


def _check_control(control: str) -> None:
    if control not in generate.CONTROLS:
        raise UserError(f"--control takes {' or '.join(filter(None, generate.CONTROLS))}, not '{control}'.")


def named_checkpoint(
    name: str, plugin: type[Model], given: Path, results: Path, words: str = ""
) -> training.Checkpoint:
    """A checkpoint folder, or that of a file of released weights (`released.adopt`). Raises UserError as both do."""
    if given.is_file():
        return processes.first_before_others(lambda: released.adopt(plugin, name, given, results, words))
    if words:
        raise UserError(f"--tokenizer is for files of released weights; the folder {given} holds its own.")
    return training.open_checkpoint(given, name)


@dataclass(frozen=True)
class Selection:
    """The studies of an evaluation with their references."""

    split: str
    short: str
    """The split's name in result paths."""
    studies: Sequence[Study]
    references: Sequence[Reference]
    dropped: Mapping[str, int]
    limited: bool
    n_damaged: int
    """Studies left out because a file of theirs is missing or broken."""
    truth: Path | None = None
    """The table of what is really on the images, where the data set has one."""

    def only(self, study_ids: Collection[str]) -> Selection:
        """The studies of these ids alone."""
        kept = [i for i, study in enumerate(self.studies) if study.study_id in study_ids]
        return replace(
            self, studies=[self.studies[i] for i in kept], references=[self.references[i] for i in kept], limited=True
        )


def select(dataset: Dataset, split: str, limit: int | None) -> Selection:
    """The split's studies, or the first `limit`.

    Raises UserError for an unknown split or one without usable studies.
    """
    name = dataset.resolve_split(split)
    studies, references = dataset.studies(name), dataset.references(name)
    dropped = dict(dataset.dropped(name))
    if not studies:
        reasons = ", ".join(f"{n} × {reason}" for reason, n in dropped.items())
        raise UserError(f"The split '{name}' of {dataset.name} has no usable study ({reasons or 'it is empty'}).")
    for reason, left_out in dataset.left_out(name).items():
        example = f" (such as {left_out[0]})" if reason in dataset.DAMAGE else ""
        say(f"Left out: {len(left_out)} × {reason}{example}.")
    limited = limit is not None and limit < len(studies)
    cut = slice(limit if limited else None)
    damaged = sum(n for reason, n in dropped.items() if reason in dataset.DAMAGE)
    short = dataset.short_split(name)
    return Selection(name, short, studies[cut], references[cut], dropped, limited, damaged, dataset.truth)


def write_reports(
    name: str,
    dataset: Dataset,
    selection: Selection,
    settings: GenerationSettings,
    results: Path,
    *,
    checkpoint: Path | None = None,
    words: str = "",
    preset: str | None = None,
    changes: Sequence[str] = (),
    seed: int = 0,
    control: str = "",
    device: str | None = None,
) -> RunFolder:
    """Generate (or complete, or find) the run of a model on a selection; `words` as in `Model.load_released`."""
    _check_control(control)
    plugin: type[Model] = registry.MODELS.load(name)
    if reason := training.misfit(plugin, dataset):
        raise UserError(f"{name} does not fit {dataset.name}: {reason}.")
    found = find_checkpoint(name, plugin, dataset, checkpoint, preset, results, words, changes)
    options = found.card["options"]
    chosen_device = choose_device(device) if plugin.NEEDS_IMAGES else "cpu"
    plan = generate.RunPlan(
        model=name,
        preset=found.card["preset"],
        checkpoint=found.card["hash"],
        dataset=dataset.name,
        split=selection.short,
        fingerprint=provenance.fingerprint(selection.studies, selection.references),
        settings=settings,
        seed=seed,
        control=control,
        images=_image_fingerprint(selection, options.get("views", 1)) if plugin.NEEDS_IMAGES else "",
    )
    facts = {
        **data_facts(dataset, selection),
        "note": plugin.NOTE,
        "given": {"views": options.get("views", 1) if plugin.NEEDS_IMAGES else 0, "uses": plugin.uses(options)},
        "checkpoint_name": found.path.name,
        "trained_on": {key: found.card[key] for key in ("dataset", "fingerprint", "n", "seed", "options")},
        "history": read_history(found.path / "history.csv"),
        "checkpoint_path": str(found.path),
        "limited": selection.limited,
    }

    def load() -> Model:
        return plugin.load(found.path, chosen_device)

    return generate.run(plan, dataset, selection.studies, load, results, facts, progress)


def data_facts(dataset: Dataset, selection: Selection) -> dict[str, Any]:
    """What a run record says of its data."""
    return {
        "dataset_version": dataset.VERSION,
        "may_leave": sorted(dataset.MAY_LEAVE),
        "dataset_plugin": registry.DATASETS.name_of(type(dataset)),
        "root": str(dataset.root),
        "reports_root": str(dataset.reports_root or ""),
        "data_options": dataset.options,
        "layout": dataset.layout,
        "dropped": selection.dropped,
    }


def _image_fingerprint(selection: Selection, views: int) -> str:
    return provenance.image_fingerprint(view.path for study in selection.studies for view in study.views[:views])


def read_history(path: Path) -> list[dict[str, float]]:
    """Training and validation loss by epoch; empty for models without."""
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return [{key: float(value) for key, value in row.items() if value} for row in csv.DictReader(file)]


def score_run(
    folder: RunFolder,
    selection: Selection,
    results: Path,
    context: MetricContext,
    metrics: Sequence[Metric] | None = None,
    extra: Sequence[str] = (),
) -> dict[str, Any]:
    """Score a run's predictions; write `scores.json`, `per_study.jsonl` and the aggregate to commit.

    `metrics` may be shared by several runs (`score.load_metrics`). `extra` names metrics beside those of the default
    protocol; those that the run was scored with before stay. Returns the content of `scores.json`.
    """
    from benchmark import protocols, score

    with exclusive(folder.path, "evaluating"):
        predictions, run = folder.read(), read_json(folder.record)
        if run["status"] != "complete" or predictions.keys() != {study.study_id for study in selection.studies}:
            raise UserError(
                f"{folder.path} is not complete: run the same `bench generate` or `bench eval` again, it goes on."
            )
        protocol = protocols.load("default")
        metrics = score.load_metrics(context) if metrics is None else metrics
        before = read_json(folder.scores) if folder.scores.exists() else {}
        further = score.extra_metrics(context, [*extra, *_extra_before(before)], metrics)
        hypotheses = [predictions[study.study_id] for study in selection.studies]
        training_texts = TrainingTexts.load(Path(run["checkpoint_path"]))
        copied = training_texts.copied(selection.references) if training_texts else None
        groups = slices.slices(selection.studies, selection.references, copied)
        sections: dict[str, Any] = {}
        per_study: dict[str, dict[str, Any]] = {
            s.study_id: {"study_id": s.study_id, "patient_id": s.patient_id} for s in selection.studies
        }
        written = run.get("sections", SECTIONS)
        with progress(f"{run['model']}: scoring", len(written) * (len(metrics) + len(further))) as advance:
            for section in written:
                scored = score.score_pairs(
                    [reference.study_id for reference in selection.references],
                    [reference.patient_id for reference in selection.references],
                    [hypothesis.section(section) for hypothesis in hypotheses],
                    [reference.section(section) for reference in selection.references],
                    protocol=protocol,
                    metrics=metrics,
                    extra=further,
                    slices=groups,
                    progress=advance,
                )
                sections[section] = scored.to_dict()
                for study_id, values in scored.per_study().items():
                    per_study[study_id][section] = values
        scores = {
            "protocol": protocol.signature,
            "predictions": provenance.file_hash(folder.predictions),
            "fingerprint": run["fingerprint"],
            "reports": aggregates.describe(hypotheses, selection.references, training_texts),
            "labelled_by": slices.labelled_by(selection.references),
            "truth": _against_truth(selection, hypotheses),
            "sections": sections,
        }
        scores["protocols"] = _protocols_before(before, scores)
        write_text(folder.per_study, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in per_study.values()))
        write_json(folder.scores, scores)
    if not run["limited"]:
        aggregates.write(run, scores, results)
    return scores


def add_protocols(folder: RunFolder, found: Mapping[str, Any], results: Path) -> dict[str, Any]:
    """Put scores under further protocols (`aggregates.compact`, by protocol and section) beside a run's others.

    Sections scored anew take the place of earlier ones. Returns the content of `scores.json`. Raises UserError where
    the run's predictions are not scored as they are now.
    """
    with exclusive(folder.path, "evaluating"):
        scores = read_json(folder.scores) if folder.scores.exists() else {}
        if scores.get("predictions") != provenance.file_hash(folder.predictions):
            raise UserError(
                f"The predictions in {folder.path} are not scored as they are now. Run `bench score {folder.path}`."
            )
        known = scores.get("protocols", {})
        scores["protocols"] = {**known, **{name: {**known.get(name, {}), **new} for name, new in found.items()}}
        write_json(folder.scores, scores)
    run = read_json(folder.record)
    if not run["limited"]:
        aggregates.write(run, scores, results)
    return scores


def _protocols_before(before: Mapping[str, Any], scores: Mapping[str, Any]) -> dict[str, Any]:
    """What the same predictions were given under further protocols when they were scored before."""
    same = all(before.get(key) == scores[key] for key in ("predictions", "fingerprint"))
    found: dict[str, Any] = before.get("protocols", {}) if same else {}
    return found


def _extra_before(before: Mapping[str, Any]) -> list[str]:
    """Names of the metrics that a user added when the run was scored before, as far as they are still here."""
    sections = before.get("sections", {}).values()
    used = {m["metric"].replace("_", "-") for scored in sections for m in scored["metrics"].values() if m.get("extra")}
    return sorted(used & set(registry.METRICS.names()))


def _against_truth(selection: Selection, hypotheses: Sequence[Prediction]) -> dict[str, Any] | None:
    """How the reports, and the references, name what is really on the images; None where nobody knows that."""
    if selection.truth is None:
        return None
    from benchmark.labeler import truth

    drawn = truth.read_truth(selection.truth)
    texts = {
        "reports": {each.study_id: each.text for each in hypotheses},
        "references": {each.study_id: f"{each.findings} {each.impression}" for each in selection.references},
    }
    rows = {name: truth.accuracy(of, drawn) for name, of in texts.items()}
    return {name: [asdict(row) for row in (truth.total(found), *found)] for name, found in rows.items()}


def named_settings(plugin: type[Model], name: str | None, given: Mapping[str, Any]) -> GenerationSettings:
    """A model's named settings (`Model.DECODINGS`) with the given ones, where not None, in place of theirs.

    A temperature, `top_k` or `top_p` asks for sampling. Raises UserError for impossible values or an unknown name.
    """
    if name is not None and name not in plugin.DECODINGS:
        raise unknown("decoding", name, plugin.DECODINGS)
    named = plugin.DECODINGS[name] if name else {}
    chosen = {key: value for key, value in given.items() if value is not None}
    if chosen.keys() & {"temperature", "top_k", "top_p"}:
        chosen.setdefault("do_sample", True)
    return default_settings(**{**named, **chosen})


def default_settings(**given: Any) -> GenerationSettings:
    """Generation settings with the given ones in place of defaults. Raises UserError for impossible values."""
    settings = GenerationSettings(**{key: value for key, value in given.items() if value is not None})
    wrong = (
        ("--max-new-tokens", settings.max_new_tokens < 1, "at least 1"),
        ("--beams", settings.num_beams < 1, "at least 1"),
        ("--beams", settings.num_beams > MOST_BEAMS, f"at most {MOST_BEAMS}"),
        ("--temperature", not 0 < settings.temperature < math.inf, "above 0 and finite"),
        ("--top-k", settings.top_k < 0, "0 (no limit) or more"),
        ("--top-p", not 0 < settings.top_p <= 1, "above 0 and at most 1"),
        ("--repetition-penalty", not 0 < settings.repetition_penalty < math.inf, "above 0 and finite"),
        ("--batch-size", settings.batch_size < 1, "at least 1"),
        ("--precision", settings.precision not in PRECISIONS, ", ".join(PRECISIONS[:-1]) + f" or {PRECISIONS[-1]}"),
    )
    for option, bad, rule in wrong:
        if bad:
            raise UserError(f"{option} must be {rule}.")
    if settings.do_sample and settings.num_beams > 1:
        raise UserError("Sampling (--sample, --temperature, --top-k, --top-p) and --beams exclude one another.")
    return settings
