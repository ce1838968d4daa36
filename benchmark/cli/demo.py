"""The command demo: a page on which the trained models write."""

from __future__ import annotations

from typing import Annotated

import typer

from benchmark import config
from benchmark.cli._app import app


@app.command()
def demo(
    port: Annotated[int, typer.Option("--port", min=1, max=65535)] = 8501,
    address: Annotated[
        str, typer.Option("--address", help="Where to listen; 0.0.0.0 lets other machines in.")
    ] = "localhost",
) -> None:
    """Serve a page: give a radiograph to the models trained here, and watch them write its report."""
    from benchmark.demo.serve import serve

    serve(config.results_folder(), address, port)
