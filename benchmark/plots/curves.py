"""The course of a training: losses by epoch, and what the best epoch was chosen by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmark.plots import style
from benchmark.wording import heading

Row = Mapping[str, float]
LOSSES = {"train_loss": "training", "validation_loss": "validation"}
BESIDES = ("epoch", "learning_rate", "seconds")
"""Columns of a history that are not drawn."""


def draw(words: str, history: Sequence[Row], folder: Path, name: str) -> list[Path]:
    """Write the figure of a `history.csv`; returns its files, none for an empty history."""
    scores = list(dict.fromkeys(key for row in history for key in row if key not in (*LOSSES, *BESIDES)))
    panels = [each for each in (list(LOSSES), scores) if any(key in row for row in history for key in each)]
    if not panels:
        return []
    with style.drawing(4.2 * len(panels) + 0.6, 3.2, len(panels)) as (figure, all_axes):
        from matplotlib.ticker import MaxNLocator

        for axes, keys in zip(all_axes, panels, strict=True):
            for k, key in enumerate(keys):
                points = [(row["epoch"], row[key]) for row in history if key in row]
                if points:
                    name_of = LOSSES.get(key, heading(key))
                    axes.plot(*zip(*points, strict=True), label=name_of, markersize=4, **style.look(k))
            axes.set_xlabel("epoch")
            axes.set_ylabel("loss" if keys == list(LOSSES) else "on the validation split")
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
            axes.grid(axis="y")
            axes.legend()
        style.title(figure, words, "Mean over an epoch's targets; validation after the epoch.")
        return style.save(figure, folder, name)
