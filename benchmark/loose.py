"""Reports for a folder of loose pictures: no data set, no references."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmark import evaluate, generate, processes, registry
from benchmark import train as training
from benchmark.console import progress, say
from benchmark.contracts import Model
from benchmark.errors import UserError
from benchmark.schema import GenerationSettings, Prediction, Study, View, to_dict
from benchmark.store import write_text

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp"})


@dataclass(frozen=True)
class Written:
    """What came out."""

    path: Path
    n: int
    errors: Mapping[str, str]
    """Sentence by file name, for pictures that could not be read."""


def describe_images(
    name: str,
    images: Path,
    settings: GenerationSettings,
    results: Path,
    *,
    out: Path | None,
    checkpoint: Path | None,
    words: str,
    preset: str | None,
    changes: Sequence[str],
    seed: int,
    device: str | None,
) -> Written:
    """Write one JSON line a picture (study_id is its file name) to `out`, by default under `results/generated/`.

    Raises UserError for a folder without pictures, or where there is no checkpoint.
    """
    if words and checkpoint is None:
        raise UserError("--tokenizer is for a file of released weights: name the file with --checkpoint.")
    if not images.is_dir():
        raise UserError(f"No such folder: {images}. --images takes a folder of pictures.")
    files = sorted(path for path in images.iterdir() if path.suffix.lower() in SUFFIXES)
    if not files:
        raise UserError(f"No picture in {images}: none of its files ends in {', '.join(sorted(SUFFIXES))}.")
    plugin: type[Model] = registry.MODELS.load(name)
    if not plugin.NEEDS_IMAGES:
        raise UserError(f"{name} ignores images, so it has nothing to say about loose ones.")
    if checkpoint is not None:
        found = evaluate.named_checkpoint(name, plugin, checkpoint, results, words)
    else:
        if preset is not None:
            training.expect_preset(plugin, preset)
        options = training.all_options(plugin, preset or next(iter(plugin.PRESETS)))
        values = training.parse_overrides(options, list(changes))
        newest = training.newest_checkpoint(results, name, None, preset, values)
        if newest is None:
            raise UserError(f"No finished checkpoint of {name}. Run `bench train {name}` first, or name one.")
        found = newest
        say(f"Checkpoint: {found.path} (the newest of {name}).")
    model = plugin.load(found.path, evaluate.choose_device(device))
    studies = [Study(path.name, path.name, "", (View(path.absolute()),)) for path in files]
    own: list[list[Prediction]] = []
    with progress(f"{name}: writing reports", len(studies)) as advance:
        for number, batch in enumerate(generate.batches(studies, settings.batch_size)):
            mine = number % processes.count() == processes.rank()
            own.append(generate.predict(model, batch, settings, seed) if mine else [])
            advance(len(batch))
    # Each batch stands with the one process that wrote it.
    predictions = [p for of_batch in zip(*processes.gathered(own), strict=True) for part in of_batch for p in part]
    target = out or results / "generated" / f"{images.resolve().name}-{name}.jsonl"
    text = "".join(json.dumps(to_dict(p), ensure_ascii=False) + "\n" for p in predictions)
    processes.by_first(lambda: write_text(target, text))
    errors = {p.study_id: p.error for p in predictions if p.error}
    return Written(target, len(predictions) - len(errors), errors)
