"""A leaderboard's values with their intervals, a panel a metric."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmark.leaderboard import Board, place
from benchmark.plots import style
from benchmark.wording import heading

BELOW = (
    "95 % intervals, patients resampled. Rows on one ground share a place. ?: not tested "
    "against every other row. –, grey: not ranked."
)


def names(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Of rows of a leaderboard: model and preset, and the run where that is not enough."""
    short = [
        str(row["model"]) if row["preset"] in ("", "default") else f"{row['model']} ({row['preset']})" for row in rows
    ]
    return [
        f"{name} {row['run_id'][:6]}" if short.count(name) > 1 else name for name, row in zip(short, rows, strict=True)
    ]


def draw(board: Board, section: str, metrics: Sequence[str], folder: Path, name: str) -> list[Path]:
    """Write the figure; returns its files, none where no row has one of the metrics."""
    rows = [row for row in board.rows if row["section"] == section]
    scored = {entry["run_id"]: entry["sections"].get(section, {}).get("metrics", {}) for entry in board.entries}
    shown = [key for key in metrics if any(scored[row["run_id"]].get(key, {}).get("value") is not None for row in rows)]
    if not shown:
        return []
    labels = [f"{label}  {place(row)}" for label, row in zip(names(rows), rows, strict=True)]
    places = [row["rank"] for row in rows]
    bands = [len(set(places[: i + 1])) % 2 == 0 for i in range(len(rows))]
    with style.drawing(2.2 + 2.1 * len(shown), 1.3 + 0.28 * len(rows), len(shown)) as (figure, panels):
        for axes, key in zip(panels, shown, strict=True):
            style.rows(axes, labels, bands)
            axes.set_title(heading(key))
            for i, row in enumerate(rows):
                _interval(axes, i, scored[row["run_id"]].get(key, {}), row["rank"] is not None)
        style.title(figure, f"{board.name}, {section}", BELOW)
        return style.save(figure, folder, name)


def _interval(axes: Any, at: float, metric: Mapping[str, Any], ranked: bool) -> None:
    value, low, high = (metric.get(key) for key in ("value", "low", "high"))
    colour = style.COLOURS[0] if ranked else style.SOFT
    if value is not None:
        axes.plot([value], [at], "o", color=colour, markersize=5)
    if low is not None and high is not None:
        axes.plot([low, high], [at, at], color=colour, linewidth=1.6, solid_capstyle="round")
