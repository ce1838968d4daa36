"""From a data set's name to the data set: where its root is, and with which options it is read."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmark import config, registry
from benchmark.console import say
from benchmark.contracts import Dataset
from benchmark.errors import UserError
from benchmark.provenance import digest
from benchmark.store import exclusive

PHANTOM = "phantom"
MAIN_DATASET = "mimic-cxr"


def open_dataset(
    name: str | None,
    root: Path | None,
    reports_root: Path | None,
    results: Path,
    options: Mapping[str, str] | None = None,
) -> Dataset:
    """The data set named; without a name `mimic-cxr` where its root is known, else the phantom (made at first use).

    `options` go before those of bench.toml. Raises UserError where its root is not known or does not hold it, or for an
    option that it does not have.
    """
    if name is None:
        name = MAIN_DATASET if config.data_root(MAIN_DATASET, root) else PHANTOM
        why = "its root is known" if name == MAIN_DATASET else f"no root of {MAIN_DATASET} is known"
        say(f"Data set: {name} ({why}).")
    plugin: type[Dataset] = registry.DATASETS.load(name)
    found = config.data_root(name, root)
    if found is None and plugin.SELF_MADE:
        found = results / "data" / name
        provide(name, found)
    if found is None:
        variable = f"{name.replace('-', '_').upper()}_ROOT"
        raise UserError(f"The root of {name} is not known. Name its folder with --root, {variable} or bench.toml.")
    chosen = {**config.data_options(name), **(options or {})}
    dataset = plugin(found, config.data_root(name, reports_root, "reports_root"), chosen)
    fatal = [problem.what for problem in dataset.check() if problem.fatal]
    if fatal:
        raise UserError(f"{found} cannot be read as {name}: {' '.join(fatal)}")
    return dataset


def provide(name: str, root: Path, **options: Any) -> Dataset:
    """A data set that makes itself, made at `root` (or completed) by one process at a time.

    Raises UserError where another process is at it, or the data set has to be fetched.
    """
    plugin: type[Dataset] = registry.DATASETS.load(name)
    if not plugin.SELF_MADE:
        raise UserError(f"{name} cannot make itself: fetch it and name its folder with --root.")
    # The lock lies beside the data, which must hold nothing but what the seed gives.
    with exclusive(root.parent / f".{root.name}-lock", "making the data set"):
        plugin.provide(root, **options)
    return plugin(root)


def provide_form(name: str, root: Path, form: str, results: Path, **options: Any) -> None:
    """A data set that makes itself, written at `root` in another form than its own. Raises UserError as `provide`."""
    source = results / "data" / f"{name}-{digest(options)[:8]}"
    made = provide(name, source, **options)
    made.write_form(source, root, form)
