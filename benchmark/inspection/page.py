"""A page of pictures: a sample of studies as one HTML file that needs nothing else and opens from disk."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmark.console import progress
from benchmark.contracts import Dataset
from benchmark.schema import Study, View
from benchmark.store import write_text

SIDE = 240
"""Longer side of a picture on the page, in pixels."""


def write_page(dataset: Dataset, found: Mapping[str, Any], path: Path, per_split: int = 24) -> None:
    """Write what `check` found, and `per_split` studies of each split with pictures and text, to one HTML file.

    The studies are spread evenly over the split. All text is escaped. Whoever calls has asked `licence`.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("benchmark.inspection", "."), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    chosen = {split: _spread(dataset.listed(split), per_split) for split in found["splits"]}
    shown: dict[str, list[dict[str, Any]]] = {}
    with progress("Drawing the page", sum(map(len, chosen.values()))) as advance:
        for split, studies in chosen.items():
            references = {reference.study_id: reference for reference in dataset.references(split)}
            shown[split] = []
            for study in studies:
                reference = references.get(study.study_id)
                shown[split].append(
                    {
                        "study": study,
                        "views": [_view(view) for view in study.views],
                        "findings": reference.findings if reference else "",
                        "impression": reference.impression if reference else "",
                        "labels": {
                            source: [name for name, value in labels.items() if value == 1.0]
                            for source, labels in (reference.label_sets if reference else {}).items()
                        },
                        "used": reference is not None,
                    }
                )
                advance(1)
    write_text(path, environment.get_template("page.html").render(found=found, splits=shown))


def _spread(studies: Sequence[Study], n: int) -> list[Study]:
    n = min(n, len(studies))
    return [studies[i * len(studies) // n] for i in range(n)]


def _view(view: View) -> dict[str, str]:
    from benchmark.images import ImageError, read_grey

    try:
        image = read_grey(view.path)
    except ImageError as error:
        return {"name": view.position or view.image_id, "source": "", "error": str(error)}
    image.thumbnail((SIDE, SIDE))
    encoded = io.BytesIO()
    image.save(encoded, "JPEG", quality=80)
    source = f"data:image/jpeg;base64,{base64.b64encode(encoded.getvalue()).decode()}"
    return {"name": view.position or view.image_id, "source": source, "error": ""}
