"""Leaderboards of several sites side by side, from the aggregates that each may give away.

A site is a folder of aggregates, as they lie under `results/scores/<board>/` of whoever made them. Sites hold different
patients, so rows of one are never ranked with those of another: a table has a row a model and a column a site.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmark import leaderboard
from benchmark.errors import UserError, unknown
from benchmark.schema import SECTIONS

HERE = "here"
"""Name of the site whose results folder this is."""

EXPLANATION = (
    "Value with its 95 % interval over the site's patients, and the studies scored. Sites hold different patients, so "
    "nothing is ranked across them. *: scored otherwise (another signature) than the first value of the table."
)

Row = dict[str, Any]


def read(folders: Mapping[str, Path], results: Path) -> list[Row]:
    """A row for each site, board, model, section and metric: what is here first, then the sites in the order given.

    Of each model and its settings the newest run without a control is taken. Raises UserError for a folder without
    aggregates or with a file that is none, and for a site called as this one.
    """
    if HERE in folders:
        raise UserError(f"'{HERE}' stands for this results folder. Give the site another name.")
    rows = _rows(HERE, results / "scores")
    for site, folder in folders.items():
        if not folder.is_dir():
            raise UserError(f"No such folder: {folder} (site {site}).")
        found = _rows(site, folder)
        if not found:
            raise UserError(
                f"{folder} holds no aggregates (site {site}): the JSON files under results/scores/<board>/."
            )
        rows += found
    return rows


def _rows(site: str, folder: Path) -> list[Row]:
    rows = []
    for place in sorted({path.parent for path in folder.rglob("*.json")}):
        for entry in leaderboard.newest_entries(leaderboard.read_entries(place)):
            if not entry["control"]:
                rows += _of_entry(site, entry)
    return rows


def _of_entry(site: str, entry: Mapping[str, Any]) -> list[Row]:
    about = {
        "site": site,
        **{key: entry[key] for key in ("dataset", "split", "model", "preset", "run_id", "fingerprint", "date")},
        "settings": f"{entry['checkpoint_name']}, {entry['settings_id']}, {entry['seed']}",
    }
    return [
        {
            **about,
            "section": name,
            "n": metric["n_scored"],
            "n_patients": section.get("n_patients"),
            "metric": key,
            **{end: metric[end] for end in ("value", "low", "high")},
            "signature": metric["signature"] and f"{entry['protocol']} {metric['signature']}",
        }
        for name, section in entry["sections"].items()
        for key, metric in section["metrics"].items()
    ]


def tables(rows: Sequence[Row], metric: str) -> dict[str, list[dict[str, str]]]:
    """By section: a row a model as text, with a column a site (and board, where a site has several).

    Raises UserError for a metric that nobody has.
    """
    known = dict.fromkeys(row["metric"] for row in rows)
    if metric not in known:
        raise unknown("metric", metric, known)
    several = len({(row["site"], row["dataset"], row["split"]) for row in rows}) > len({row["site"] for row in rows})
    found: dict[str, list[dict[str, str]]] = {}
    for section in SECTIONS:
        here = [
            row for row in rows if (row["section"], row["metric"]) == (section, metric) and row["value"] is not None
        ]
        if not here:
            continue
        columns = dict.fromkeys(_column(row, several) for row in here)
        by_model: dict[tuple[str, str], dict[str, list[str]]] = {}
        for row in here:
            cells = by_model.setdefault((row["model"], row["preset"]), {})
            odd = "*" if row["signature"] != here[0]["signature"] else ""
            cells.setdefault(_column(row, several), []).append(_cell(row) + odd)
        found[section] = [
            {"model": model, "preset": preset, **{column: "\n".join(cells.get(column, ["–"])) for column in columns}}
            for (model, preset), cells in sorted(by_model.items())
        ]
    return found


def _column(row: Row, several: bool) -> str:
    return f"{row['site']}\n{row['dataset']}-{row['split']}" if several else row["site"]


def _cell(row: Row) -> str:
    ends = "" if row["low"] is None else f" {row['low']:.3f}–{row['high']:.3f}"
    return f"{row['value']:.3f}{ends} n {row['n']}"
