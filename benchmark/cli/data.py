"""Commands about data sets: data make, check, show, export."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from benchmark.cli._app import data_app
from benchmark.console import say


@data_app.command("make")
def make_data(
    name: Annotated[str, typer.Argument(help="A data set that can make itself: phantom.")],
    root: Annotated[Path, typer.Option("--root", help="Folder to write it to.")],
    n_train: Annotated[int, typer.Option("--train", min=1, help="Studies to train on.")] = 4800,
    n_validate: Annotated[int, typer.Option("--validate", min=1, help="Studies of validation.")] = 200,
    n_test: Annotated[int, typer.Option("--test", min=1, help="Studies of test.")] = 200,
    size: Annotated[int, typer.Option("--size", min=64, max=3000, help="Longer side of the images in pixels.")] = 160,
    prevalence: Annotated[float, typer.Option("--prevalence", min=0, max=3, help="Times the usual share.")] = 1.0,
    seed: Annotated[int, typer.Option("--seed", min=0)] = 0,
) -> None:
    """Make a variant of a data set; it has a name of its own, so unlike rows never meet."""
    from benchmark import opening

    options = {"n_train": n_train, "n_validate": n_validate, "n_test": n_test}
    made = opening.provide(name, root, **options, long_side=size, prevalence=prevalence, seed=seed)
    say(f"{made.name}: {root}")
