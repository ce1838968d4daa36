"""What people see while they wait: lines and progress bars on standard error, tables on standard output."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from benchmark import processes

Advance = Callable[[int], None]
"""Called with how many steps are done since the last call."""


def say(line: str) -> None:
    """One line for the user, from the first of several processes alone. Standard error, so that standard output holds
    results alone.
    """
    if processes.first():
        print(line, file=sys.stderr, flush=True)


@contextlib.contextmanager
def progress(task: str, total: int, done: int = 0) -> Iterator[Advance]:
    """A bar with the time left on a terminal; elsewhere (a log file) a line now and then."""
    if sys.stderr.isatty() and processes.first():
        yield from _bar(task, total, done)
    else:
        yield from _lines(task, total, done)


def _bar(task: str, total: int, done: int) -> Iterator[Advance]:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left:"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        handle = bar.add_task(task, total=total, completed=done)
        yield lambda steps: bar.advance(handle, steps)


LINE_EVERY_SECONDS = 15.0


def _lines(task: str, total: int, done: int) -> Iterator[Advance]:
    began = last = time.monotonic()
    count = done

    def advance(steps: int) -> None:
        nonlocal count, last
        count += steps
        now = time.monotonic()
        if done < count < total and now - last >= LINE_EVERY_SECONDS:
            last = now
            left = (now - began) / (count - done) * (total - count)
            say(f"{task}: {count} of {total}, about {duration(left)} left")

    yield advance
    say(f"{task}: {count} of {total} in {duration(time.monotonic() - began)}")


def duration(seconds: float) -> str:
    """`75` → `1 min 15 s`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def table(title: str, columns: Mapping[str, str], rows: Sequence[Mapping[str, Any]], caption: str = "") -> None:
    """Print a table. `columns` gives each column's justification (`left` or `right`); rows hold ready text."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    drawn = Table(
        title=title, caption=caption or None, header_style="bold", title_justify="left", caption_justify="left"
    )
    for name, justify in columns.items():
        drawn.add_column(name, justify="right" if justify == "right" else "left", overflow="fold")
    for row in rows:
        # Text, not str: names from data are never read as markup.
        drawn.add_row(*(Text(str(row.get(name, ""))) for name in columns))
    # A pipe or a log has no width of its own; let rows stay whole there.
    Console(width=None if sys.stdout.isatty() else 200).print(drawn)
