"""Studies, references and reports in the JSON form that the ReXrank leaderboard reads.

Source of the form: rajpurkarlab/ReXrank, data/ (one object a study, by study id) and example_files/ (which add
`model_prediction` and `subject_id`). The data set `own` reads it back.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmark.errors import UserError
from benchmark.schema import Prediction, Reference, Study, View
from benchmark.store import write_text

_FRONTAL = frozenset({"PA", "AP", "FRONTAL"})
_LATERAL = frozenset({"LATERAL", "LL", "RL"})


def write_rexrank(
    path: Path,
    studies: Sequence[Study],
    references: Sequence[Reference],
    predictions: Mapping[str, Prediction] | None = None,
    root: Path | None = None,
) -> Path:
    """Write `studies` with their `references` (in the same order), and with `predictions` by study_id also those.

    Returns the folder that the image paths are relative to, which ReXrank calls img_root_dir: `root`, or else the
    deepest one that holds all images. A section that a reference lacks is null, and the word None in `report`, as
    ReXrank's own texts have it. Views are said to be Frontal or Lateral; of others the position is given. Raises
    UserError where a study has no prediction.
    """
    images = [view.path for study in studies for view in study.views]
    base = root or Path(os.path.commonpath([image.parent for image in images]) if images else "")
    content = {}
    for study, reference in zip(studies, references, strict=True):
        content[study.study_id] = _described(study, reference, base)
        if predictions is not None:
            if study.study_id not in predictions:
                raise UserError(f"Study {study.study_id} has no prediction. Let the run be completed first.")
            content[study.study_id]["model_prediction"] = predictions[study.study_id].text
    write_text(path, json.dumps(content, indent=1, ensure_ascii=False) + "\n")
    return base


def _described(study: Study, reference: Reference, base: Path) -> dict[str, Any]:
    paths = [_relative(view.path, base) for view in study.views]
    return {
        "key_image_path": paths[0] if paths else None,
        "image_path": paths,
        "frontal_lateral": [_projection(view) for view in study.views],
        "report": f"Findings: {reference.findings or None} Impression: {reference.impression or None}",
        "section_findings": reference.findings or None,
        "section_impression": reference.impression or None,
        "context": _context(study),
        "split": study.split,
        "subject_id": study.patient_id,
    }


def _context(study: Study) -> str:
    patient = {"Age": study.attributes.get("age", ""), "Gender": study.attributes.get("sex", "")}
    known = {**patient, **{name.capitalize(): text for name, text in study.context.items()}}
    return " ".join(f"{name}: {' '.join(text.split())}" for name, text in known.items() if text)


def _relative(image: Path, base: Path) -> str:
    return (image.relative_to(base) if image.is_relative_to(base) else image).as_posix()


def _projection(view: View) -> str:
    if view.position in _FRONTAL:
        return "Frontal"
    return "Lateral" if view.position in _LATERAL else view.position
