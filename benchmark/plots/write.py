"""Which figures there are to draw, and under what names they are written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmark import evaluate, leaderboard
from benchmark.console import progress, say
from benchmark.errors import UserError, unknown
from benchmark.leaderboard import RANKED_BY, Board
from benchmark.plots import curves, protocols, slices
from benchmark.plots import leaderboard as forest
from benchmark.schema import SECTIONS
from benchmark.wording import file_name

METRICS = (RANKED_BY, "bleu_4", "rouge_l", "bertscore_f1")
"""Panels of a leaderboard where no metric is named."""
SPREAD = ("bleu_1", "bleu_4", "meteor", "rouge_l", "rouge_l_coco", "cider")
"""Likewise of protocols."""


def write(
    results: Path, out: Path, board: str = "", sections: Sequence[str] = (), metrics: Sequence[str] = ()
) -> list[Path]:
    """Draw the leaderboards, or one, in all sections or those named, and the trainings; returns the files.

    `metrics` are panels of the leaderboards and the protocols, and the heat maps to draw. Raises UserError for an
    unknown name, where there is nothing to draw, and without matplotlib.
    """
    boards = {each.name: each for each in leaderboard.boards(results)}
    if board and board not in boards:
        raise unknown("leaderboard", board, boards)
    chosen = [boards[board]] if board else list(boards.values())
    for section in sections:
        if section not in SECTIONS:
            raise unknown("section", section, SECTIONS)
    known = {key for each in chosen for key in each.metrics}
    for key in metrics:
        if key not in known:
            raise unknown("metric", key, known)
    trainings = _trainings(results, chosen, bool(board))
    if not chosen and not trainings:
        raise UserError(
            f"Nothing to draw: no scores under {results / 'scores'}, no training under {results / 'checkpoints'}. "
            "Run `bench eval MODEL --split val` first."
        )
    there = {
        each.name: [s for s in sections or SECTIONS if any(row["section"] == s for row in each.rows)] for each in chosen
    }
    files: list[Path] = []
    with progress("Drawing", sum(map(len, there.values())) + len(trainings)) as advance:
        for each in chosen:
            for section in there[each.name]:
                files += _section(each, section, metrics, out)
                advance(1)
        for (model, checkpoint), history in trainings.items():
            files += curves.draw(f"{model}: {checkpoint}", history, out, file_name("training", model, checkpoint))
            advance(1)
    for each in chosen:
        if not any("-protocols." in path.name and path.name.startswith(each.name) for path in files):
            say(f"{each.name}: no figure of protocols, as no run is scored under two. `bench eval … --protocol NAME,…`")
    return files


def _section(board: Board, section: str, metrics: Sequence[str], out: Path) -> list[Path]:
    files = forest.draw(board, section, metrics or METRICS, out, file_name(board.name, section, "leaderboard"))
    for key in metrics or METRICS[:1]:
        files += slices.draw(board, section, key, out, file_name(board.name, section, "slices", key))
    return files + protocols.draw(board, section, metrics or SPREAD, out, file_name(board.name, section, "protocols"))


def _trainings(
    results: Path, boards: Sequence[Board], of_boards: bool
) -> dict[tuple[str, str], Sequence[Mapping[str, Any]]]:
    """Histories by model and checkpoint: of the boards' runs and, unless `of_boards` alone, of all checkpoints here."""
    found: dict[tuple[str, str], Sequence[Mapping[str, Any]]] = {
        (entry["model"], entry["checkpoint_name"]): entry["history"]
        for board in boards
        for entry in board.entries
        if entry["history"]
    }
    for path in [] if of_boards else sorted((results / "checkpoints").glob("*/*/history.csv")):
        found[path.parent.parent.name, path.parent.name] = evaluate.read_history(path)
    return {key: history for key, history in found.items() if history}
