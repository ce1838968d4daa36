"""Where things lie: the results folder, and the roots of data sets.

In order: what the command line says, the environment (`MIMIC_CXR_ROOT`, `MIMIC_CXR_REPORTS_ROOT`, `BENCH_RESULTS`),
then `bench.toml` in the working folder or `~/.config/cxr-report-bench/bench.toml`:

    results = "results"
    [mimic-cxr]
    root = "/data/mimic-cxr-jpg/2.1.0"
    reports_root = "/data/mimic-cxr-reports"
    layout = "jpg"

Whatever else stands in a data set's section is an option of it, as with `--data-option`; a key that means nothing is
refused, since a mistyped root would leave the commands running on the phantom.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from benchmark import registry
from benchmark.errors import UserError, unknown

FILES = (Path("bench.toml"), Path.home() / ".config" / "cxr-report-bench" / "bench.toml")
ROOTS = ("root", "reports_root")


def results_folder() -> Path:
    """The folder under which everything produced lies; `results` where nothing else is said."""
    return Path(os.environ.get("BENCH_RESULTS") or _path(_file(), "results") or "results").expanduser()


def data_root(dataset: str, given: Path | None = None, kind: str = "root") -> Path | None:
    """The root (`kind` "root" or "reports_root") of a data set, or None where nobody has said it.

    Raises UserError where the folder that was named does not exist.
    """
    variable = f"{dataset.replace('-', '_').upper()}_{kind.upper()}"
    configured = _path(_section(dataset), kind)
    for source, value in (("", given), (f" ({variable})", os.environ.get(variable)), (" (bench.toml)", configured)):
        if value:
            root = Path(value).expanduser().absolute()
            if not root.is_dir():
                raise UserError(f"No such folder{source}: {root}. Name the folder that holds {dataset}.")
            return root
    return None


def data_options(dataset: str) -> dict[str, str]:
    """What bench.toml says of a data set besides its roots. Raises UserError for a value that is no string."""
    section = _section(dataset)
    options = {key: value for key, value in section.items() if key not in ROOTS}
    for key, value in options.items():
        if not isinstance(value, str):
            raise UserError(f"bench.toml: [{dataset}] {key} takes a value in quotes, not {value}.")
    return options


def _section(dataset: str) -> dict[str, Any]:
    """What the file says of a data set. Raises UserError for a key that is no root and no option of it."""
    section = _file().get(dataset, {})
    if not isinstance(section, dict):
        raise UserError(f"bench.toml: {dataset} is a section, [{dataset}], with root and options, not a value.")
    if section:
        _expect(section, [*ROOTS, *registry.DATASETS.load(dataset).OPTIONS], f"key of [{dataset}] in bench.toml")
    return section


def _expect(given: Iterable[str], known: Iterable[str], kind: str) -> None:
    names = list(known)
    for key in given:
        if key not in names:
            raise unknown(kind, key, names)


def _path(section: dict[str, Any], key: str) -> str | None:
    value = section.get(key)
    if value is not None and not isinstance(value, str):
        raise UserError(f"bench.toml: {key} takes a path in quotes, not {value}.")
    return value


def _file() -> dict[str, Any]:
    """The first of FILES that is there. Raises UserError for a key that is neither `results` nor a data set."""
    for path in FILES:
        if path.is_file():
            try:
                found = tomllib.loads(path.read_text(encoding="utf-8"))
            except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
                raise UserError(f"{path} is not a TOML file: {error}. Put it right or remove it.") from None
            _expect(found, ["results", *registry.DATASETS.names()], f"key of {path}")
            return found
    return {}
