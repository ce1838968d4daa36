"""Scoring by itself: files of texts, or a run folder that is there already."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmark import evaluate, opening, provenance
from benchmark.contracts import MetricContext
from benchmark.errors import UserError
from benchmark.schema import SECTIONS, section_text
from benchmark.store import RunFolder, read_json, read_jsonl


def read_texts(path: Path, section: str) -> dict[str, str]:
    """Texts by study_id from a JSONL of `study_id` and `text`, or `findings` and `impression`.

    Without a `section`, `text` where a line has it, else both sections joined. Raises UserError with the line's number
    for what cannot be read, a study that stands there twice, or a section that a line lacks.
    """
    if not path.is_file():
        raise UserError(f"No such file: {path}.")
    found: dict[str, str] = {}
    for number, line in read_jsonl(path):
        where = f"{path}, line {number}"
        if not line.get("study_id"):
            raise UserError(f"{where}: no study_id. Each line needs study_id and text.")
        study = str(line["study_id"])
        if study in found:
            raise UserError(f"{where}: study {study} stands there twice. Keep one line for each study.")
        found[study] = _text_of(line, section, where)
    if not found:
        raise UserError(f"{path} is empty. Each line needs study_id and text.")
    return found


def _text_of(line: dict[str, Any], section: str, where: str) -> str:
    parts = {key: line.get(key) for key in ("text", "findings", "impression")}
    wrong = [key for key, value in parts.items() if value is not None and not isinstance(value, str)]
    if wrong:
        raise UserError(f'{where}: {wrong[0]} is {parts[wrong[0]]!r}, not a text. Write "" for an empty report.')
    if section:
        if parts["findings"] is None and parts["impression"] is None:
            raise UserError(f"{where}: neither findings nor impression. Leave --section away to score `text`.")
        return section_text(section, parts["findings"] or "", parts["impression"] or "")
    if parts["text"] is not None:
        return parts["text"]
    if parts["findings"] is None and parts["impression"] is None:
        raise UserError(f'{where}: no text, findings or impression. Write "" for an empty report.')
    return " ".join(part for part in (parts["findings"], parts["impression"]) if part)


def score_files(hypotheses: Path, references: Path, section: str, context: MetricContext) -> dict[str, Any]:
    """Score one file of texts against another, matched by study_id in any order.

    Raises UserError where the two do not hold the same studies.
    """
    from benchmark import protocols, score
    from benchmark.console import progress

    if section and section not in SECTIONS:
        raise UserError(f"--section takes {', '.join(SECTIONS)}, not '{section}'.")
    written, expected = read_texts(hypotheses, section), read_texts(references, section)
    _same_studies(hypotheses, set(written), references, set(expected))
    studies = sorted(expected)
    metrics = score.load_metrics(context)
    with progress("Scoring", len(metrics)) as advance:
        scored = score.score_pairs(
            studies,
            studies,
            [written[study] for study in studies],
            [expected[study] for study in studies],
            protocol=protocols.load("default"),
            metrics=metrics,
            progress=advance,
        )
    return scored.to_dict()


def _same_studies(hypotheses: Path, written: set[str], references: Path, expected: set[str]) -> None:
    for without, which, path in (
        (expected - written, "no hypothesis", hypotheses),
        (written - expected, "no reference", references),
    ):
        if without:
            raise UserError(
                f"{len(without)} studies have {which} in {path}, such as {min(without)}. Both files must hold the same "
                'studies; a report that could not be made is a line with "text": "".'
            )


def score_folder(
    folder: Path, root: Path | None, reports_root: Path | None, results: Path, context: MetricContext
) -> dict[str, Any]:
    """Score a run folder anew against the data set that it names. Raises UserError where that holds other data now."""
    run_folder = RunFolder(folder)
    if not run_folder.record.exists():
        raise UserError(f"{folder} is no run folder: it has no run.json.")
    run = read_json(run_folder.record)
    dataset = opening.open_dataset(
        run["dataset_plugin"],
        root or Path(run["root"]),
        reports_root or (Path(run["reports_root"]) if run["reports_root"] else None),
        results,
        run["data_options"],
    )
    selection = evaluate.select(dataset, run["split"], run["n"] if run["limited"] else None)
    if provenance.fingerprint(selection.studies, selection.references) != run["fingerprint"]:
        raise UserError(f"{dataset.root} holds other data than {folder} was generated for. Run `bench eval` again.")
    return evaluate.score_run(run_folder, selection, results, context)["sections"]
