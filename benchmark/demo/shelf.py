"""The models that can be asked: the finished checkpoints of those that read images."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmark import registry
from benchmark import train as training
from benchmark.api import LoadedModel, load_model
from benchmark.errors import UserError
from benchmark.train import Checkpoint


@dataclass(frozen=True)
class Shelf:
    models: Mapping[str, Sequence[Checkpoint]]
    """By a model's name its checkpoints, newest first."""
    problems: Sequence[str]
    """Why others cannot be listed."""


def look(results: Path) -> Shelf:
    """What is there now. Files are not checked before a checkpoint is opened."""
    models: dict[str, Sequence[Checkpoint]] = {}
    problems: list[str] = []
    for name in registry.MODELS.names():
        try:
            found = training.finished_checkpoints(results, name)
        except UserError as error:
            problems.append(str(error))
            continue
        if found and registry.MODELS.load(name).NEEDS_IMAGES:
            models[name] = found
    return Shelf(models, problems)


@dataclass(frozen=True)
class Shared:
    """A model that everybody asks, one at a time."""

    checkpoint: Checkpoint
    model: LoadedModel
    lock: threading.Lock = field(default_factory=threading.Lock)


def open_shared(checkpoint: Checkpoint) -> Shared:
    """Load a checkpoint and let it write a word, so that the first reader does not wait for that.

    Raises UserError where it is damaged.
    """
    from PIL import Image

    shared = Shared(checkpoint, load_model(checkpoint.path))
    shared.model.generate(Image.new("L", (64, 64)), max_new_tokens=2)
    return shared
