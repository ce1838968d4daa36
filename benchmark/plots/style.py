"""What all figures share: colours that colour-blind readers tell apart, fonts, and files that come out alike."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.errors import UserError
from benchmark.store import write_bytes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Okabe and Ito's palette without its yellow, which is too pale for thin lines."""
MARKERS = "osD^vPX"
"""One a colour, for readers without colours."""
INK, SOFT, LINE, BAND = "#1b2330", "#54606f", "#d4dae2", "#f1f4f8"
FORMS: dict[str, dict[str, Any]] = {"svg": {"Date": None, "Creator": "cxr-report-bench"}, "png": {"Software": None}}
"""By form of file, its metadata: no date and no version, so that the same numbers give the same bytes."""
SETTINGS: Any = {
    "font.family": "DejaVu Sans",  # comes with matplotlib, so that figures look alike everywhere
    "font.size": 9.0,
    "axes.titlesize": 10.0,
    "axes.edgecolor": SOFT,
    "axes.labelcolor": INK,
    "text.color": INK,
    "text.parse_math": False,  # names are no formulas
    "xtick.color": SOFT,
    "ytick.color": SOFT,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": LINE,
    "grid.linewidth": 0.8,
    "legend.frameon": False,
    "svg.hashsalt": "cxr-report-bench",
}


@contextmanager
def drawing(width: float, height: float, columns: int = 1) -> Iterator[tuple[Figure, Sequence[Axes]]]:
    """A figure of that size, in inches, with so many axes side by side. Raises UserError without matplotlib."""
    try:
        from matplotlib import rc_context
        from matplotlib.figure import Figure
    except ImportError:
        raise UserError("`bench plot` needs matplotlib: pip install 'cxr-report-bench[plot]'.") from None
    with rc_context(SETTINGS):
        figure = Figure(figsize=(width, height), layout="constrained")
        yield figure, figure.subplots(1, columns, sharey=True, squeeze=False)[0]


def look(place: int) -> dict[str, Any]:
    """Colour and marker of one of several lines."""
    at = place % len(COLOURS)
    return {"color": COLOURS[at], "marker": MARKERS[at]}


def title(figure: Figure, text: str, below: str) -> None:
    """A title above, and a sentence below that says how to read the figure."""
    figure.suptitle(text, x=0.01, ha="left", fontsize=11, fontweight="bold")
    figure.supxlabel(below, x=0.01, ha="left", fontsize=7.5, color=SOFT)


def rows(axes: Axes, names: Sequence[str], bands: Sequence[bool] = ()) -> None:
    """Name the horizontal lines of a figure, the first above; those of `bands` have a ground of their own."""
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x")
    axes.spines["left"].set_visible(False)
    for place, band in enumerate(bands):
        if band:
            axes.axhspan(place - 0.5, place + 0.5, color=BAND, linewidth=0, zorder=0)


def save(figure: Figure, folder: Path, name: str) -> list[Path]:
    """Write the figure as `name`.svg and `name`.png."""
    paths = []
    for form, metadata in FORMS.items():
        out = io.BytesIO()
        figure.savefig(out, format=form, dpi=200, metadata=metadata)
        paths.append(folder / f"{name}.{form}")
        write_bytes(paths[-1], out.getvalue())
    return paths
