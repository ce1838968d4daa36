"""The training study whose image is the most like the one on the page, by a model's own features."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmark import provenance
from benchmark.contracts import Dataset
from benchmark.demo.pictures import Picture, open_file
from benchmark.demo.shelf import Shared
from benchmark.schema import Reference, Study, View

AT_A_TIME = 32
"""Studies described while nobody else can ask the model."""


@dataclass(frozen=True)
class Nearest:
    study_id: str
    shown: str
    """Its image as a data URI."""
    similarity: float
    reference: Reference


def find(
    shared: Shared, picture: Picture, dataset: Dataset, results: Path, advance: Callable[[float], object]
) -> Nearest | None:
    """By cosine similarity among the training studies; None for a model without features.

    Theirs are kept in `results/cache/demo` (no text and no image is); `advance` is told the share that is described.
    """
    with picture.file() as path, shared.lock:
        own = shared.model.plugin.features([Study("image", "image", "", (View(path),))])
    if own is None:
        return None
    studies, references = dataset.studies("train"), dataset.references("train")
    known = _described(shared, studies, references, results / "cache" / "demo", advance)
    similarities = _normed(known) @ _normed(own)[0]
    best = int(similarities.argmax())
    study = studies[best]
    shown = open_file(study.study_id, study.views[0].path).shown
    return Nearest(study.study_id, shown, float(similarities[best]), references[best])


def _described(
    shared: Shared,
    studies: Sequence[Study],
    references: Sequence[Reference],
    folder: Path,
    advance: Callable[[float], object],
) -> np.ndarray:
    of = provenance.digest([shared.checkpoint.card["hash"], provenance.fingerprint(studies, references)])
    path = folder / f"{of[:24]}.npy"
    if path.exists():
        return np.load(path, allow_pickle=False)
    parts: list[np.ndarray] = []
    for begin in range(0, len(studies), AT_A_TIME):
        with shared.lock:
            part = shared.model.plugin.features(studies[begin : begin + AT_A_TIME])
        assert part is not None
        parts.append(part)
        advance(min(1.0, (begin + AT_A_TIME) / len(studies)))
    features = np.concatenate(parts)
    folder.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=folder, suffix=".npy")
    with os.fdopen(handle, "wb") as file:
        np.save(file, features)
    os.replace(temporary, path)
    return features


def _normed(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
