"""What the columns of people's own tables mean, and what their cells say."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmark.errors import UserError

NAMES: Mapping[str, tuple[str, ...]] = {
    "study_id": ("study_id", "study", "id", "accession", "accession_number"),
    "patient_id": ("patient_id", "subject_id", "patient", "subject"),
    "split": ("split",),
    "image": ("image", "images", "image_path", "image_paths", "path", "filename"),
    "view": ("view", "views", "view_position", "viewposition"),
    "report": ("report", "text", "report_text"),
    "findings": ("findings",),
    "impression": ("impression",),
    "indication": ("indication",),
    "comparison": ("comparison",),
    "history": ("history",),
}
"""By meaning the names that a column may have, in any case, with spaces or hyphens for underscores. The first one that
the table has counts; every other column is an attribute."""

TEXTS = ("report", "findings", "impression")
CONTEXT = ("indication", "comparison", "history")

SPLITS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "validate", "dev"), "val"),
    **dict.fromkeys(("test", "testing"), "test"),
    "all": "all",
}

_MISSING = frozenset({"", "nan", "none", "null", "n/a", "<na>"})
"""How programs write that a cell is empty."""

_LONGEST_LIST = 100_000
"""Characters of a cell that is read as a list."""


@dataclass(frozen=True)
class Columns:
    """A table's columns by what they mean."""

    of: Mapping[str, str]
    """Column by meaning (a key of NAMES), for those that the table has."""
    attributes: Sequence[str]
    """The other columns."""

    def get(self, cells: Mapping[str, Any], meaning: str) -> Any:
        return cells.get(self.of[meaning]) if meaning in self.of else None

    def text(self, cells: Mapping[str, Any], meaning: str) -> str:
        """The cell as text; empty where the table says in whatever way that it is empty."""
        text = plain(self.get(cells, meaning))
        return "" if text.casefold() in _MISSING else text


def understand(names: Sequence[str], path: Path) -> Columns:
    """What columns mean. Raises UserError where two could be the same text: one of them would be an attribute."""
    by_form: dict[str, str] = {}
    for name in names:
        form = re.sub(r"[\s-]+", "_", name.strip().casefold())
        if form in by_form:
            raise UserError(f"{path}: the columns '{by_form[form]}' and '{name}' are the same. Rename or remove one.")
        by_form[form] = name
    found: dict[str, str] = {}
    for meaning, forms in NAMES.items():
        there = [by_form[form] for form in forms if form in by_form]
        if len(there) > 1 and meaning in TEXTS:
            raise UserError(f"{path}: the columns {' and '.join(there)} both mean the {meaning}. Rename or remove one.")
        if there:
            found[meaning] = there[0]
    named = re.compile(r"(unnamed(:_\d+)?)?", re.IGNORECASE)  # the index column that pandas writes
    others = [name for form, name in by_form.items() if name not in found.values() and not named.fullmatch(form)]
    return Columns(found, others)


def plain(value: Any) -> str:
    """A cell as text: lists joined by `; `, null and NaN empty."""
    if value is None or value != value:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (list, tuple)):
        return "; ".join(filter(None, map(plain, value)))
    return str(value).strip()


def several(value: Any) -> list[str]:
    """A cell that may hold several: a list, a list written as text (JSON's or Python's way), or joined by `;`.

    A part that is missing is empty. Raises ValueError where the cell begins as a list and is none.
    """
    if isinstance(value, str) and value.strip().startswith("["):
        value = _list(value.strip())
    parts = value if isinstance(value, list) else plain(value).split(";")
    return ["" if text.casefold() in _MISSING else text for text in map(plain, parts)]


def _list(text: str) -> list[Any]:
    if len(text) > _LONGEST_LIST:
        raise ValueError(f"a list of more than {_LONGEST_LIST:,} characters")
    try:
        value = json.loads(text)
    except ValueError:
        try:
            value = ast.literal_eval(text)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            raise ValueError("it begins with [ and is no list") from None
    if not isinstance(value, list):
        raise ValueError("it begins with [ and is no list")
    return value
