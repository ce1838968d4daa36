"""Models by groups of studies, as a heat map of one metric."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmark.leaderboard import Board
from benchmark.plots import style
from benchmark.plots.leaderboard import names
from benchmark.slices import FEW
from benchmark.wording import heading

BELOW = (
    f"In brackets the studies of a group; *: fewer than {FEW}, too few to speak; the colours are not scaled by them. "
    "Empty: kept back, or without a value."
)
ORDER = ("labels", "finding", "view", "sex", "age", "length", "copies")
"""Of attributes from left to right; others come last."""


def draw(board: Board, section: str, metric: str, folder: Path, name: str) -> list[Path]:
    """Write the figure of the ranked rows; returns its files, none where no group has a value."""
    rows = [row for row in board.rows if row["section"] == section and row["rank"] is not None]
    by_run = {entry["run_id"]: entry["sections"].get(section, {}).get("slices", {}) for entry in board.entries}
    groups = _groups([by_run[row["run_id"]] for row in rows], metric)
    if not groups:
        return []
    cells = np.array([[_value(by_run[row["run_id"]], group, metric) for group in groups] for row in rows])
    many = np.array([not content["few"] for content in groups.values()])
    scaled = cells[:, many] if many.any() else cells
    low, high = np.nanmin(scaled), np.nanmax(scaled)
    with style.drawing(2.6 + 0.4 * len(groups), 2.7 + 0.32 * len(rows)) as (figure, (axes,)):
        picture = axes.imshow(cells, cmap="cividis", aspect="auto", vmin=low, vmax=high)
        axes.set_yticks(range(len(rows)), names(rows))
        axes.set_xticks(range(len(groups)), map(_words, groups, groups.values()), rotation=50, ha="right")
        for label in axes.get_xticklabels():
            label.set_rotation_mode("anchor")
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        for (i, j), value in np.ndenumerate(cells):
            if not np.isnan(value):
                ink = "white" if value < (low + high) / 2 else "black"
                axes.text(j, i, f"{value:.2f}", ha="center", va="center", fontsize=7, color=ink)
        attributes = [content["attribute"] for content in groups.values()]
        for j, attribute in enumerate(attributes):
            if attribute not in attributes[:j]:
                axes.axvline(j - 0.5, color="white", linewidth=4)
                axes.text(j - 0.45, -0.62, attribute, fontsize=8, color=style.SOFT)
        figure.colorbar(picture, ax=axes, label=heading(metric), pad=0.01, aspect=30).outline.set_visible(False)
        style.title(figure, f"{board.name}, {section}: {heading(metric)} by group of studies\n", BELOW)
        return style.save(figure, folder, name)


def _groups(by_run: Sequence[Mapping[str, Any]], metric: str) -> dict[str, Mapping[str, Any]]:
    """The slices in which some run has a value, those of an attribute together."""
    found = {
        name: content
        for of_run in by_run
        for name, content in of_run.items()
        if not math.isnan(_value(of_run, name, metric))
    }
    places = {attribute: place for place, attribute in enumerate(ORDER)}
    return dict(sorted(found.items(), key=lambda each: places.get(each[1]["attribute"], len(ORDER))))


def _value(slices: Mapping[str, Any], group: str, metric: str) -> float:
    value = slices.get(group, {}).get("metrics", {}).get(metric, {}).get("value")
    return math.nan if value is None else float(value)


def _words(name: str, content: Mapping[str, Any]) -> str:
    """What stands under a column."""
    return f"{name.removeprefix(content['attribute'] + ':')} ({content['n']}{'*' if content['few'] else ''})"
