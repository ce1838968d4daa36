"""The same reports under several protocols: how far one run's values lie apart."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from benchmark import spread
from benchmark.leaderboard import Board
from benchmark.plots import style
from benchmark.plots.leaderboard import names
from benchmark.wording import heading

BELOW = "The same reports and references under each protocol's own cleaning, unit and counting, with 95 % intervals."


def draw(board: Board, section: str, metrics: Sequence[str], folder: Path, name: str) -> list[Path]:
    """Write the figure; returns its files, none where no run has a metric under two protocols."""
    rows = [row for row in board.rows if row["section"] == section]
    entries = {entry["run_id"]: entry for entry in board.entries}
    entries = {row["run_id"]: entries[row["run_id"]] for row in rows}
    there = spread.shared(list(entries.values()), section)
    shown = [key for key in metrics if key in there]
    if not shown:
        return []
    protocols = [
        protocol
        for protocol in spread.protocols(entries.values())
        if any(protocol in spread.values(entry, section, key) for entry in entries.values() for key in shown)
    ]
    step = 0.7 / len(protocols)
    width, height = 2.2 + 2.4 * len(shown), 1.5 + (0.2 + 0.13 * len(protocols)) * len(rows)
    with style.drawing(width, height, len(shown)) as (figure, panels):
        for axes, key in zip(panels, shown, strict=True):
            style.rows(axes, names(rows), [i % 2 == 1 for i in range(len(rows))])
            axes.set_title(heading(key))
            for k, protocol in enumerate(protocols):
                look = style.look(k)
                axes.plot([], [], linestyle="", markersize=5, label=protocol, **look)
                for i, entry in enumerate(entries.values()):
                    if metric := spread.values(entry, section, key).get(protocol):
                        at = i + (k - (len(protocols) - 1) / 2) * step
                        axes.plot([metric["value"]], [at], markersize=5, **look)
                        if metric["low"] is not None:
                            axes.plot([metric["low"], metric["high"]], [at, at], color=look["color"], linewidth=1.2)
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside right upper", title="protocol", alignment="left")
        style.title(figure, f"{board.name}, {section}: one set of reports, several protocols", BELOW)
        return style.save(figure, folder, name)
