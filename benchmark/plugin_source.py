"""Class variables of a plugin, read from its source: nothing is imported."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any


def class_variables(source: Path, class_name: str) -> dict[str, Any]:
    """Literals that a class of the file assigns, or a class of its folder from which it derives.

    A name stands for what the file, or one of its folder that it is imported from, assigns to it. A dictionary whose
    values are no literals has its keys, each with None; other expressions are left out. Raises SyntaxError for a file
    that is no Python.
    """
    file, node = _definition(source, class_name)
    found: dict[str, Any] = {}
    if isinstance(node, ast.ClassDef):
        for base in reversed(node.bases):
            if isinstance(base, ast.Name):
                found |= class_variables(file, base.id)
        for name, value in _assignments(node.body):
            _add(found, name, file, value)
    return found


def _add(found: dict[str, Any], name: str, file: Path, value: ast.AST | None) -> None:
    """Put what the expression means under the name, where it can be told."""
    if isinstance(value, ast.Name):
        _add(found, name, *_definition(file, value.id))
    elif isinstance(value, ast.expr):
        try:
            found[name] = ast.literal_eval(value)
        except ValueError:
            if isinstance(value, ast.Dict):
                found[name] = {key.value: None for key in value.keys if isinstance(key, ast.Constant)}


def _definition(file: Path, name: str) -> tuple[Path, ast.AST | None]:
    """Where a name of a file comes from, and the class or expression that it is; None where it comes from elsewhere."""
    if not file.exists():
        return file, None
    body = ast.parse(file.read_text(encoding="utf-8")).body
    for node in body:
        if isinstance(node, ast.ClassDef) and node.name == name:
            return file, node
        if isinstance(node, ast.ImportFrom) and node.level == 1 and node.module:
            for alias in node.names:
                if name == (alias.asname or alias.name):
                    return _definition(file.parent / f"{node.module}.py", alias.name)
    return file, dict(_assignments(body)).get(name)


def _assignments(body: Sequence[ast.stmt]) -> Iterator[tuple[str, ast.expr]]:
    for node in body:
        if isinstance(node, ast.AnnAssign) and node.value is not None:
            yield from _pairs(node.target, node.value)
        elif isinstance(node, ast.Assign):
            for target in node.targets:
                yield from _pairs(target, node.value)


def _pairs(target: ast.expr, value: ast.expr) -> Iterator[tuple[str, ast.expr]]:
    """Name and value, of each where a tuple is assigned to a tuple."""
    if isinstance(target, ast.Name):
        yield target.id, value
    elif isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
        for each in zip(target.elts, value.elts, strict=False):
            yield from _pairs(*each)
