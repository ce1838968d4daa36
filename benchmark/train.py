"""Studies to a checkpoint with a card."""

from __future__ import annotations

import contextlib
import functools
import json
import math
import shutil
import time
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark import licence, memory, processes, provenance
from benchmark.console import duration, say
from benchmark.contracts import Dataset, Example, Model, TrainingJob
from benchmark.errors import OutOfMemory, UserError, unknown
from benchmark.novelty import TrainingTexts
from benchmark.store import exclusive, read_json, write_json

if TYPE_CHECKING:
    from benchmark.images import Geometry

TRAIN_SPLIT, VALIDATION_SPLIT = "train", "val"
"""Of these data models are made. The second is whatever the data set calls its validation split."""
NOTHING: Mapping[str, Any] = {}


class ChangedTraining(UserError):
    """A folder holds a training of other data or settings than the one asked for."""


@dataclass(frozen=True)
class Recipe:
    """What to train; it decides the checkpoint's folder."""

    model: str
    preset: str
    dataset: str
    seed: int
    overrides: Mapping[str, Any]

    def folder(self, results: Path) -> Path:
        name = f"{self.preset}-{self.dataset}-{self.seed}"
        if self.overrides:
            name += f"-{provenance.digest(dict(self.overrides))[:8]}"
        return results / "checkpoints" / self.model / name


def misfit(plugin: type[Model], dataset: Dataset) -> str:
    """Why a model cannot work on a data set; empty where it can."""
    if plugin.NEEDS_IMAGES and not dataset.has_images:
        return f"it reads images, and {dataset.root} holds none"
    return plugin.skip(dataset)


def choose_preset(plugin: type[Model], dataset: Dataset, given: str | None) -> str:
    """The preset named, or the one that fits the data set. Raises UserError for an unknown one."""
    preset = given or plugin.default_preset(dataset)
    expect_preset(plugin, preset)
    return preset


def expect_preset(plugin: type[Model], preset: str) -> None:
    """Raises UserError for an unknown one."""
    if preset not in plugin.PRESETS:
        raise unknown("preset", preset, plugin.PRESETS)


def parse_overrides(preset: Mapping[str, Any], settings: list[str]) -> dict[str, Any]:
    """`key=value` strings as values of the preset's own types. Raises UserError for an unknown key or a bad value."""
    return check_overrides(preset, read_settings(settings))


def read_settings(settings: Sequence[str]) -> dict[str, Any]:
    """`key=value` strings as JSON has the values, else as text. Raises UserError for one without `=`."""
    found: dict[str, Any] = {}
    for setting in settings:
        key, equals, text = setting.partition("=")
        if not equals:
            raise UserError(f"--set takes key=value, not '{setting}'.")
        try:
            found[key] = json.loads(text)
        except json.JSONDecodeError:
            found[key] = text
    return found


def check_overrides(preset: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """The values as values of the preset's types. Raises UserError as `parse_overrides`."""
    for key in values:
        if key not in preset:
            raise unknown("setting", key, preset, "`bench models NAME` lists those of a model, `--help` the options.")
    return {key: _as_type_of(preset[key], value, key) for key, value in values.items()}


def check_asked(plugin: type[Model], preset: str | None, values: Mapping[str, Any] = NOTHING) -> None:
    """Raises UserError for a preset that there is not, and for `values` that no preset has: before data are opened or
    made, which may take long.
    """
    if preset is not None:
        expect_preset(plugin, preset)
    every = [plugin.PRESETS[preset]] if preset else plugin.PRESETS.values()
    check_overrides({**plugin.DEFAULTS, **{key: value for one in every for key, value in one.items()}}, values)


def all_options(plugin: type[Model], preset: str) -> dict[str, Any]:
    """Every option of a preset with its value."""
    return {**plugin.DEFAULTS, **plugin.PRESETS[preset]}


def make_recipe(
    model: str, plugin: type[Model], preset: str, dataset: str, seed: int, values: Mapping[str, Any]
) -> Recipe:
    """The recipe of a preset with checked `values` in place of its own; one that is its own makes no other recipe."""
    options = all_options(plugin, preset)
    return Recipe(model, preset, dataset, seed, {key: value for key, value in values.items() if value != options[key]})


def read_values(path: Path) -> dict[str, Any]:
    """The values of a TOML or JSON file. Raises UserError where it is neither."""
    try:
        text = path.read_text(encoding="utf-8")
        values = tomllib.loads(text) if path.suffix.lower() == ".toml" else json.loads(text)
    except FileNotFoundError:
        raise UserError(f"No such file: {path}.") from None
    except (ValueError, OSError) as error:
        raise UserError(f"{path} is no {'TOML' if path.suffix.lower() == '.toml' else 'JSON'} file: {error}.") from None
    if not isinstance(values, dict):
        raise UserError(f'{path} must hold an object of settings, such as {{"epochs": 3}}.')
    return values


def _as_type_of(old: Any, value: Any, key: str) -> Any:
    if isinstance(old, float) and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    unfit = old is not None and type(value) is not type(old)
    if unfit or (isinstance(value, float) and not math.isfinite(value)):
        raise UserError(f"The setting '{key}' takes a value like {json.dumps(old)}, not {json.dumps(value)}.")
    return value


def train(
    plugin: type[Model],
    recipe: Recipe,
    dataset: Dataset,
    results: Path,
    *,
    device: str,
    fresh: bool = False,
) -> Path:
    """Train and return the checkpoint's folder; a complete one is left as it is unless `fresh`.

    Raises UserError where the model does not fit the data set, a split is empty, or what an interrupted training left
    behind was begun with other data or settings.
    """
    from benchmark import cache, validation

    if not plugin.CAN_TRAIN:
        raise UserError(f"{recipe.model} cannot be trained.")
    if reason := misfit(plugin, dataset):
        raise UserError(f"{recipe.model} does not fit {dataset.name}: {reason}.")
    output = recipe.folder(results)
    licence.keep_out_of_git(dataset, frozenset({"texts"}), output)
    if plugin.NEEDS_IMAGES:
        licence.keep_out_of_git(dataset, frozenset({"images"}), results / "cache")
    learns = recipe.preset not in plugin.ZERO_SHOT
    splits = _splits(dataset) if learns else []
    with exclusive(output, "training") if processes.first() else contextlib.nullcontext():
        train_set, validation_set = (_examples(dataset, split) for split in splits) if learns else ([], [])
        augmented = list(dataset.augmented(splits[0])) if learns else []
        options = {**all_options(plugin, recipe.preset), **recipe.overrides}
        job_record = {
            "model": recipe.model,
            "preset": recipe.preset,
            "options": options,
            "seed": recipe.seed,
            "dataset": {"name": dataset.name, "version": dataset.VERSION, "licence": dataset.LICENCE},
            "fingerprint": {
                split: _fingerprint(of) for split, of in zip(splits, (train_set, validation_set), strict=False)
            },
            "n": {split: len(of) for split, of in zip(splits, (train_set, validation_set), strict=False)},
            "augmented": {"n": len(augmented), "fingerprint": _fingerprint(augmented)},
            "dropped": {split: dict(dataset.dropped(split)) for split in splits},
        }
        if processes.by_first(lambda: _begin(output, job_record, fresh)):
            say(f"{output} is trained already (--fresh trains it anew).")
            return output
        if not plugin.INSTANT:
            memory.first_work()
        began = time.perf_counter()

        def images(paths: Sequence[Path], geometry: Geometry) -> cache.CachedImages:
            return processes.by_first(lambda: cache.open_images(results / "cache", paths, geometry, report=say))

        job = TrainingJob(
            train=train_set + augmented,
            validation=validation_set,
            second_readings=_second_readings(dataset),
            preset=recipe.preset,
            options=options,
            seed=recipe.seed,
            device=device,
            output=output,
            tokenize=_tokenize,
            report=say,
            judge=lambda name: validation.ValidationJudge(name, validation_set, options.get("section", "")),
            checkpoint=functools.partial(_checkpoint_of, results, dataset.name),
            images=images,
        )
        if plugin.SHARED_TRAINING:
            _train(plugin, job)
        else:
            processes.by_first(lambda: plugin.train(job))
        seconds = time.perf_counter() - began
        if processes.first():
            if learns:
                TrainingTexts.of([example.reference for example in train_set + augmented]).save(output)
            card = {
                **job_record,
                "hash": provenance.checkpoint_hash(output),
                "date": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
                "seconds": round(seconds, 1),
                "device": device,
                "processes": processes.count(),
                "hardware": provenance.hardware(),
                "code": provenance.code_identity(),
            }
            write_json(output / "card.json", card)
        processes.wait()
        say(f"Trained {recipe.model} in {duration(seconds)}: {output}")
    return output


def _splits(dataset: Dataset) -> list[str]:
    """Those that a model is made of, by the data set's own names."""
    here = {*dataset.splits, *(alias for alias, of in dataset.SPLIT_ALIASES.items() if of in dataset.splits)}
    if absent := [split for split in (TRAIN_SPLIT, VALIDATION_SPLIT) if split not in here]:
        raise UserError(
            f"{dataset.name} in {dataset.root} has no {' and no '.join(absent)} split (only "
            f"{', '.join(dataset.splits)}): models learn from train and are chosen on val. Say which studies these are."
        )
    return [dataset.resolve_split(split) for split in (TRAIN_SPLIT, VALIDATION_SPLIT)]


def _begin(output: Path, job: dict[str, Any], fresh: bool) -> bool:
    """Whether the folder holds the training already, finished; else it is prepared for it."""
    if fresh:
        _empty(output)
    if _complete(output, job):
        return True
    write_json(output / "job.json", job)
    return False


def _train(plugin: type[Model], job: TrainingJob) -> None:
    """Train; where memory runs out, again with what that left behind. Several processes are started anew for that."""
    while True:
        try:
            return plugin.train(job)
        except OutOfMemory as error:
            if processes.count() > 1:
                raise
            said = str(error)
        say(said)  # outside the handler, which holds what filled the memory


def _tokenize(texts: Sequence[str]) -> list[list[str]]:
    from benchmark import protocols

    return protocols.load("default").tokenize(list(texts))


def _examples(dataset: Dataset, split: str) -> list[Example]:
    pairs = zip(dataset.studies(split), dataset.references(split), strict=True)
    examples = [Example(study, reference) for study, reference in pairs]
    if not examples:
        reasons = ", ".join(f"{n} × {reason}" for reason, n in dataset.dropped(split).items())
        raise UserError(f"The split '{split}' of {dataset.name} has no usable study ({reasons or 'it is empty'}).")
    return examples


def _fingerprint(examples: list[Example]) -> str:
    return provenance.fingerprint([e.study for e in examples], [e.reference for e in examples])


def _checkpoint_of(results: Path, dataset: str, model: str) -> Path | None:
    found = newest_checkpoint(results, model, dataset, None)
    return found.path if found else None


def _second_readings(dataset: Dataset) -> dict[str, str]:
    return {study: text for split in dataset.splits for study, text in dataset.second_readings(split).items()}


def _complete(output: Path, job: dict[str, Any]) -> bool:
    """Whether the folder holds this very training, finished. Raises UserError where it holds another one."""
    began = output / "job.json"
    if not began.exists():
        return False
    before = {key: value for key, value in read_json(began).items() if key != "schema"}
    changed = sorted(key for key in job if json.loads(json.dumps(job[key])) != before.get(key))
    if changed:
        raise ChangedTraining(
            f"{output} was begun with another {', '.join(changed)} than now. Give --fresh to train anew (what is there "
            "is deleted), or another --seed to keep both."
        )
    return (output / "card.json").exists()


def _empty(folder: Path) -> None:
    """Remove what an earlier training left, but not the lock that is held."""
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name != ".lock":
            path.unlink()


@dataclass(frozen=True)
class Checkpoint:
    """A finished training."""

    path: Path
    card: Mapping[str, Any]


def open_checkpoint(path: Path, model: str | None) -> Checkpoint:
    """Read a checkpoint's card and check its files against it; of any model where none is named.

    Raises UserError where it is no finished checkpoint, another model's, or changed since.
    """
    if not path.is_dir():
        raise UserError(f"No such checkpoint folder: {path}.")
    if not (path / "card.json").exists():
        unfinished = (path / "job.json").exists()
        raise UserError(
            f"{path} holds a training that was not finished: run the same `bench train` again, it goes on."
            if unfinished
            else f"{path} is no checkpoint of this benchmark: it has no card.json."
        )
    card = read_json(path / "card.json")
    if model is not None and card.get("model") != model:
        raise UserError(f"{path} is a checkpoint of {card.get('model')}, not of {model}.")
    if provenance.checkpoint_hash(path) != card.get("hash"):
        raise UserError(
            f"The files in {path} are not those that its card was written for (changed, missing or cut short). "
            "Copy the folder again, or train with --fresh."
        )
    return Checkpoint(path, card)


def newest_checkpoint(
    results: Path, model: str, dataset: str | None, preset: str | None, values: Mapping[str, Any] = NOTHING
) -> Checkpoint | None:
    """The newest finished checkpoint of a model, trained on `dataset`, with `preset` and with `values` where these are
    given.
    """
    for found in finished_checkpoints(results, model):
        card = found.card
        fits = dataset in (None, card["dataset"]["name"]) and preset in (None, card["preset"])
        if fits and all(card["options"].get(key) == value for key, value in values.items()):
            return open_checkpoint(found.path, model)
    return None


def finished_checkpoints(results: Path, model: str) -> list[Checkpoint]:
    """Of a model, newest first, their files not checked (`open_checkpoint` does). Raises UserError for a torn card."""
    folder = results / "checkpoints" / model
    found = [Checkpoint(path.parent, read_json(path)) for path in sorted(folder.glob("*/card.json"))]
    return sorted(found, key=lambda each: (each.card["date"], each.path), reverse=True)
