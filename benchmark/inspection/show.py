"""One study with everything that is known about it."""

from __future__ import annotations

from typing import Any

from benchmark.contracts import Dataset
from benchmark.errors import UserError


def show(dataset: Dataset, given: str) -> dict[str, Any]:
    """A study's images, sections and labels as JSON types, whether it is used or left out.

    `given` may be any spelling of the id that the data set knows. Raises UserError where no split has the study.
    """
    wanted = dataset.canonical_id(given)
    # The training split is by far the largest: it is read only where the others do not have the study.
    for split in sorted(dataset.splits, key=lambda name: name == "train"):
        for study in dataset.listed(split):
            if study.study_id != wanted:
                continue
            reference = next((r for r in dataset.references(split) if r.study_id == wanted), None)
            reasons = [reason for reason, ids in dataset.left_out(split).items() if wanted in ids]
            return {
                "study_id": wanted,
                "patient_id": study.patient_id,
                "split": split,
                "left_out": reasons[0] if reasons else "",
                "images": [
                    {
                        "image_id": view.image_id,
                        "position": view.position,
                        "path": str(view.path),
                        "there": view.path.is_file(),
                    }
                    for view in study.views
                ],
                "context": dict(study.context),
                "attributes": dict(study.attributes),
                "findings": reference.findings if reference else "",
                "impression": reference.impression if reference else "",
                "labels": {source: dict(of) for source, of in reference.label_sets.items()} if reference else {},
            }
    for reason, ids in dataset.unassigned().items():
        if wanted in ids:
            raise UserError(f"Study {wanted} of {dataset.name} is in no split: {reason}.")
    raise UserError(f"{dataset.name} has no study '{given}' in {', '.join(dataset.splits)}.")
