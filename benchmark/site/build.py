"""What the site is made of, written whole or not at all."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import benchmark
from benchmark import leaderboard, licence, novelty, published, spread, wording
from benchmark.console import progress, say
from benchmark.errors import UserError
from benchmark.site import boards, charts, studies
from benchmark.site.boards import BoardPages

MARK = "site.css"
"""A folder that holds this is a site, and may be replaced by a new one."""
RUNS = 8
"""Of a leaderboard's runs, at most so many stand on its page of studies: the best ones."""


@dataclass(frozen=True)
class Built:
    """What was written."""

    folder: Path
    n_pages: int
    boards: Mapping[str, bool]
    """By leaderboard, whether it has a page of studies."""


def build(results: Path, out: Path, private: bool = False, runs: int = RUNS) -> Built:
    """Write the site of all leaderboards to `out`; one that is there is replaced when the new one is complete.

    `private` is a user's word that the data are their own and the site stays with them: their studies are shown.
    Raises UserError where there are no scores, or `out` holds something else.
    """
    folders = leaderboard.folders(results)
    if not folders:
        raise UserError(f"No scores under {results / 'scores'} yet. Run `bench eval MODEL --split val` first.")
    if out.exists() and (not out.is_dir() or (any(out.iterdir()) and not (out / MARK).exists())):
        raise UserError(f"{out} is there and is no site. Name an empty or a new folder with --out.")
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}-") as temporary:
        made = Path(temporary) / "site"
        written = _Writer(made)
        found = [boards.read(folder, results) for folder in folders]
        shown = {board.name: _studies(board, results, made, out, private, runs) for board in found}
        with progress("Writing pages", sum(_n_pages(board) for board in found)) as advance:
            for board in found:
                _board(board, written, shown[board.name], advance)
        written.page("index.html", "index.html", root="", boards=found, explanation=leaderboard.EXPLANATION)
        for name in (MARK, "site.js", "studies.js"):
            shutil.copyfile(Path(__file__).parent / "templates" / name, made / name)
        if out.exists():
            shutil.rmtree(out)
        made.rename(out)
    return Built(out, written.n, shown)


def _n_pages(board: BoardPages) -> int:
    return len(board.protocols) + len(board.entries) + len(board.pairs) + 1


class _Writer:
    """Templates to pages. All values are escaped."""

    def __init__(self, folder: Path):
        from jinja2 import Environment, PackageLoader, StrictUndefined

        self.folder = folder
        self.n = 0
        self._templates = Environment(
            loader=PackageLoader("benchmark.site", "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        filters: dict[str, Any] = {
            "heading": wording.heading,
            "number": lambda value: _number(value, "{:.3f}"),
            "signed": lambda value: _number(value, "{:+.3f}"),
            "p": lambda value: _number(value, "{:.4f}"),
            "percent": lambda value: _number(value, "{:.0%}"),
            "place": leaderboard.place,
            "protocol_page": boards.protocol_page,
        }
        self._templates.filters |= filters
        self._templates.globals |= {
            "made": datetime.now(UTC).strftime("%Y-%m-%d"),
            "version": benchmark.__version__,
            "ranked_by": leaderboard.RANKED_BY,
        }

    def page(self, path: str, template: str, **content: Any) -> None:
        target = self.folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        # The folder as a whole becomes visible when it is complete, so no page needs to be safe by itself.
        target.write_text(self._templates.get_template(template).render(**content), encoding="utf-8")
        self.n += 1


def _number(value: Any, form: str) -> str:
    return "–" if value is None else form.format(value)


def _board(board: BoardPages, written: _Writer, has_studies: bool, advance: Callable[[int], None]) -> None:
    for protocol in board.protocols:
        written.page(
            f"{board.name}/{boards.protocol_page(protocol)}",
            "board.html",
            root="../",
            board=board,
            protocol=protocol,
            others=protocol != spread.DEFAULT,
            studies=has_studies,
            explanation=spread.EXPLANATION if protocol != spread.DEFAULT else leaderboard.EXPLANATION,
            published_explanation=published.EXPLANATION,
        )
        advance(1)
    for run_id, entry in board.entries.items():
        written.page(
            f"{board.name}/{board.pages[run_id]}",
            "model.html",
            root="../",
            board=board,
            entry=entry,
            facts=_facts(entry),
            scores={section: _scores(scored) for section, scored in entry["sections"].items()},
            protocols={
                f"{protocol}, {section}": _scores(scored)
                for protocol, sections in entry.get("protocols", {}).items()
                for section, scored in sections.items()
            },
            spreads=boards.spreads(entry),
            slices={section: boards.slice_rows(scored) for section, scored in entry["sections"].items()},
            drawn_history=boards.history(entry),
            pairs=[(pair, board.words(pair.b if pair.a == run_id else pair.a)) for pair in board.of(run_id)],
            settings=_settings(entry),
        )
        advance(1)
    for pair in board.pairs:
        written.page(f"{board.name}/pairs/{pair.page}", "pair.html", root="../../", board=board, pair=pair)
        advance(1)
    if has_studies:
        written.page(f"{board.name}/studies.html", "studies.html", root="../", board=board)
    advance(1)


def _facts(entry: Mapping[str, Any]) -> dict[str, str]:
    """What a reader wants to know first, in words."""
    reports, seconds, peak = entry["reports"], entry["seconds_per_report"], entry["peak_memory_mb"]
    given = {
        "written": "elsewhere, and submitted" if entry.get("submitted") else "",
        "preset": entry["preset"],
        "parameters": f"{entry['card']['parameters']:,}" if "parameters" in entry["card"] else "",
        "studies": f"{entry['n']:,}",
        "different reports": f"{reports['distinct_reports']:,} (the commonest {reports['commonest_share']:.1%})",
        "words a report": f"{reports['mean_words']:.1f}",
        "length against the references": _share(reports.get("length_ratio")),
        "ended by themselves": f"{reports['ended_share']:.1%}",
        "word sequences not in training": _share(reports.get(f"novel_{novelty.N}gram_share")),
        "copies of training reports": _share(reports.get("copied_from_training_share")),
        "seconds a report": "" if seconds is None else f"{seconds:.3g}",
        "peak memory": "" if peak is None else f"{peak / 1000:.1f} GB",
        "date": entry["date"][:10],
        "commit": entry["commit"],
    }
    return {name: value for name, value in given.items() if value}


def _share(value: float | None) -> str:
    return "" if value is None else f"{value:.1%}"


def _scores(scored: Mapping[str, Any]) -> list[dict[str, Any]]:
    found = []
    for key, metric in scored["metrics"].items():
        (drawn,) = charts.intervals([(metric["value"], metric["low"], metric["high"])])
        found.append({"key": key, **metric, "drawn": drawn})
    return found


def _settings(entry: Mapping[str, Any]) -> str:
    keys = ("settings", "seed", "card", "trained_on", "hardware", "seconds", "packages", "fingerprint", "dropped")
    return json.dumps({key: entry[key] for key in keys}, indent=2, ensure_ascii=False)


def _studies(board: BoardPages, results: Path, made: Path, out: Path, private: bool, most: int) -> bool:
    """Write the data of the page of studies, where the data set lets it; says why where it does not."""
    by_id = {path.parent.name: path.parent for path in (results / "runs").glob("*/*/*/*/run.json")}
    ranked = [row["run_id"] for table in reversed(board.tables) for row in table.rows]
    folders = [by_id[run_id] for run_id in dict.fromkeys(ranked) if run_id in by_id][:most]
    found = studies.usable(folders, results)
    if found is None:
        return False
    runs, dataset, selection = found
    try:
        licence.refuse_publication(dataset, studies.KINDS, f"The page of studies of {board.name}", private)
        licence.keep_out_of_git(dataset, studies.KINDS, out)
    except UserError as error:
        say(str(error))
        return False
    studies.write(runs, dataset, selection, made / board.name)
    return True
