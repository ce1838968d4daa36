"""The Kaggle copy of MIMIC-CXR: a row per patient, lists written as text, 30 % of the images not there.

Source of the form: users' published code; the upstream schema is kakaobrain/cxr-clip, datasets/README. `text` holds one
report a study, but nothing proves that its order is that of the images; so a report belongs to a study for certain only
where the patient has one study and one real report.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
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
COLUMNS = ("subject_id", "image", "view", "AP", "PA", "Lateral", "text")
AUGMENTED = "text_augment"
LONGEST = 1_000_000
"""Characters of a cell; a longer one is not parsed."""

ABSENT = "no frontal image of the study is in this copy"
UNPAIRED = "report cannot be paired with certainty"
BAD_ROW = "row cannot be read"
DAMAGE = frozenset({BAD_ROW})

_PLACE = re.compile(r"/p([0-9]{8})/s([0-9]{8})/[^/]+")


@dataclass(frozen=True)
class _Patient:
    """A row of the table."""

    subject_id: str
    studies: Mapping[str, Sequence[View]]
    """Frontal views first, by study, in the order in which the studies come in the row."""
    texts: Sequence[str]
    augmented: Sequence[str]

    def reports(self, by_order: bool = False) -> dict[str, str]:
        """Reports by study where they are certain, or with `by_order` where there is one for each study.

        The report of an only study without a real one is empty.
        """
        studies = list(self.studies)
        if len(studies) == 1:
            real = [text for text in self.texts if any(split_output(text))]
            return {studies[0]: "".join(real)} if len(real) <= 1 else {}
        return dict(zip(studies, self.texts, strict=True)) if by_order and len(studies) == len(self.texts) else {}


class Kaggle(Layout):
    """Reads the copy."""

    NAME = "kaggle"
    SPLITS = ("train", "validate")
    OFFICIAL = {"train": {"images": 368_960, "patients": 64_586}, "validate": {"images": 2_991, "patients": 500}}
    LISTS_ABSENT_IMAGES = True
    OPTIONS = {"pairing": ("certain", "order"), "augmented": ("no", "yes")}
    LIMITS = (
        "The Kaggle copy has no test split: its scores compare with no published ones.",
        "30 % of the images that it lists are not in it.",
        "It has no labels and, of the reports, only findings and impression.",
        "A report is used only where its patient has one study and one report, unless --data-option pairing=order.",
    )

    def __init__(self, root: Path, reports_root: Path | None = None, options: Mapping[str, str] | None = None):
        super().__init__(root, reports_root, options)
        self._folder = root / FOLDER
        self._tables_read: dict[str, tuple[list[_Patient], list[str]]] = {}

    @classmethod
    def recognise(cls, root: Path) -> bool:
        return any(find_table(root, name) for name in TABLES.values())

    def has_images(self) -> bool:
        return self._folder.is_dir()

    @property
    def splits(self) -> tuple[str, ...]:
        return tuple(split for split in self.SPLITS if find_table(self.root, TABLES[split])) or self.SPLITS

    @property
    def suffix(self) -> str:
        by_order = "-by-order" if self._by_order else ""
        return f"-kaggle{by_order}{'-augmented' if self.chosen('augmented') == 'yes' else ''}"

    @property
    def words(self) -> str:
        return "the Kaggle copy with augmented texts"

    def problems(self) -> list[Problem]:
        missing = [name for name in TABLES.values() if find_table(self.root, name) is None]
        fatal = len(missing) == len(TABLES)
        problems = [Problem(f"{self.root} has no {name}.csv (or .csv.gz).", fatal) for name in missing]
        if not self.has_images():
            problems.append(Problem(f"{self.root} has no folder {FOLDER}/ with the images.", fatal=True))
        return problems

    def read(self, split: str) -> Iterable[Entry]:
        for patient in self._table(split)[0]:
            yield from self._entries(patient, split)

    def unassigned(self) -> Mapping[str, Sequence[str]]:
        bad = [where for split in self.splits for where in self._table(split)[1]]
        return {BAD_ROW: bad} if bad else {}

    def augmented(self, split: str) -> Sequence[Example]:
        """The back-translations of the reports that belong to a used study for certain; of the training split alone."""
        if self.chosen("augmented") == "no" or split != "train":
            return ()
        return [example for patient in self._table(split)[0] for example in self._augmented(patient, split)]

    def _augmented(self, patient: _Patient, split: str) -> Iterator[Example]:
        certain = patient.reports()
        texts = [sections for text in patient.augmented if any(sections := split_output(text))]
        for entry in self._entries(patient, split):
            study = entry.present
            if study is None or study.study_id not in certain:
                continue
            for number, (findings, impression) in enumerate(texts, 1):
                name = f"{study.study_id}-augmented-{number}"
                yield Example(
                    Study(name, study.patient_id, split, study.views, study.context, study.attributes),
                    Reference(name, study.patient_id, findings, impression),
                )

    def _entries(self, patient: _Patient, split: str) -> Iterator[Entry]:
        reports = patient.reports(self._by_order)
        for study_id, views in patient.studies.items():
            study = Study(study_id, patient.subject_id, split, tuple(views), {}, {"view": views[0].position})
            yield _entry(study, reports.get(study_id))

    @property
    def _by_order(self) -> bool:
        return self.chosen("pairing") == "order"

    def _table(self, split: str) -> tuple[list[_Patient], list[str]]:
        """The patients of a split, and the rows that cannot be read. No patient and no study is in two rows."""
        if split not in self._tables_read:
            self._tables_read[split] = self._read_table(split)
        return self._tables_read[split]

    def _read_table(self, split: str) -> tuple[list[_Patient], list[str]]:
        path = find_table(self.root, TABLES[split])
        assert path is not None  # `problems` has seen to it
        columns = (*COLUMNS, AUGMENTED) if self.chosen("augmented") == "yes" else COLUMNS
        table = read_table(path, columns)
        patients: list[_Patient] = []
        bad: list[str] = []
        seen: dict[str, str] = {}
        for at, cells in enumerate(zip(*(table[column].tolist() for column in columns), strict=True)):
            row = f"row {row_number(at)}"
            patient = self._patient(dict(zip(columns, cells, strict=True)))
            if patient is None:
                bad.append(f"{path.name}, {row}")
                continue
            for key in (f"patient {patient.subject_id}", *(f"study {study}" for study in patient.studies)):
                if key in seen:
                    raise UserError(f"{path}, {row}: the {key} stands there twice, first in {seen[key]}.")
                seen[key] = row
            patients.append(patient)
        return patients, bad

    def _patient(self, cells: Mapping[str, str]) -> _Patient | None:
        """A row; None where it cannot be read."""
        subject = cells["subject_id"].strip().removesuffix(".0")
        try:
            lists = {column: _list(cell) for column, cell in cells.items() if column != "subject_id"}
        except ValueError:
            return None
        position = {path: name for name in ("AP", "PA", "Lateral") for path in lists[name]}
        if len(lists["view"]) == len(lists["image"]):
            position = dict(zip(lists["image"], lists["view"], strict=True)) | position
        studies: dict[str, list[View]] = {}
        for relative in dict.fromkeys(lists["image"]):
            path, place = inside(self._folder, relative), _PLACE.search(relative)
            if path is None or place is None or place[1] != subject:
                return None
            studies.setdefault(place[2], []).append(View(path, position.get(relative, "").upper(), path.stem))
        if not studies:
            return None
        ordered = {study: sorted(views, key=_order) for study, views in studies.items()}
        return _Patient(subject, ordered, lists["text"], lists.get(AUGMENTED, []))


def _order(view: View) -> tuple[int, str]:
    return (FRONTAL.index(view.position) if view.position in FRONTAL else len(FRONTAL), view.image_id)


def _entry(study: Study, text: str | None) -> Entry:
    present = on_disk(study)
    if study.views[0].position not in FRONTAL:
        return Entry(study, None, NO_FRONTAL)
    if not present.views or present.views[0].position not in FRONTAL:
        return Entry(study, None, ABSENT)
    if text is None:
        return Entry(study, None, UNPAIRED)
    findings, impression = split_output(text)
    if not findings and not impression:
        return Entry(study, None, NO_SECTIONS)
    return Entry(study, Reference(study.study_id, study.patient_id, findings, impression), "", present)


def _list(cell: str) -> list[str]:
    """A cell that is a Python list of texts; a bare text is a list of one, an empty cell or `nan` of none.

    Raises ValueError for anything else. The cell is parsed as a literal and never run.
    """
    cell = cell.strip()
    if cell.lower() in ("", "nan", "none"):
        return []
    if not cell.startswith("["):
        return [cell]
    if len(cell) > LONGEST:
        raise ValueError("the cell is too long")
    try:
        found = ast.literal_eval(cell)
    except (SyntaxError, TypeError, MemoryError, RecursionError) as error:
        raise ValueError(str(error)) from None
    if not isinstance(found, list) or not all(isinstance(text, str | None) for text in found):
        raise ValueError("no list of texts")
    return [text or "" for text in found]
