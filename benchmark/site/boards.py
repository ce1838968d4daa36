"""Committed aggregates to what the pages of one leaderboard show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmark import leaderboard, pairs, published, spread
from benchmark.schema import SECTIONS
from benchmark.site import charts
from benchmark.wording import file_name


@dataclass(frozen=True)
class Table:
    """One section of a leaderboard under one protocol."""

    section: str
    ranked_by: str
    metrics: Sequence[str]
    """Keys of the others that are shown."""
    rows: Sequence[Mapping[str, Any]]
    """Of `leaderboard.read_board` or `spread.tables`, with `page` and `drawn` (the interval)."""
    signatures: Sequence[str]


@dataclass(frozen=True)
class Test:
    """One metric of a pair."""

    metric: str
    values: Mapping[str, Any]
    """Of `paired.Test`."""
    p_holm: float
    """Corrected for all pairs of the leaderboard's section."""
    drawn: str


@dataclass(frozen=True)
class Pair:
    """Two runs and what paired tests found, by section."""

    a: str
    b: str
    """Run ids."""
    page: str
    tests: Mapping[str, Sequence[Test]]


@dataclass(frozen=True)
class BoardPages:
    """A leaderboard with all that its pages need."""

    name: str
    protocols: Mapping[str, Sequence[Table]]
    """The tables by protocol, those of the leaderboard itself first."""
    entries: Mapping[str, Mapping[str, Any]]
    """The aggregates that it shows, by run id."""
    pages: Mapping[str, str]
    """The file of each run's page, by run id."""
    pairs: Sequence[Pair]
    published: Mapping[str, Sequence[Mapping[str, str]]]
    n_superseded: int

    @property
    def tables(self) -> Sequence[Table]:
        """Of the leaderboard itself."""
        return self.protocols[spread.DEFAULT]

    def of(self, run_id: str) -> list[Pair]:
        """The pairs of one run."""
        return [pair for pair in self.pairs if run_id in (pair.a, pair.b)]

    def words(self, run_id: str) -> str:
        """A run's name in sentences."""
        entry = self.entries[run_id]
        return f"{entry['model']} ({entry['preset']}, {run_id[:6]})"


def read(folder: Path, results: Path) -> BoardPages:
    """The pages of one folder of aggregates. Raises UserError for a damaged file."""
    board = leaderboard.read_board(folder)
    entries = {entry["run_id"]: entry for entry in board.entries}
    pages = {run_id: file_name(entry["model"], run_id) + ".html" for run_id, entry in entries.items()}
    key = leaderboard.RANKED_BY
    metrics = [each for each in leaderboard.METRICS if each != key]
    known = [{**row, "low": row[f"{key}_low"], "high": row[f"{key}_high"]} for row in board.rows]
    tables = {spread.DEFAULT: [_table(section, key, metrics, known, pages) for section in SECTIONS]}
    for protocol in spread.protocols(board.entries)[1:]:
        tables[protocol] = [
            _table(each.section, each.ranked_by, each.metrics, each.rows, pages)
            for each in spread.tables(board.entries, protocol)
        ]
    tables = {name: [table for table in of_protocol if table.rows] for name, of_protocol in tables.items()}
    others = published.tables(published.of_board(published.read(results), board.name))
    return BoardPages(
        board.name,
        {name: each for name, each in tables.items() if each},
        entries,
        pages,
        _pairs(folder, entries),
        others,
        board.n_superseded,
    )


def _table(
    section: str, key: str, metrics: Sequence[str], rows: Sequence[Mapping[str, Any]], pages: Mapping[str, str]
) -> Table:
    here = [row for row in rows if row["section"] == section]
    drawn = charts.intervals([(row[key], row["low"], row["high"]) for row in here])
    shown = [{**row, "page": pages[row["run_id"]], "drawn": each} for row, each in zip(here, drawn, strict=True)]
    return Table(section, key, metrics, shown, sorted({row["signature"] for row in here}))


def protocol_page(protocol: str) -> str:
    """The file of a leaderboard under a protocol."""
    return "index.html" if protocol == spread.DEFAULT else file_name("protocol", protocol) + ".html"


def _pairs(folder: Path, entries: Mapping[str, Any]) -> list[Pair]:
    found: dict[tuple[str, str], dict[str, Sequence[Test]]] = {}
    for group, tests in pairs.read(folder).tests.items():
        # A run that was scored anew has tests of its earlier signature, too: they are not of what the page shows.
        here = {run_id for run_id, entry in entries.items() if _group(entry, group[0]) == group}
        known = {ids: by_key for ids, by_key in tests.items() if here.issuperset(ids)}
        corrected = pairs.corrected(known)
        for ids, by_key in known.items():
            section = [_test(key, test, corrected[ids][key]) for key, test in by_key.items()]
            found.setdefault(ids, {})[group[0]] = section
    return [
        Pair(a, b, file_name(a, b) + ".html", {name: tests[name] for name in SECTIONS if name in tests})
        for (a, b), tests in found.items()
    ]


def _group(entry: Mapping[str, Any], section: str) -> pairs.Key | None:
    scored = entry["sections"].get(section)
    return (section, entry["fingerprint"], scored["signature"]) if scored else None


def _test(key: str, values: Mapping[str, Any], p_holm: float) -> Test:
    (drawn,) = charts.intervals([(values["difference"], values["low"], values["high"])])
    return Test(key, values, p_holm, drawn)


@dataclass(frozen=True)
class SliceRow:
    """One slice of a run's section."""

    name: str
    content: Mapping[str, Any]
    drawn: str


def slice_rows(scored: Mapping[str, Any]) -> list[SliceRow]:
    """The slices of a section under the metric that ranks."""
    key = leaderboard.RANKED_BY
    slices = scored.get("slices", {})
    values = [content["metrics"].get(key, {}) for content in slices.values()]
    drawn = charts.intervals([(value.get("value"), value.get("low"), value.get("high")) for value in values])
    return [SliceRow(name, content, each) for (name, content), each in zip(slices.items(), drawn, strict=True)]


@dataclass(frozen=True)
class Spread:
    """One metric of a run's section under several protocols, drawn on one scale."""

    section: str
    metric: str
    rows: Sequence[tuple[str, Mapping[str, Any], str]]
    """Protocol, value with its interval, and the drawing."""


def spreads(entry: Mapping[str, Any]) -> list[Spread]:
    """What a run has under more than one protocol."""
    found = []
    for section in SECTIONS:
        for key in spread.shared([entry], section):
            values = spread.values(entry, section, key)
            drawn = charts.intervals([(each["value"], each["low"], each["high"]) for each in values.values()])
            found.append(Spread(section, key, list(zip(values, values.values(), drawn, strict=True))))
    return found


def history(entry: Mapping[str, Any]) -> charts.Curves | None:
    """Training and validation loss by epoch; None for a model without."""
    lines = {
        name: [(row["epoch"], row[key]) for row in entry["history"] if key in row]
        for name, key in (("training", "train_loss"), ("validation", "validation_loss"))
    }
    return charts.curves(lines, "epoch", "loss")
