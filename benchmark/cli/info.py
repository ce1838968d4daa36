"""Commands that tell what there is: models, datasets, metrics, doctor."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from benchmark import config
from benchmark.cli._app import app, listing
from benchmark.cli._options import AsJson
from benchmark.registry import DATASETS, METRICS, MODELS


@app.command()
def models(
    name: Annotated[str | None, typer.Argument(help="One model's card.")] = None, as_json: AsJson = False
) -> None:
    """List the models, or tell about one."""
    if name is None:
        listing("Models", [{"name": each, "what it is": MODELS.summary(each)} for each in MODELS.names()], as_json)
        return
    plugin = MODELS.load(name)
    card = {
        "name": name,
        "summary": MODELS.summary(name),
        "paper": plugin.PAPER,
        "trains": plugin.CAN_TRAIN,
        "needs_images": plugin.NEEDS_IMAGES,
        "note": plugin.NOTE,
        "presets": {preset: dict(values) for preset, values in plugin.PRESETS.items()},
    }
    if as_json:
        print(json.dumps(card, indent=1, ensure_ascii=False))
        return
    presets = card.pop("presets")
    listing(name, [{"": key, " ": str(value)} for key, value in card.items()], False)
    keys = sorted({key for values in presets.values() for key in values})
    rows = [{"setting": key, **{p: str(values.get(key, "")) for p, values in presets.items()}} for key in keys]
    if rows:
        listing("Presets", rows, False)


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
