"""Commands about scores: score and leaderboard, and how both are shown."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from benchmark import config
from benchmark.cli._app import app, end
from benchmark.cli._options import AsJson, DataOptions, Encoder, Precision, Split, grouped, key_value
from benchmark.console import say, table
from benchmark.errors import UserError


@app.command()
@grouped
def score(
    hypotheses: Annotated[
        Path,
        typer.Argument(help="Texts by study id (CSV, JSONL, JSON as of ReXrank or R2GenGPT), or a run folder."),
    ],
    source: DataOptions,
    references: Annotated[Path | None, typer.Option("--references", help="Likewise; or a data set: --dataset.")] = None,
    split: Split = "val",
    section: Annotated[str, typer.Option("--section", help="findings, impression or report.")] = "",
    protocol: Annotated[
        str, typer.Option("--protocol", help="Names from `bench protocols`, divided by commas; else `default`.")
    ] = "",
    missing: Annotated[
        str, typer.Option("--missing", help="Studies without just one hypothesis: fail, zero (an empty one), skip.")
    ] = "fail",
    training_texts: Annotated[
        Path | None, typer.Option("--training-texts", help="For protocols with a vocabulary; else the data set's.")
    ] = None,
    model_folder: Annotated[
        list[str] | None, typer.Option("--model-folder", help="HUB_ID=FOLDER of a tokenizer or encoder.")
    ] = None,
    json_out: Annotated[Path | None, typer.Option("--json", help="Write the numbers to this file.")] = None,
    bertscore_encoder: Encoder = "",
    bertscore_precision: Precision = "fp32",
) -> None:
    """Score texts against references, a data set or, of a run folder, its data set, under any protocols."""
    from benchmark import rescore
    from benchmark.contracts import MetricContext

    folders = dict(key_value("--model-folder", given) for given in model_folder or [])
    context = MetricContext(
        encoder=bertscore_encoder, extra={"folders": folders, "bertscore_precision": bertscore_precision}
    )
    names = [name.strip() for name in protocol.split(",") if name.strip()]
    order = rescore.Order(names or ["default"], section, missing, training_texts, context)
    results = config.results_folder()
    if hypotheses.is_dir():
        run, dataset = rescore.open_run(hypotheses, source.root, source.reports_root, results)
        if not names and not section:
            sections = rescore.score_folder(run, dataset, results, context)
            print_scores(hypotheses.name, sections)
            content: dict[str, Any] = {"sections": sections, "protocols": {"default": {"sections": sections}}}
            _write(json_out, content)
            return
        content = rescore.score_run_under(run, dataset, order)
    elif references is not None and source.dataset is None:
        content = rescore.score_files(hypotheses, references, order)
    elif references is None and source.dataset is not None:
        content = rescore.score_against(hypotheses, source.open(), split, order)
    else:
        raise UserError("Name the references with --references FILE or a data set with --dataset NAME, one of the two.")
    print_protocols(hypotheses.name, content["protocols"])
    alone = list(content["protocols"].values())
    _write(json_out, {**(alone[0] if len(alone) == 1 else {}), **content})
    end(sum(bool(scored["refused"]) for scored in alone))


def _write(path: Path | None, content: dict[str, Any]) -> None:
    from benchmark.store import write_json

    if path is not None:
        write_json(path, content)


@app.command()
def leaderboard(
    check: Annotated[bool, typer.Option("--check", help="Write nothing; fail where a file is not up to date.")] = False,
    published: Annotated[bool, typer.Option("--published", help="Show what others published, set apart.")] = False,
    as_json: AsJson = False,
) -> None:
    """Make the leaderboards under results/ from the aggregated scores, and show them."""
    from benchmark import leaderboard as boards
    from benchmark import published as elsewhere

    results = config.results_folder()
    if check:
        wrong = boards.outdated(results)
        if wrong:
            names = ", ".join(map(str, wrong))
            raise UserError(f"Not what the scores under {results / 'scores'} give: {names}. Run `bench leaderboard`.")
        say("All leaderboards are what the scores give.")
        return
    found = boards.write(results)
    others = elsewhere.read(results) if published else []
    if not found and not others:
        raise UserError(f"No scores under {results / 'scores'} yet. Run `bench eval MODEL --split val` first.")
    if as_json:
        content = {board.name: board.rows for board in found} | ({"published": others} if published else {})
        print(json.dumps(content, indent=1, ensure_ascii=False))
        return
    for board in found:
        print_board(board)
        say(f"Wrote {results / board.name}.csv and .md")
        here = elsewhere.of_board(others, board.name)
        print_published(here)
        others = [row for row in others if row not in here]
    print_published(others)


def print_scores(title: str, sections: dict[str, Any]) -> None:
    rows = []
    for section, scored in sections.items():
        for key, metric in scored["metrics"].items():
            value, low, high = metric["value"], metric.get("low"), metric.get("high")
            rows.append(
                {
                    "section": section,
                    "metric": key,
                    "value": "–" if value is None else f"{value:.4f}",
                    "95 % interval": "" if low is None or high is None else f"{low:.4f}–{high:.4f}",
                    "n": str(metric["n_scored"]),
                    "unscored": str(metric["n_unscored"]),
                    "signature": metric.get("reason") or metric["signature"],
                }
            )
    columns = {"section": "left", "metric": "left", "value": "right", "95 % interval": "right", "n": "right"}
    table(title, {**columns, "unscored": "right", "signature": "left"}, rows)


def print_protocols(title: str, protocols: dict[str, Any]) -> None:
    """One table of numbers (value, 95 % interval, signature), a column a protocol, and one of the signatures."""
    rows: dict[str, dict[str, str]] = {}
    columns, signatures = {"metric": "left"}, []
    for name, scored in protocols.items():
        if policy := policy_words(name, scored):
            say(policy)
        columns[name] = "right"
        for key, metric in scored["metrics"].items():
            value, low, high = metric["value"], metric["low"], metric["high"]
            interval = "" if low is None or high is None else f"\n{low:.4f}–{high:.4f}"
            signature = metric["signature_short"].rpartition("|")[2]
            number = "–" if value is None else f"{value:.4f}{interval}\n#{signature}"
            rows.setdefault(key, {"metric": key})[name] = number
        counts = {"n": str(scored["n"] - scored["n_unscored"]), "unscored": str(scored["n_unscored"])}
        for metric in {metric["metric"]: metric for metric in scored["metrics"].values()}.values():
            short = metric["signature_short"] or f"{name}|{metric['metric']}"
            long = metric["signature_long"] or f"no value: {metric['reason']}"
            section = scored["section"] or "text"
            signatures.append({"short": short, "section": section, **counts, "signature": long})
    table(title, columns, list(rows.values()), "Value, 95 % interval, and the last part of the signature's short form.")
    right = dict.fromkeys(("n", "unscored"), "right")
    table("Signatures", {"short": "left", "section": "left", **right, "signature": "left"}, signatures)


def policy_words(name: str, scored: dict[str, Any]) -> str:
    """A sentence about ids that did not match; empty where all did."""
    policy = scored["policy"]
    done = "counted as empty reports" if policy["missing"] == "zero" else "left out"
    studies = {"n_missing": "without a hypothesis", "n_several": "with several"}
    parts = [f"{policy[key]} studies {words} {done}" for key, words in studies.items() if policy[key]]
    if policy["n_unknown"]:
        parts.append(f"{policy['n_unknown']} hypotheses of unknown studies not scored")
    return f"{name}: {', '.join(parts)} (--missing {policy['missing']})." if parts else ""


def print_board(board: Any) -> None:
    from benchmark import leaderboard as boards
    from benchmark.schema import SECTIONS

    words = {"model", "preset", "note"}
    columns = {heading: "left" if column in words else "right" for column, heading in boards.SHOWN.items()}
    for section in SECTIONS:
        rows = boards.shown_rows(board, section)
        if rows:
            table(f"{board.name}: {section}", columns, rows, boards.EXPLANATION)


def print_published(rows: Any) -> None:
    from benchmark import published

    words = {"system", "unit", "source", "not_comparable"}
    for name, shown in published.tables(rows).items():
        columns = {column: "left" if column in words else "right" for column in shown[0]}
        table(f"published, not ranked: {name}", columns, shown, published.EXPLANATION)
