"""Names of models, data sets and metrics. The registry is the folder: a file is a plugin.

Listing reads file names and docstrings; nothing is imported until one plugin is loaded by name.
"""

from __future__ import annotations

import ast
import functools
import gc
import importlib
import importlib.util
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import EntryPoints, entry_points
from pathlib import Path
from typing import Any

from benchmark.console import say
from benchmark.errors import UserError, unknown
from benchmark.plugin_source import class_variables


@dataclass(frozen=True)
class Registry:
    """The plugins of one kind: the files of a package, and what other installed packages add."""

    kind: str
    """What it is called in messages: `model`, `data set`, `metric`."""
    package: str
    """Package whose files are the plugins; also the entry point group."""
    class_name: str
    """Name of the class that each plugin defines."""
    contract: str = ""
    """Module whose class of that name each plugin's derives from; empty where any class will do."""

    def names(self) -> list[str]:
        return sorted(self._modules())

    def summary(self, name: str) -> str:
        """First line of the plugin's docstring, read without importing it; or why the file cannot be read."""
        source = _source(self._module(name))
        try:
            docstring = ast.get_docstring(ast.parse(source.read_text(encoding="utf-8"))) if source else None
        except SyntaxError as error:
            return f"cannot be read: {error.msg} in line {error.lineno}"
        except UnicodeDecodeError:
            return "cannot be read: it is not UTF-8"
        return docstring.splitlines()[0] if docstring else ""

    def variables(self, name: str) -> dict[str, Any]:
        """Class variables of the plugin that can be read without importing it (`plugin_source.class_variables`)."""
        source = _source(self._module(name))
        try:
            return class_variables(source, self.class_name) if source else {}
        except (SyntaxError, UnicodeDecodeError):
            return {}

    def expect(self, name: str) -> None:
        """Raises UserError for an unknown name, with the near ones; imports nothing."""
        self._module(name)

    def load(self, name: str) -> Any:
        """The plugin's class. Raises UserError for an unknown name, with the near ones, and for a broken plugin."""
        path = self._module(name)
        try:
            with _no_search_for_garbage():
                module = importlib.import_module(path)
        except UserError:
            raise
        # A plugin is anybody's code, and raises what it likes.
        except Exception as error:
            raise UserError(
                f"The {self.kind} {name} cannot be imported: {_place(path, error)}: {_why(error)}."
            ) from error
        plugin = getattr(module, self.class_name, None)
        if plugin is None:
            raise UserError(f"{module.__file__} defines no class '{self.class_name}', so it is no {self.kind}.")
        if fault := self._fault(plugin):
            raise UserError(f"The class '{self.class_name}' of {module.__file__} is no {self.kind}: {fault}.")
        return plugin

    def each(self) -> Iterator[tuple[str, Any]]:
        """Name and class of every plugin; a broken one is passed over, and named in a line."""
        for name in self.names():
            try:
                yield name, self.load(name)
            except UserError as error:
                _say_once(f"Passed over: {error}")

    def _fault(self, plugin: Any) -> str:
        """In words, what the contract asks for and a plugin's class has not; empty where it has all."""
        if not self.contract:
            return ""
        contract = getattr(importlib.import_module(self.contract), self.class_name)
        if not (isinstance(plugin, type) and issubclass(plugin, contract)):
            return f"it does not derive from {self.contract}.{self.class_name}"
        values = (key for key in contract.__annotations__ if not hasattr(plugin, key))
        if lacking := [*values, *sorted(plugin.__abstractmethods__)]:  # type: ignore[attr-defined]
            return f"it lacks {', '.join(lacking)}"
        if not getattr(plugin, "PRESETS", True):
            return 'its PRESETS are empty, and {"default": {}} is the least'
        return ""

    def name_of(self, plugin: type) -> str:
        """The name under which a loaded plugin is registered."""
        return next(name for name, module in self._modules().items() if module == plugin.__module__)

    def _module(self, name: str) -> str:
        modules = self._modules()
        if name not in modules:
            raise unknown(self.kind, name, modules)
        return modules[name]

    def _modules(self) -> dict[str, str]:
        """Module path by plugin name (a file's stem, with hyphens for underscores)."""
        spec = importlib.util.find_spec(self.package)
        if spec is None or not spec.submodule_search_locations:
            raise UserError(
                f"The package {self.package} is not importable: install the project (pip install -e . in its folder) "
                "and call `bench`."
            )
        found: dict[str, str] = {}
        for folder in spec.submodule_search_locations:
            for file in sorted(Path(folder).glob("*.py")):
                if not file.stem.startswith("_"):
                    found[file.stem.replace("_", "-")] = f"{self.package}.{file.stem}"
        for entry in _installed(self.package, tuple(sys.path)):
            if found.get(entry.name, entry.module) != entry.module:
                raise UserError(
                    f"Two {self.kind}s are called '{entry.name}': {found[entry.name]} and {entry.module}. "
                    "Rename one, or uninstall the package that brings it."
                )
            found[entry.name] = entry.module
        return found


@functools.cache
def _installed(group: str, search: tuple[str, ...]) -> EntryPoints:
    """What the packages on this path of search bring to a group. Read once: every plugin is looked up here, and
    reading the records of 150 packages takes a hundredth of a second or more.
    """
    return entry_points(group=group)


@functools.cache
def _say_once(line: str) -> None:
    """Commands go through all plugins more than once."""
    say(line)


def _place(module: str, error: Exception) -> str:
    """The file of a module that raised this when it was imported, and the line where that can be told."""
    file = str(_source(module) or module)
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]
    return f"{file}, line {lines[-1]}" if lines else file


def _why(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}".rstrip(":. ")


@contextmanager
def _no_search_for_garbage() -> Iterator[None]:
    """torch and transformers make a million objects when they are imported, and all stay: looking for garbage among
    them is a seventh of the time that importing a model takes.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _source(module: str) -> Path | None:
    """The file of a module, found without importing the module itself."""
    package, _, stem = module.rpartition(".")
    spec = importlib.util.find_spec(package) if package else None
    for folder in (spec.submodule_search_locations if spec else None) or []:
        if (file := Path(folder) / f"{stem}.py").exists():
            return file
    return None


MODELS = Registry("model", "benchmark.models", "Model", "benchmark.contracts")
DATASETS = Registry("data set", "benchmark.datasets", "Dataset", "benchmark.contracts")
METRICS = Registry("metric", "benchmark.metrics", "Metric", "benchmark.contracts")
