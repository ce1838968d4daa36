"""Run folders on this machine to the page of studies: image, reference, and what each model wrote.

The page reads an index of all studies (ids, findings, scores) and, a part at a time, their texts. Both are scripts that
call `studies.add…` with JSON, because a page opened from a file may load scripts but nothing else.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmark import rescore
from benchmark.console import progress, say
from benchmark.contracts import Dataset
from benchmark.errors import UserError
from benchmark.evaluate import Selection
from benchmark.labeler.label import label
from benchmark.schema import SECTIONS, Prediction, Reference, Study
from benchmark.scored_runs import ScoredRun, open_run
from benchmark.site.words import marked, opposed
from benchmark.store import RunFolder, write_text

PART = 50
"""Studies of one file of texts."""
SIDE = 320
"""Of a picture, in pixels."""
SORTED_BY = ("cider", "bleu_4", "rouge_l", "bertscore_f1")
"""Scores that the page can sort by."""
KINDS = frozenset({"images", "texts", "values"})
"""What the page holds of the data."""


def write(runs: Sequence[ScoredRun], dataset: Dataset, selection: Selection, folder: Path) -> None:
    """Write `pictures/`, `studies-index.js` and `studies-<k>.js` to `folder`. Whoever calls has asked `licence`."""
    predictions = [RunFolder(run.folder).read() for run in runs]
    values = [_values(run) for run in runs]
    pictures = _draw(selection.studies, folder)
    index = []
    with progress("Comparing reports", len(selection.studies)) as advance:
        for k, part in enumerate(_parts(selection)):
            shown = []
            for study, reference in part:
                reports = [_Report.of(each[study.study_id], _whole(reference)) for each in predictions]
                shown.append(_study(study, reference, reports, pictures[study.study_id]))
                scores = [each.get(study.study_id, []) for each in values]
                index.append(_line(study, reference, reports, scores))
                advance(1)
            _script(folder / f"studies-{k}.js", "addPart", [k, shown])
    content = {
        "runs": [{"model": run.record["model"], "preset": run.record["preset"], "id": run.run_id} for run in runs],
        "scores": SORTED_BY,
        "part": PART,
        "studies": index,
    }
    _script(folder / "studies-index.js", "addIndex", [content])


def _parts(selection: Selection) -> Iterator[list[tuple[Study, Reference]]]:
    both = list(zip(selection.studies, selection.references, strict=True))
    for begin in range(0, len(both), PART):
        yield both[begin : begin + PART]


def _values(run: ScoredRun) -> dict[str, list[float | None]]:
    """By study, the report's own scores; where a reference lacks a section, those of the section that it has."""
    found = {}
    for line in run.lines:
        scored = next((line[name] for name in ("report", "findings", "impression") if line.get(name)), None)
        own = scored["values"] if scored else {}
        found[line["study_id"]] = [round(own[key], 3) if key in own else None for key in SORTED_BY]
    return found


@dataclass(frozen=True)
class _Report:
    """What a model wrote, held against the reference."""

    content: dict[str, Any]
    """Its sections in pieces, and why there is none."""
    n_opposed: int

    @classmethod
    def of(cls, written: Prediction, reference: str) -> _Report:
        sections = {name: getattr(written, name) for name in SECTIONS[:2]}
        against = {name: opposed(text, reference) for name, text in sections.items()}
        pieces = {name: marked(text, reference, against[name]) for name, text in sections.items()}
        return cls({**pieces, "error": written.error}, sum(map(len, against.values())))


def _line(
    study: Study, reference: Reference, reports: Sequence[_Report], scores: Sequence[Sequence[float | None]]
) -> list[Any]:
    """Id, findings that the reference states, scores by run, and how many findings each run contradicts."""
    found = sorted(name for name, value in label(_whole(reference)).items() if value == 1)
    return [study.study_id, found, list(scores), [report.n_opposed for report in reports]]


def _study(study: Study, reference: Reference, reports: Sequence[_Report], picture: str) -> dict[str, Any]:
    return {
        "id": study.study_id,
        "picture": picture,
        "view": study.views[0].position if study.views else "",
        "attributes": dict(study.attributes),
        "reference": {"findings": reference.findings, "impression": reference.impression},
        "reports": [report.content for report in reports],
    }


def _whole(reference: Reference) -> str:
    """What the reference has, be it in one section alone."""
    return " ".join(filter(None, (reference.findings, reference.impression)))


def _draw(studies: Sequence[Study], folder: Path) -> dict[str, str]:
    """The first view of each study as a small JPEG; its path in the folder, empty where it cannot be read."""
    from PIL import Image

    from benchmark.images import Geometry, ImageError

    geometry = Geometry(SIDE)
    (folder / "pictures").mkdir(parents=True)

    def draw(number: int, study: Study) -> str:
        if not study.views:
            return ""
        try:
            square = geometry.read(study.views[0].path)
        except ImageError as error:
            say(f"No picture of study {study.study_id}: {error}")
            return ""
        name = f"pictures/{number}.jpg"
        Image.fromarray(square).save(folder / name, quality=80)
        return name

    with progress("Drawing pictures", len(studies)) as advance, ThreadPoolExecutor(os.cpu_count()) as pool:
        names = []
        for name in pool.map(draw, range(len(studies)), studies):
            names.append(name)
            advance(1)
    return {study.study_id: name for study, name in zip(studies, names, strict=True)}


def _script(path: Path, function: str, arguments: Sequence[Any]) -> None:
    # `<` is written as an escape, so that no text can end the script that holds it, wherever it is put.
    given = ", ".join(json.dumps(each, ensure_ascii=True).replace("<", "\\u003c") for each in arguments)
    write_text(path, f"studies.{function}({given});\n")


def usable(folders: Sequence[Path], results: Path) -> tuple[list[ScoredRun], Dataset, Selection] | None:
    """Those of the run folders whose data set is here and is what they were written for; None where there is none."""
    runs: list[ScoredRun] = []
    opened: tuple[Dataset, Selection] | None = None
    for folder in folders:
        try:
            run = open_run(folder)
            if opened is None:
                _, dataset = rescore.open_run(folder, None, None, results)
                opened = dataset, rescore.run_selection(RunFolder(folder), dataset)
            runs.append(run)
        except UserError as error:
            say(f"Not on the page of studies: {error}")
    return (runs, *opened) if runs and opened else None
