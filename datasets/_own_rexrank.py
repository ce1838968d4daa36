"""ReXrank's JSON as rows of a table: one object a study, by study id.

Source of the form: rajpurkarlab/ReXrank, data/ and example_files/. `benchmark.rexrank` writes it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

_COLUMNS = {
    "image_path": "image",
    "frontal_lateral": "view",
    "section_findings": "findings",
    "section_impression": "impression",
    "reports": "report",
}
"""ReXrank's names of what a table of `own` has. (Its documentation says `reports`, its files say `report`.)"""

_NOT_DATA = frozenset({"key_image_path", "context", "model_prediction"})
_CONTEXT = re.compile(r"\b(age|gender|indication|history|comparison)\s*:", re.IGNORECASE)


def rexrank_cells(study_id: str, entry: Mapping[str, Any]) -> dict[str, Any]:
    """A study's cells. The key image comes first; paths lose the `/` that some of them begin with."""
    named = {_COLUMNS.get(name, name): value for name, value in entry.items() if name not in _NOT_DATA}
    cells = {"study_id": study_id, **named, **_context(entry.get("context"))}
    images = entry.get("image_path") or entry.get("key_image_path") or []
    images = [images] if isinstance(images, str) else images
    views = entry.get("frontal_lateral") or []
    if isinstance(images, list) and all(isinstance(image, str) for image in images):
        cells["image"], cells["view"] = [image.lstrip("/") for image in images], views
        if entry.get("key_image_path") in images and len(views) in (0, len(images)):
            first = images.index(entry["key_image_path"])
            order = [first, *(at for at in range(len(images)) if at != first)]
            cells["image"] = [cells["image"][at] for at in order]
            cells["view"] = [views[at] for at in order] if views else []
    return cells


def _context(given: Any) -> dict[str, Any]:
    """`Age:50-60.Gender:F.Indication: … Comparison: …` (in <context> tags or not), or an object, by name."""
    if isinstance(given, Mapping):
        found = {str(name).lower(): value for name, value in given.items()}
    else:
        text = re.sub(r"</?context>", "", given if isinstance(given, str) else "")
        names = list(_CONTEXT.finditer(text))
        ends = [name.start() for name in names[1:]] + [len(text)]
        found = {name[1].lower(): text[name.end() : end].strip() for name, end in zip(names, ends, strict=True)}
    patient = {"age": found.pop("age", ""), "sex": found.pop("gender", "")}
    return {**found, **{name: str(value).rstrip(".") for name, value in patient.items() if value}}
