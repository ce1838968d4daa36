"""The Kaggle copy of MIMIC-CXR: a row per patient, lists written as text, 30 % of the images not there.

Source of the form: users' published code; the upstream schema is kakaobrain/cxr-clip, datasets/README. `text` holds one
report a study, but nothing proves that its order is that of the images; so a report belongs to a study for certain only
where the patient has one study and one real report.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from benchmark.contracts import Example, Problem
from benchmark.errors import UserError
from benchmark.schema import Reference, Study, View
from benchmark.sections import split_output

from ._entries import NO_SECTIONS, Entry, inside, on_disk
from ._mimic_layout import Layout
from ._mimic_studies import FRONTAL, NO_FRONTAL
from ._tables import find_table, read_table, row_number

FOLDER = "official_data_iccv_final"
TABLES = {"train": "mimic_cxr_aug_train", "validate": "mimic_cxr_aug_validate"}
COLUMNS = ("subject_id", "image", "view", "AP", "PA", "Lateral", "text", "text_augment")
LONGEST = 1_000_000
"""Characters of a cell; a longer one is not parsed."""

ABSENT = "no frontal image of the study is in this copy"
UNPAIRED = "report cannot be paired with certainty"
BAD_ROW = "row cannot be read"
DAMAGE = frozenset({BAD_ROW})

_STUDY = re.compile(r"/s([0-9]{8})/")
_POSITIONS = {"AP": "AP", "PA": "PA", "LATERAL": "LATERAL", "LL": "LL"}


@dataclass(frozen=True)
class _Patient:
    """A row of the table."""

    where: str
    subject_id: str
    studies: Mapping[str, Sequence[View]]
    """Frontal views first, by study, in the order in which the studies come in the row."""
    texts: Sequence[str]
    augmented: Sequence[str]


class Kaggle(Layout):
    """Reads the copy. Options: `pairing=order`, `augmented=yes`."""

    NAME = "kaggle"
    SPLITS = ("train", "validate")
    OFFICIAL = {"train": {"images": 368_960, "patients": 64_586}, "validate": {"images": 2_991, "patients": 500}}
    LISTS_ABSENT_IMAGES = True
    LIMITS = (
        "The Kaggle copy has no test split: its scores compare with no published ones.",
        "30 % of the images that it lists are not in it.",
        "It has no labels and, of the reports, only findings and impression.",
        "A report is used only where its patient has one study and one report, unless --data-option pairing=order.",
    )

    @classmethod
    def recognise(cls, root: Path) -> bool:
        return any(find_table(root, name) for name in TABLES.values())

    @property
    def suffix(self) -> str:
        by_order = "-by-order" if self.options.get("pairing") == "order" else ""
        return f"-kaggle{by_order}{'-augmented' if self.options.get('augmented') == 'yes' else ''}"

    @property
    def words(self) -> str:
        return "the Kaggle copy with augmented texts"

    def problems(self) -> list[Problem]:
        problems = [
            Problem(f"{self.root} has no {name}.csv.", fatal=True)
            for name in TABLES.values()
            if find_table(self.root, name) is None
        ]
        if not (self.root / FOLDER).is_dir():
            problems.append(Problem(f"{self.root} has no folder {FOLDER}/ with the images.", fatal=True))
        for key, values in (("pairing", ("certain", "order")), ("augmented", ("no", "yes"))):
            if self.options.get(key, values[0]) not in values:
                what = f"--data-option {key} takes {' or '.join(values)}, not '{self.options[key]}'."
                problems.append(Problem(what, fatal=True))
        return problems

    def read(self, split: str) -> Iterable[Entry]:
        for patient in self._patients(split):
            yield from self._entries(patient, split)

    def unassigned(self) -> Mapping[str, Sequence[str]]:
        bad = [where for split in self.SPLITS for where in self._tables[split][1]]
        return {BAD_ROW: bad} if bad else {}

    def augmented(self, split: str) -> Sequence[Example]:
        """The back-translations of reports that are used, for the training split, where the user asked for them."""
        if self.options.get("augmented") != "yes" or split != "train":
            return ()
        found = []
        for patient in self._patients(split):
            paired = self._paired(patient, patient.augmented)
            for entry in self._entries(patient, split):
                text = paired.get(entry.study.study_id)
                if entry.reason or not text:
                    continue
                study = entry.present or entry.study
                study_id = f"{study.study_id}-augmented"
                findings, impression = split_output(text)
                found.append(
                    Example(
                        Study(study_id, study.patient_id, split, study.views, study.context, study.attributes),
                        Reference(study_id, study.patient_id, findings, impression),
                    )
                )
        return found

    def _entries(self, patient: _Patient, split: str) -> Iterable[Entry]:
        texts = self._paired(patient)
        for study_id, views in patient.studies.items():
            yield _entry(patient, study_id, views, texts.get(study_id), split)

    def _paired(self, patient: _Patient, texts: Sequence[str] | None = None) -> dict[str, str]:
        """Texts by study, where they can be told: one study and one real text, or by order where the user says so."""
        texts = patient.texts if texts is None else texts
        studies = list(patient.studies)
        if self.options.get("pairing") == "order":
            return dict(zip(studies, texts, strict=True)) if len(studies) == len(texts) else {}
        real = [text for text in texts if any(split_output(text))]
        return {studies[0]: real[0]} if len(studies) == 1 and len(real) == 1 else {}

    def _patients(self, split: str) -> Sequence[_Patient]:
        return self._tables[split][0]

    @cached_property
    def _tables(self) -> dict[str, tuple[list[_Patient], list[str]]]:
        """By split: the patients, and the rows that cannot be read. No patient and no study is in two rows."""
        found: dict[str, tuple[list[_Patient], list[str]]] = {}
        seen: dict[str, str] = {}
        for split, name in TABLES.items():
            path = find_table(self.root, name)
            assert path is not None  # `problems` has seen to it
            patients, bad = [], []
            table = read_table(path, COLUMNS)
            for at, cells in enumerate(zip(*(table[column].tolist() for column in COLUMNS), strict=True)):
                where = f"{path.name}, row {row_number(at)}"
                patient = self._patient(dict(zip(COLUMNS, cells, strict=True)), where)
                if patient is None:
                    bad.append(where)
                    continue
                for key in (f"patient {patient.subject_id}", *(f"study {study}" for study in patient.studies)):
                    if key in seen:
                        raise UserError(f"{where}: the {key} stands there twice, first in {seen[key]}. Remove one row.")
                    seen[key] = where
                patients.append(patient)
            found[split] = patients, bad
        return found

    def _patient(self, cells: Mapping[str, str], where: str) -> _Patient | None:
        """A row; None where it cannot be read."""
        try:
            lists = {column: _list(cells[column]) for column in COLUMNS[1:]}
        except ValueError:
            return None
        subject = cells["subject_id"].strip().removesuffix(".0")
        position = {path: name for name in ("AP", "PA", "Lateral") for path in lists[name]}
        if len(lists["view"]) == len(lists["image"]):
            position = dict(zip(lists["image"], lists["view"], strict=True)) | position
        studies: dict[str, list[View]] = {}
        for relative in lists["image"]:
            path, study = inside(self.root / FOLDER, relative), _STUDY.search(relative)
            if path is None or study is None:
                return None
            name = position.get(relative, "").upper()
            studies.setdefault(study[1], []).append(View(path, _POSITIONS.get(name, name), path.stem))
        if not subject.isdecimal() or not studies:
            return None
        ordered = {study: sorted(views, key=_order) for study, views in studies.items()}
        return _Patient(where, subject, ordered, lists["text"], lists["text_augment"])


def _order(view: View) -> tuple[int, str]:
    return (FRONTAL.index(view.position) if view.position in FRONTAL else len(FRONTAL), view.image_id)


def _entry(patient: _Patient, study_id: str, views: Sequence[View], text: str | None, split: str) -> Entry:
    study = Study(study_id, patient.subject_id, split, tuple(views), {}, {"view": views[0].position})
    present = on_disk(study)
    if views[0].position not in FRONTAL:
        return Entry(study, None, NO_FRONTAL)
    if not present.views or present.views[0].position not in FRONTAL:
        return Entry(study, None, ABSENT)
    if text is None:
        return Entry(study, None, UNPAIRED)
    findings, impression = split_output(text)
    if not findings and not impression:
        return Entry(study, None, NO_SECTIONS)
    return Entry(study, Reference(study_id, patient.subject_id, findings, impression), "", present)


def _list(cell: str) -> list[str]:
    """A cell that is a Python list of texts; a bare text is a list of one, an empty cell or `nan` of none.

    Raises ValueError for anything else. The cell is parsed as a literal and never run.
    """
    cell = cell.strip()
    if cell.lower() in ("", "nan", "none", "[]"):
        return []
    if not cell.startswith(("[", "(")):
        return [cell]
    if len(cell) > LONGEST:
        raise ValueError("the cell is too long")
    try:
        found = ast.literal_eval(cell)
    except (SyntaxError, MemoryError, RecursionError) as error:
        raise ValueError(str(error)) from None
    if not isinstance(found, (list, tuple)):
        raise ValueError("no list")
    return ["" if text is None or text != text else str(text) for text in found]
