"""Commands that tell what there is: models, datasets, metrics, doctor."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from benchmark import config
from benchmark.cli._app import app, listing
from benchmark.cli._options import AsJson
from benchmark.console import say
from benchmark.registry import DATASETS, METRICS, MODELS


@app.command()
def models(
    name: Annotated[str | None, typer.Argument(help="One model's card.")] = None, as_json: AsJson = False
) -> None:
    """List the models, or tell about one."""
    from benchmark import cards

    found = cards.card(name) if name else [cards.outline(each) for each in MODELS.names()]
    if as_json:
        print(json.dumps(found, indent=1, ensure_ascii=False))
    elif isinstance(found, list):
        listing("Models", [_row(outline) for outline in found], False)
        say("`bench models NAME` tells all of one: its paper, licence and presets.")
    else:
        _print_card(found)


def _row(outline: dict[str, Any]) -> dict[str, str]:
    return {
        "name": outline["name"],
        "what it is": "\n".join(filter(None, (outline["summary"], _labelled("Paper", outline["paper"])))),
        "parameters": _millions(outline["parameters"]),
        "presets": ", ".join(outline["presets"]),
        "needs": ", ".join(outline["needs"]),
        "trains here": outline["trains_here"],
        "licence": outline["licence"],
    }


def _print_card(card: dict[str, Any]) -> None:
    presets, weights, parameters = (card.pop(key) for key in ("presets", "weights", "parameters_by_preset"))
    card["parameters"] = _millions(card["parameters"])
    card["decodings"] = [f"{key}: {_settings(values)}" for key, values in card["decodings"].items()]
    listing(card["name"], [{"": key.replace("_", " "), " ": _words(value)} for key, value in card.items()], False)
    first, values = next(iter(presets.items()))
    rows = [
        {
            "preset": preset,
            "parameters": _millions(parameters.get(preset)),
            "begins with": "\n".join(weights.get(preset, ())),
            f"differs from {first} in": _settings({k: v for k, v in changed.items() if v != values[k]}),
        }
        for preset, changed in presets.items()
    ]
    listing("Presets", rows, False)
    if values:
        listing(f"Settings of {first}", [{"setting": key, "value": str(value)} for key, value in values.items()], False)


def _settings(values: dict[str, Any]) -> str:
    return ", ".join(f"{key}={json.dumps(value, ensure_ascii=False)}" for key, value in values.items())


def _words(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "\n".join(value) if isinstance(value, list) else str(value)


def _labelled(label: str, text: str) -> str:
    return f"{label}: {text}" if text else ""


def _millions(parameters: int | None) -> str:
    return "" if parameters is None else f"{parameters / 1e6:,.1f} M"


@app.command()
def datasets(
    name: Annotated[str | None, typer.Argument(help="One data set: licence, splits, options.")] = None,
    as_json: AsJson = False,
) -> None:
    """List the data sets and where they were found, or tell about one."""
    if name is None:
        rows = [
            {"name": each, "what it is": DATASETS.summary(each), "root": str(config.data_root(each) or "")}
            for each in DATASETS.names()
        ]
        listing("Data sets", rows, as_json)
        return
    plugin = DATASETS.load(name)
    facts = {
        "name": name,
        "summary": DATASETS.summary(name),
        "version": plugin.VERSION,
        "licence": plugin.LICENCE,
        "splits": ", ".join(plugin.SPLITS),
        "may leave the machine": ", ".join(["aggregates", *sorted(plugin.MAY_LEAVE)]),
        "root": str(config.data_root(name) or ""),
        **{f"--data-option {key}=…": what for key, what in plugin.OPTIONS.items()},
    }
    if as_json:
        print(json.dumps(facts, indent=1, ensure_ascii=False))
    else:
        listing(name, [{"": key, " ": value} for key, value in facts.items()], False)


@app.command()
def metrics(as_json: AsJson = False) -> None:
    """List the metrics."""
    listing("Metrics", [{"name": name, "what it is": METRICS.summary(name)} for name in METRICS.names()], as_json)


@app.command()
def doctor(as_json: AsJson = False) -> None:
    """Say what works here and what to do about what does not."""
    from dataclasses import asdict

    from benchmark.doctor import checks

    found = checks(config.results_folder())
    if as_json:
        print(json.dumps([asdict(check) for check in found], indent=1, ensure_ascii=False))
        return
    rows = [{"": "✓" if c.ok else "–", "what": c.name, "found": c.found, "what to do": c.remedy} for c in found]
    listing("What works here", rows, False)
