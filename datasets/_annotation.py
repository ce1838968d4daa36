"""R2Gen's annotation.json, whose entries both MIMIC-CXR and IU X-Ray have: lists of studies or images by split."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmark.errors import UserError

FILE = "annotation.json"


def read_annotation(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Entries with where each stands, for messages. An entry without a `split` has that of the list it is in.

    Raises UserError for what is no such file.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path} is not a JSON file: {error}. Fetch it again.") from None
    if not isinstance(content, dict) or not all(isinstance(entries, list) for entries in content.values()):
        raise UserError(f"{path} is not R2Gen's annotation.json: it holds no lists of studies by split.")
    for key, entries in content.items():
        for at, entry in enumerate(entries, 1):
            where = f"entry {at} of '{key}'"
            if not isinstance(entry, dict):
                raise UserError(f"{path}, {where}: no JSON object. Use R2Gen's file.")
            yield where, {**entry, "split": str(entry.get("split", key)).strip()}
