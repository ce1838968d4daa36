"""Aggregated scores to leaderboards: one CSV and one Markdown table per data set and split.

The files under `results/scores/` are the only input, so `check` can tell whether a leaderboard is what they give.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmark import aggregates, pairs, seeds
from benchmark.board_rows import FACTS, TRUTH, board_row, newest_extra
from benchmark.ranking import RANKED_BY, Row, ranked
from benchmark.schema import SECTIONS
from benchmark.store import cell, write_text

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
LABELS = ("label_f1_macro_14", "label_f1_micro_14")

BEFORE_METRICS = (
    "rank",
    "model",
    "preset",
    "training_seed",
    "run_id",
    "origin",
    "section",
    "n",
    "n_unscored",
    "n_empty",
)
AFTER_METRICS = (
    f"{RANKED_BY}_low",
    f"{RANKED_BY}_high",
    "rank_basis",
    "beats",
    "grounding_gap",
    "grounding_gap_low",
    "grounding_gap_high",
    "distinct_reports",
    "commonest_share",
    "ended_share",
    *TRUTH,
    "seeds",
    *(f"{key}_{kind}" for key in (*METRICS, *LABELS) for kind in ("mean", "deviation")),
    *FACTS,
    "note",
    "fingerprint",
    "signature",
    "commit",
    "date",
)


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
    entries: Sequence[Mapping[str, Any]] = ()
    """The aggregates that the rows are of."""


def folders(results: Path) -> list[Path]:
    """The folders that hold aggregates, one a leaderboard."""
    return sorted(path for path in (results / "scores").glob("*") if path.is_dir() and any(path.glob("*.json")))


def boards(results: Path) -> list[Board]:
    """All leaderboards that the committed aggregates give."""
    return [read_board(folder) for folder in folders(results)]


def read_entries(folder: Path) -> list[dict[str, Any]]:
    """The aggregates of one folder, oldest first. Raises UserError for a file that is none."""
    entries = []
    for path in sorted(folder.glob("*.json")):
        if path.name == pairs.NAME:
            continue
        entries.append(aggregates.read(path))
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
    newest = newest_extra(shown)
    scored = {key for e in shown for section in e["sections"].values() for key in section["metrics"]}
    metrics = (*METRICS, *sorted(scored - set(METRICS)))
    systems = [e for e in shown if not e["control"]]
    spread = seeds.spread(systems, (*METRICS, *LABELS))
    rows = [
        {**board_row(e, name, metrics, newest, controls.get(_identity(e)), tests), **spread[e["run_id"], name]}
        for e in systems
        for name in e["sections"]
    ]
    return Board(folder.name, ranked(rows, tests), metrics, len(entries) - len(shown), systems)


def _identity(entry: Mapping[str, Any]) -> tuple[str, ...]:
    """What two runs share when the later one takes the place of the earlier."""
    keys = ("model", "checkpoint_name", "settings_id", "control", "fingerprint")
    return (*(str(entry[key]) for key in keys), str(entry["seed"]))


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
    return cell(value) if isinstance(value, str) else str(value)


SHOWN = {
    "rank": "#",
    "model": "model",
    "preset": "preset",
    "training_seed": "seed",
    "n": "n",
    "bleu_1": "BLEU-1",
    "bleu_4": "BLEU-4",
    "meteor": "METEOR",
    "rouge_l": "ROUGE-L",
    "bertscore_f1": "BERTScore",
    "cider": "CIDEr",
    "interval": "95 % interval",
    "beats": "beats",
    "grounding_gap": "gap",
    "distinct_reports": "distinct",
    "note": "note",
}
"""Columns of the tables that people read, and their headings."""

MODELS = {
    "model": "model",
    "preset": "preset",
    "training_seed": "seed",
    "origin": "written",
    "views": "views",
    "uses": "besides",
    "trained_on": "trained on",
    "seconds_per_report": "s a report",
    "peak_memory_mb": "peak MB",
}
TRUTHS = {
    "model": "model",
    "preset": "preset",
    "training_seed": "seed",
    **dict(zip(TRUTH, ("found", "side", "lobe", "severity", "invented a report"), strict=True)),
}
SEEDS = {
    **{key: SHOWN[key] for key in ("bleu_1", "bleu_4", "meteor", "rouge_l", "bertscore_f1", "cider")},
    **dict(zip(LABELS, ("label F1, macro", "label F1, micro"), strict=True)),
}
"""Of the table of several trainings."""
ABOUT_MODELS = (
    "views, besides: what a model was given of a study, images and texts. written, trained on: a submitted model's "
    "reports came from elsewhere, and its card says what it declares. s a report, peak MB: on the hardware of its "
    "run; memory of the process (not a GPU's), where that did nothing before."
)
ABOUT_TRUTH = (
    "Against what was drawn: shares of the findings that the reports state, and state with the right side, lobe and "
    "severity (of those that have one); classes stated that are not there, a report."
)
PER_MODEL = (("models", MODELS, ABOUT_MODELS), ("truth", TRUTHS, ABOUT_TRUTH))
"""Title, columns and explanation of the tables that have one row a model."""

EXPLANATION = (
    "Ranked by CIDEr, with its 95 % interval over patients. A new place begins where every row above differs from "
    "every row from there on (paired randomisation of patients, p < 0.05 after Holm's correction); beats: how many "
    "rows one is tested to be better than, also in its own place; ?: not tested against every other row. seed: of "
    "training. gap: CIDEr lost when the images are shuffled among the studies. distinct: how many different reports "
    "were written, of all studies, also those that have no reference for a section and are not among its n."
)


def shown_rows(board: Board, section: str) -> list[dict[str, str]]:
    """Rows of a section as text, keyed by heading."""
    return [
        {heading: _shown(row, column) for column, heading in SHOWN.items()}
        for row in board.rows
        if row["section"] == section
    ]


def model_rows(board: Board, columns: Mapping[str, str]) -> list[dict[str, str]]:
    """Rows of a table that has one a model (MODELS, TRUTHS) as text, keyed by heading; none without a value in it."""
    rows = {row["run_id"]: row for row in board.rows}.values()
    told = [column for column in columns if column not in ("model", "preset", "training_seed")]
    kept = [row for row in rows if any(row.get(column) not in (None, "") for column in told)]
    return [{heading: _shown(row, column) for column, heading in columns.items()} for row in kept]


def seed_rows(board: Board, section: str) -> list[dict[str, str]]:
    """Mean ± deviation of the configurations that were trained with several seeds, best first, keyed by heading."""
    several = [row for row in board.rows if row["section"] == section and f"{RANKED_BY}_mean" in row]
    ordered = sorted(several, key=lambda row: -row[f"{RANKED_BY}_mean"])
    told = {
        (row["model"], row["preset"], row[f"{RANKED_BY}_mean"]): {
            **{column: str(row[column]) for column in ("model", "preset", "seeds")},
            **{heading: _mean_and_deviation(row, key) for key, heading in SEEDS.items()},
        }
        for row in ordered
    }
    return list(told.values())


def _mean_and_deviation(row: Row, key: str) -> str:
    mean = row.get(f"{key}_mean")
    return "" if mean is None else f"{mean:.3f} ± {row[f'{key}_deviation']:.3f}"


def place(row: Mapping[str, Any]) -> str:
    """A row's rank as people read it: `?` where it was not tested, a dash where it is not ranked."""
    if row["rank"] is None:
        return "–"
    return f"{row['rank']}?" if row.get("rank_basis") == "untested" else str(row["rank"])


def _shown(row: Row, column: str) -> str:
    if column == "interval":
        low, high = row.get(f"{RANKED_BY}_low"), row.get(f"{RANKED_BY}_high")
        return "" if low is None or high is None else f"{low:.3f}–{high:.3f}"
    value = row.get(column)
    if column == "rank":
        return place(row)
    if value is None:
        return "–" if column in METRICS else ""
    if column == "peak_memory_mb":
        return f"{value:.0f}"
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def to_markdown(board: Board) -> str:
    """One table a section."""
    lines = [f"# {board.name}", "", EXPLANATION, ""]
    for section in SECTIONS:
        rows = shown_rows(board, section)
        if rows:
            lines += [f"## {section}", "", *_markdown_table(SHOWN, rows)]
            signatures = sorted({f"`{row['signature']}`" for row in board.rows if row["section"] == section})
            lines += ["", f"Signature: {', '.join(signatures)}", ""]
        if trained := seed_rows(board, section):
            lines += [f"### {section}, over training seeds", "", "Mean ± standard deviation.", ""]
            lines += [*_markdown_table(dict(zip(trained[0], trained[0], strict=True)), trained), ""]
    for title, columns, words in PER_MODEL:
        rows = model_rows(board, columns)
        if rows:
            lines += [f"## {title}", "", words, "", *_markdown_table(columns, rows), ""]
    if board.n_superseded:
        lines += [
            f"{board.n_superseded} earlier runs of the same models and settings are kept in `scores/` and not shown.",
            "",
        ]
    return "\n".join(lines)


def _markdown_table(columns: Mapping[str, str], rows: Iterable[Mapping[str, str]]) -> list[str]:
    head = [_markdown_row(columns.values()), _markdown_row("---" for _ in columns)]
    return head + [_markdown_row(row.values()) for row in rows]


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
