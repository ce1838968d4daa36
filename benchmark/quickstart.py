"""The whole benchmark in one go: phantom, vgpt2 trained, baselines and vgpt2 evaluated, leaderboard."""

from __future__ import annotations

from pathlib import Path

from benchmark import opening, registry
from benchmark.sweep import sweep

MODEL = "vgpt2"
SMALL = {"n_train": 96, "n_validate": 24, "n_test": 8}


def quickstart(results: Path, *, small: bool = False, device: str | None = None) -> str:
    """Run every stage as the single commands would; each goes on where it was interrupted.

    `small` takes a phantom and a training of seconds: it shows that everything works, not that the model has learned.
    Returns the name of the leaderboard.
    """
    root = None
    if small:
        root = results / "data" / "phantom-small"
        opening.provide(opening.PHANTOM, root, **SMALL)
    dataset = opening.open_dataset(opening.PHANTOM, root, None, results)

    changes = ["epochs=1"] if small else []
    (board,) = sweep(dataset, (MODEL, *baselines()), results, changes=changes, device=device)
    return board


def baselines() -> list[str]:
    """Models that train in seconds and ignore the images."""
    return [name for name, plugin in registry.MODELS.each() if plugin.INSTANT]
