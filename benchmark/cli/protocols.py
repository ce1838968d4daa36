"""Command about protocols: what there is, and what each does."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from benchmark.cli._app import app, listing
from benchmark.cli._options import AsJson


@app.command()
def protocols(
    name: Annotated[str | None, typer.Argument(help="One protocol: all that it does to texts and numbers.")] = None,
    as_json: AsJson = False,
) -> None:
    """List the evaluation protocols, or describe one."""
    from benchmark.protocols import PROTOCOLS, load

    if name is None:
        rows = [{"name": each, "what it is": PROTOCOLS.summary(each)} for each in PROTOCOLS.names()]
        listing("Protocols", rows, as_json)
        return
    facts = {"summary": PROTOCOLS.summary(name), **load(name).describe()}
    if as_json:
        print(json.dumps(facts, indent=1, ensure_ascii=False))
        return
    metrics = facts.pop("metrics")
    rows = [{"": key, " ": ", ".join(value) if isinstance(value, list) else str(value)} for key, value in facts.items()]
    listing(name, rows, False)
    listing("Metrics", [{"": key, " ": words} for key, words in metrics.items()], False)
