"""Aggregated scores to leaderboards: one CSV and one Markdown table per data set and split.

The files under `results/scores/` are the only input, so `check` can tell whether a leaderboard is what they give.

Rows that cannot be told apart share a place. A new place begins where every row above differs from every row from there
on, by a paired test (`pairs.json`) whose p, after Holm's correction for all tested pairs of the ranked rows, is below
ALPHA; the rank is 1 plus the number of rows in the places above (the clusters of Koehn, IWSLT 2012). Rows that were not
tested against one another stand in places of their own unless their values are equal, and `rank_basis` says `untested`.
"""

from __future__ import annotations

import csv
import io
import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmark import pairs, statistics
from benchmark.errors import UserError
from benchmark.schema import SECTIONS
from benchmark.store import read_json, write_text

METRICS = (
    "bleu_1",
    "bleu_2",
    "bleu_3",
    "bleu_4",
    "meteor",
    "rouge_l",
    "rouge_l_coco",
    "cider",
    "bertscore_f1",
)
RANKED_BY = "cider"
"""CIDEr, because it weighs what is rare: a constant report gets little of it, while its BLEU can pass for a model's."""

ALPHA = 0.05
"""Two rows differ where the corrected p of their test is below this."""
ONE_REPORT = 0.99
"""A model whose commonest report has this share of all writes the same report for every image."""

BEFORE_METRICS = ("rank", "model", "preset", "run_id", "section", "n", "n_unscored", "n_empty")
AFTER_METRICS = (
    f"{RANKED_BY}_low",
    f"{RANKED_BY}_high",
    "rank_basis",
    "grounding_gap",
    "grounding_gap_low",
    "grounding_gap_high",
    "distinct_reports",
    "commonest_share",
    "ended_share",
    "seconds_per_report",
    "note",
    "fingerprint",
    "signature",
    "commit",
    "date",
)

Row = dict[str, Any]


@dataclass(frozen=True)
class Board:
    """The leaderboard of one data set and split."""

    name: str
    """`<dataset>-<split>`."""
    rows: Sequence[Row]
    metrics: Sequence[str]
    """Keys of the metrics: METRICS first, then what else has been scored (a metric somebody added)."""
    n_superseded: int
    """Older runs of a row's model and settings, kept in `scores/` but not shown."""


def boards(results: Path) -> list[Board]:
    """All leaderboards that the committed aggregates give."""
    folders = sorted(path for path in (results / "scores").glob("*") if path.is_dir())
    return [read_board(folder) for folder in folders if any(folder.glob("*.json"))]


def read_entries(folder: Path) -> list[dict[str, Any]]:
    """The aggregates of one folder, oldest first. Raises UserError for a file that is none."""
    entries = []
    for path in sorted(folder.glob("*.json")):
        if path.name == pairs.NAME:
            continue
        entry = read_json(path)
        if "sections" not in entry or "run_id" not in entry:
            raise UserError(f"{path} holds no aggregated scores. Remove it, or run `bench eval` again.")
        entries.append(entry)
    return sorted(entries, key=lambda entry: (entry["date"], entry["run_id"]))


def newest_entries(entries: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Of each model and its settings the newest run alone, those with a control included."""
    return list({_identity(entry): entry for entry in entries}.values())


def read_board(folder: Path) -> Board:
    """The leaderboard of one folder of aggregates. Raises UserError for a file that is none."""
    entries = read_entries(folder)
    shown = newest_entries(entries)
    tests = pairs.read(folder)
    controls = {_identity({**e, "control": ""}): e for e in shown if e["control"] == "shuffle"}
    scored = {key for e in shown for section in e["sections"].values() for key in section["metrics"]}
    metrics = (*METRICS, *sorted(scored - set(METRICS)))
    rows = [
        _row(e, name, metrics, controls.get(_identity(e)), tests)
        for e in shown
        if not e["control"]
        for name in e["sections"]
    ]
    return Board(folder.name, _ranked(rows, tests), metrics, len(entries) - len(shown))


def _identity(entry: Mapping[str, Any]) -> tuple[str, ...]:
    """What two runs share when the later one takes the place of the earlier."""
    keys = ("model", "checkpoint_name", "settings_id", "control", "fingerprint")
    return (*(str(entry[key]) for key in keys), str(entry["seed"]))


def _row(
    entry: Mapping[str, Any],
    section: str,
    keys: Sequence[str],
    shuffled: Mapping[str, Any] | None,
    tests: pairs.Pairs,
) -> Row:
    scores = entry["sections"][section]
    values = scores["metrics"]
    ranked = values.get(RANKED_BY, {})
    row = {
        **{key: entry[key] for key in ("model", "preset", "run_id", "fingerprint", "commit", "date")},
        **{key: entry["reports"][key] for key in ("distinct_reports", "commonest_share", "ended_share")},
        **{name: values.get(name, {}).get("value") for name in keys},
        "note": "; ".join(filter(None, (entry["note"], _sameness(entry["reports"])))),
        "section": section,
        "n": scores["n"] - scores["n_unscored"],
        "n_unscored": scores["n_unscored"],
        "n_empty": scores["n_empty_hypotheses"],
        f"{RANKED_BY}_low": ranked.get("low"),
        f"{RANKED_BY}_high": ranked.get("high"),
        "seconds_per_report": entry["seconds_per_report"],
        "signature": scores["signature"],
    }
    if shuffled and shuffled["checkpoint"] == entry["checkpoint"]:
        other = shuffled["sections"].get(section, {})
        without = other.get("metrics", {}).get(RANKED_BY, {}).get("value")
        if row[RANKED_BY] is not None and without is not None and other["signature"] == scores["signature"]:
            row["grounding_gap"] = row[RANKED_BY] - without
            test = tests.find(_group(row), entry["run_id"], shuffled["run_id"], RANKED_BY)
            row |= {f"grounding_gap_{end}": test[end] for end in ("low", "high")} if test else {}
    return row


def _sameness(reports: Mapping[str, Any]) -> str:
    return "writes one report for every image" if reports["commonest_share"] >= ONE_REPORT else ""


def _group(row: Row) -> pairs.Key:
    return row["section"], row["fingerprint"], row["signature"]


def _ranked(rows: Iterable[Row], tests: pairs.Pairs) -> list[Row]:
    """Rows by section and score. Only rows of the newest data and signatures are ranked; what differs says so."""
    ordered: list[Row] = []
    rows = list(rows)
    for section in SECTIONS:
        here = [row for row in rows if row["section"] == section]
        if not here:
            continue
        latest = max(here, key=lambda row: (row["date"], row["run_id"]))
        reasons = [_why_not_ranked(row, latest) for row in here]
        ranked = [row for row, reason in zip(here, reasons, strict=True) if not reason]
        ordered += _placed(sorted(ranked, key=_worst_last), tests)
        others = [(row, reason) for row, reason in zip(here, reasons, strict=True) if reason]
        for row, reason in sorted(others, key=lambda pair: _worst_last(pair[0])):
            note = "; ".join(filter(None, (row["note"], f"not ranked: {reason}")))
            ordered.append({**row, "rank": None, "note": note})
    return ordered


def _placed(rows: Sequence[Row], tests: pairs.Pairs) -> list[Row]:
    """The rows, best first, with `rank` and `rank_basis` (see the head of this file)."""
    p = {}
    for i, j in itertools.combinations(range(len(rows)), 2):
        test = tests.find(_group(rows[i]), rows[i]["run_id"], rows[j]["run_id"], RANKED_BY)
        if test is not None:
            p[i, j] = test["p"]
    corrected = dict(zip(p, statistics.holm(list(p.values())), strict=True))

    def apart(i: int, j: int) -> bool:
        return rows[i][RANKED_BY] != rows[j][RANKED_BY] and corrected.get((i, j), 0.0) < ALPHA

    placed: list[Row] = []
    for k, row in enumerate(rows):
        begins = all(apart(i, j) for i in range(k) for j in range(k, len(rows)))
        tested = all((min(i, k), max(i, k)) in p for i in range(len(rows)) if i != k)
        rank = k + 1 if begins else placed[-1]["rank"]
        placed.append({**row, "rank": rank, "rank_basis": "tested" if tested else "untested"})
    return placed


def _why_not_ranked(row: Row, latest: Row) -> str:
    if row["fingerprint"] != latest["fingerprint"]:
        return "other data"
    if row["signature"] != latest["signature"]:
        return "other signatures"
    return f"no {RANKED_BY}" if row[RANKED_BY] is None else ""


def _worst_last(row: Row) -> tuple[float, str]:
    value = row[RANKED_BY]
    return (float("inf") if value is None else -value, row["model"])


def to_csv(board: Board) -> str:
    """CSV with plain numbers: 6 decimals, empty where there is no value. Formula characters are disarmed."""
    out = io.StringIO()
    columns = (*BEFORE_METRICS, *board.metrics, *AFTER_METRICS)
    writer = csv.DictWriter(out, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows({column: _cell(row.get(column)) for column in columns} for row in board.rows)
    return out.getvalue()


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.6f}"
    text = str(value)
    # A spreadsheet runs a cell that begins with one of these as a formula.
    return f"'{text}" if isinstance(value, str) and text[:1] in ("=", "+", "-", "@") else text


SHOWN = {
    "rank": "#",
    "model": "model",
    "preset": "preset",
    "n": "n",
    "bleu_1": "BLEU-1",
    "bleu_4": "BLEU-4",
    "meteor": "METEOR",
    "rouge_l": "ROUGE-L",
    "bertscore_f1": "BERTScore",
    "cider": "CIDEr",
    "interval": "95 % interval",
    "grounding_gap": "gap",
    "distinct_reports": "distinct",
    "note": "note",
}
"""Columns of the tables that people read, and their headings."""

EXPLANATION = (
    "Ranked by CIDEr, with its 95 % interval over patients. Rows share a place unless every row above it differs from "
    "every row from it on (paired randomisation of patients, p < 0.05 after Holm's correction); ?: not tested against "
    "every other row. gap: CIDEr lost when the images are shuffled among the studies. distinct: how many different "
    "reports were written."
)


def shown_rows(board: Board, section: str) -> list[dict[str, str]]:
    """Rows of a section as text, keyed by heading."""
    return [
        {heading: _shown(row, column) for column, heading in SHOWN.items()}
        for row in board.rows
        if row["section"] == section
    ]


def _shown(row: Row, column: str) -> str:
    if column == "interval":
        low, high = row.get(f"{RANKED_BY}_low"), row.get(f"{RANKED_BY}_high")
        return "" if low is None or high is None else f"{low:.3f}–{high:.3f}"
    value = row.get(column)
    if column == "rank" and row.get("rank_basis") == "untested":
        return f"{value}?"
    if value is None:
        return "–" if column in ("rank", *METRICS) else ""
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def to_markdown(board: Board) -> str:
    """One table a section."""
    lines = [f"# {board.name}", "", EXPLANATION, ""]
    for section in SECTIONS:
        rows = shown_rows(board, section)
        if rows:
            lines += [f"## {section}", "", _markdown_row(SHOWN.values()), _markdown_row("---" for _ in SHOWN)]
            lines += [_markdown_row(row.values()) for row in rows]
            signatures = sorted({f"`{row['signature']}`" for row in board.rows if row["section"] == section})
            lines += ["", f"Signature: {', '.join(signatures)}", ""]
    if board.n_superseded:
        lines += [
            f"{board.n_superseded} earlier runs of the same models and settings are kept in `scores/` and not shown.",
            "",
        ]
    return "\n".join(lines)


def _markdown_row(cells: Iterable[str]) -> str:
    escaped = (cell.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;").replace("\n", " ") for cell in cells)
    return f"| {' | '.join(escaped)} |"


def files(board: Board, results: Path) -> dict[Path, str]:
    """The leaderboard's files and what they hold."""
    return {results / f"{board.name}.csv": to_csv(board), results / f"{board.name}.md": to_markdown(board)}


def write(results: Path) -> list[Board]:
    """Write every leaderboard and return them."""
    found = boards(results)
    for each in found:
        for path, text in files(each, results).items():
            write_text(path, text)
    return found


def outdated(results: Path) -> list[Path]:
    """Leaderboard files that are not what the aggregates give, those without aggregates included."""
    expected = {path: text for each in boards(results) for path, text in files(each, results).items()}
    wrong = [path for path, text in expected.items() if not path.exists() or path.read_text(encoding="utf-8") != text]
    orphans = [path for path in results.glob("*-*.*") if path.suffix in (".csv", ".md") and path not in expected]
    return sorted(wrong + orphans)
