"""Command that gets what comes from the Hugging Face hub, for machines that have no network later."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from benchmark.cli._app import app, listing
from benchmark.cli._options import AsJson
from benchmark.console import say
from benchmark.errors import UserError


@app.command()
def fetch(
    names: Annotated[
        list[str] | None, typer.Argument(help="What to get, or the protocol, metric or model that reads it.")
    ] = None,
    list_only: Annotated[
        bool, typer.Option("--list", help="Tell what there is and where it goes; get nothing.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Download encoders and the weights of CheXbert, RadGraph and pretrained models from the hub into its cache."""
    from benchmark import fetch as fetching
    from benchmark import hub
    from benchmark.contracts import Unavailable

    chosen = fetching.choose(names) if names else fetching.items()
    if not names or list_only:
        rows = [
            {
                "name": item.name,
                "here": "yes" if item.here else "no",
                "hub id: files": "\n".join(map(str, item.parts)),
                "read by": ", ".join(item.used_by),
            }
            for item in chosen
        ]
        if as_json:
            print(json.dumps({"cache": str(hub.cache()), "items": rows}, indent=1, ensure_ascii=False))
            return
        listing(f"From the hub into {hub.cache()}", rows, False)
        if not list_only:
            say("Get one with `bench fetch NAME`.")
        return
    for item in chosen:
        if item.here:
            say(f"{item.name}: here already.")
            continue
        say(f"{item.name}: fetching into {hub.cache()} …")
        try:
            item.get()
        except Unavailable as damaged:
            raise UserError(str(damaged)) from damaged
