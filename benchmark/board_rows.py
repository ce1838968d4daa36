"""An aggregate's sections to rows of a leaderboard."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from benchmark import pairs
from benchmark.ranking import RANKED_BY, Row, group

ONE_REPORT = 0.99
"""A model whose commonest report has this share of all writes the same report for every image."""

TRUTH = ("truth_found", "truth_side", "truth_lobe", "truth_severity", "truth_invented")
"""Where what is on the images is known: shares of the drawn findings that the reports state, and state with their side,
lobe and severity; and classes stated that are not there, a report."""
FACTS = ("views", "uses", "trained_on", "seconds_per_report", "peak_memory_mb")
"""What a model was given and was trained on (as declared, where it was submitted), and what it costs."""


def newest_extra(entries: Iterable[Mapping[str, Any]]) -> dict[tuple[str, str], str]:
    """By section and key: the newest signature of each metric that users added, from entries with the oldest first."""
    return {
        (name, key): metric["signature_long"]
        for entry in entries
        for name, section in entry["sections"].items()
        for key, metric in section["metrics"].items()
        if metric.get("extra") and metric["value"] is not None and not entry["control"]
    }


def board_row(
    entry: Mapping[str, Any],
    section: str,
    keys: Sequence[str],
    newest: Mapping[tuple[str, str], str],
    shuffled: Mapping[str, Any] | None,
    tests: pairs.Pairs,
) -> Row:
    """The row of an aggregate's section, without a rank.

    `keys` of the metrics shown; `newest` as `newest_extra` gives it; `shuffled` is the aggregate of the same run on
    shuffled images, whose tests against it are in `tests`.
    """
    scores = entry["sections"][section]
    values = scores["metrics"]
    odd = {
        key: metric["metric"]
        for key, metric in values.items()
        if metric.get("extra")
        and metric["value"] is not None
        and metric["signature_long"] != newest.get((section, key))
    }
    ranked_value = values.get(RANKED_BY, {})
    row = {
        **{key: entry[key] for key in ("model", "preset", "run_id", "fingerprint", "commit", "date")},
        **{key: entry["reports"][key] for key in ("distinct_reports", "commonest_share", "ended_share")},
        **{name: values.get(name, {}).get("value") for name in keys if name not in odd},
        **_facts(entry),
        **_truth(entry),
        "origin": "submitted" if entry.get("submitted") else "run here",
        "n_skipped": entry.get("n_skipped", 0),
        "note": "; ".join(filter(None, (*_submission(entry), entry["note"], *_sameness(entry), *_otherwise(odd)))),
        "section": section,
        "n": scores["n"] - scores["n_unscored"],
        "n_unscored": scores["n_unscored"],
        "n_empty": scores["n_empty_hypotheses"],
        f"{RANKED_BY}_low": ranked_value.get("low"),
        f"{RANKED_BY}_high": ranked_value.get("high"),
        "signature": scores["signature"],
    }
    if shuffled and shuffled["checkpoint"] == entry["checkpoint"]:
        other = shuffled["sections"].get(section, {})
        without = other.get("metrics", {}).get(RANKED_BY, {}).get("value")
        if row[RANKED_BY] is not None and without is not None and other["signature"] == scores["signature"]:
            row["grounding_gap"] = row[RANKED_BY] - without
            test = tests.find(group(row), entry["run_id"], shuffled["run_id"], RANKED_BY)
            row |= {f"grounding_gap_{end}": test[end] for end in ("low", "high")} if test else {}
    return row


def _facts(entry: Mapping[str, Any]) -> Row:
    given, trained = entry.get("given") or {}, entry.get("trained_on") or {}
    data = trained.get("dataset", {})
    n = trained.get("n", {}).get("train")
    words = f"{data['name']} {data['version']}" + (f", {n} studies" if n is not None else "") if data else ""
    return {
        "views": given.get("views"),
        "uses": ", ".join(given.get("uses", ())),
        "trained_on": trained.get("declared", words),
        "training_seed": trained.get("seed") if trained.get("options") else None,
        "seconds_per_report": entry["seconds_per_report"],
        "peak_memory_mb": entry.get("peak_memory_mb"),
    }


def _truth(entry: Mapping[str, Any]) -> Row:
    if not entry.get("truth"):
        return {}
    every = entry["truth"]["reports"][0]
    found: Row = {"truth_found": _share(every["found"], every["drawn"])}
    for column, key in (("side", "side"), ("lobe", "location"), ("severity", "severity")):
        found[f"truth_{column}"] = _share(every["right"][key], every["shaped"][key])
    return found | {"truth_invented": every["invented"] / entry["n"]}


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _submission(entry: Mapping[str, Any]) -> list[str]:
    counts = entry.get("submitted")
    if not counts:
        return []
    absent = 0 if counts["missing"] == "skip" else counts["n_missing"] + counts["n_several"]
    return ["written elsewhere", *([f"{absent} reports missing, counted as empty"] if absent else [])]


def _sameness(entry: Mapping[str, Any]) -> list[str]:
    return ["writes one report for every image"] if entry["reports"]["commonest_share"] >= ONE_REPORT else []


def _otherwise(odd: Mapping[str, str]) -> list[str]:
    """About metrics whose values are not shown, by key the metric's name."""
    names = ", ".join(dict.fromkeys(odd.values()))
    return [f"not shown: {names}, scored otherwise than in the newest row"] if names else []
