"""Small drawings: intervals as SVG, and where the lines and dots of curves go, which `charts.html` draws."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

MARGIN = 6
"""Between an interval's scale and the edge of its drawing."""


@dataclass(frozen=True)
class Scale:
    """From values to pixels, along a line."""

    low: float
    high: float
    begin: float
    end: float

    def __call__(self, value: float) -> float:
        share = (value - self.low) / (self.high - self.low) if self.high > self.low else 0.5
        return round(self.begin + share * (self.end - self.begin), 1)


def scale(values: Sequence[float | None], width: int) -> Scale:
    """A scale for intervals of a drawing of that width, which holds all values and zero."""
    known = [0.0, *(value for value in values if value is not None)]
    return Scale(min(known), max(known), MARGIN, width - MARGIN)


def interval(value: float | None, low: float | None, high: float | None, x: Scale) -> str:
    """A value as a dot on its interval, beside a mark for zero, as SVG; nothing where there is no value.

    It holds numbers alone. A large leaderboard has hundreds of thousands, for which a template would take its time.
    """
    if value is None:
        return ""
    words, line, width = f"{value:.3f}", "", x.end + MARGIN
    if low is not None and high is not None:
        words += f", 95 % interval {low:.3f} to {high:.3f}"
        line = f'<line class="whisker" x1="{x(low)}" x2="{x(high)}" y1="9" y2="9"/>'
    return (
        f'<svg class="interval" width="{width}" height="18" viewBox="0 0 {width} 18" role="img" aria-label="{words}">'
        f'<line class="zero" x1="{x(0.0)}" x2="{x(0.0)}" y1="1" y2="17"/>{line}'
        f'<circle class="dot" cx="{x(value)}" cy="9" r="4"/></svg>'
    )


BAR = 120
"""Width of intervals in tables."""


def intervals(ends: Sequence[tuple[float | None, float | None, float | None]]) -> list[str]:
    """Values with their ends, all on one scale."""
    x = scale([end for three in ends for end in three], BAR)
    return [interval(*three, x) for three in ends]


WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 520, 240, 52, 12, 30, 36
"""Of curves, with the room for their legend and axes."""


@dataclass(frozen=True)
class Curve:
    """One line."""

    name: str
    points: Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Curves:
    """Lines over one axis."""

    lines: Sequence[Curve]
    across: Sequence[tuple[float, str]]
    """Marks of the horizontal axis, with their labels."""
    up: Sequence[tuple[float, str]]
    words: str
    x_name: str


def curves(lines: Mapping[str, Sequence[tuple[float, float]]], x_name: str, y_name: str) -> Curves | None:
    """Lines through points (x, y); None where there is none."""
    points = [point for line in lines.values() for point in line]
    if not points:
        return None
    xs, ys = zip(*points, strict=True)
    room = (max(ys) - min(ys)) * 0.05 or 0.05
    x = Scale(min(xs), max(xs), LEFT + 10, WIDTH - RIGHT - 10)
    y = Scale(min(ys) - room, max(ys) + room, HEIGHT - BOTTOM, TOP)
    marks = sorted(set(xs))
    return Curves(
        [Curve(name, [(x(a), y(b)) for a, b in line]) for name, line in lines.items() if line],
        [(x(at), f"{at:g}") for at in marks[:: -(-len(marks) // 10)]],
        [(y(at), f"{at:.2f}") for at in (y.low + (y.high - y.low) * step / 4 for step in range(5))],
        f"{y_name} by {x_name}: {', '.join(lines)}",
        x_name,
    )
