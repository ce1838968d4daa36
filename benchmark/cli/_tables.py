"""Scores and leaderboards as tables on the terminal."""

from __future__ import annotations

from typing import Any

from benchmark.console import say, table


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


def print_kept(title: str, protocols: dict[str, Any]) -> None:
    """What a run has under further protocols: value and 95 % interval, a column a protocol and section."""
    rows: dict[str, dict[str, str]] = {}
    columns = {"metric": "left"}
    for name, sections in protocols.items():
        for section, scored in sections.items():
            column = f"{name}\n{section}, n {scored['n'] - scored['n_unscored']}"
            columns[column] = "right"
            for key, metric in scored["metrics"].items():
                if metric["value"] is not None:
                    ends = "" if metric["low"] is None else f"\n{metric['low']:.4f}–{metric['high']:.4f}"
                    rows.setdefault(key, {"metric": key})[column] = f"{metric['value']:.4f}{ends}"
    shown = [{column: row.get(column, "") for column in columns} for row in rows.values()]
    table(title, columns, shown, "Value and 95 % interval. Numbers of different protocols are not comparable.")


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
    words |= {"written", "besides", "trained on"}
    for title, shown, about in boards.PER_MODEL:
        rows = boards.model_rows(board, shown)
        if rows:
            columns = {heading: "left" if heading in words else "right" for heading in shown.values()}
            table(f"{board.name}: {title}", columns, rows, about)


def print_published(rows: Any) -> None:
    from benchmark import published

    words = {"system", "unit", "source", "not_comparable"}
    for name, shown in published.tables(rows).items():
        columns = {column: "left" if column in words else "right" for column in shown[0]}
        table(f"published, not ranked: {name}", columns, shown, published.EXPLANATION)
