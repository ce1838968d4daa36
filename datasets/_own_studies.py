"""From the rows of people's own tables to studies: rows are joined by study, and what is wrong is named by row."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from benchmark.schema import Reference, Study, View
from benchmark.sections import tolerant_findings_and_impression

from ._entries import NO_SECTIONS, Entry, inside
from ._own_columns import CONTEXT, SPLITS, TEXTS, Columns, plain, several
from ._own_table import Row, Table

BAD_ROW = "row that cannot be read"
NO_ID = "row without a study id"
NO_SPLIT = "split is empty or unknown"
TWO_SPLITS = "study is in two splits"
DISAGREEMENT = "rows of the study disagree"
OUTSIDE = "image path leads out of the folder"
BAD_IMAGES = "images or views of a row cannot be read"
DAMAGE = frozenset({BAD_ROW, NO_ID, NO_SPLIT, TWO_SPLITS, DISAGREEMENT, OUTSIDE, BAD_IMAGES})

FRONTAL = ("PA", "AP", "FRONTAL")
"""View positions that come first, in this order; the others keep the table's."""

_LONGEST_ATTRIBUTE = 200
"""Characters. A column with a longer cell holds texts."""
_TELLING = 20
"""Characters. A shorter text (`None.`) may stand in the reference and elsewhere by chance."""


@dataclass(frozen=True)
class Fault:
    """What is wrong with a row."""

    reason: str
    """One of DAMAGE."""
    where: str
    what: str
    """A clause about the row."""


@dataclass(frozen=True)
class Listing:
    """All that a table says."""

    entries: Sequence[Entry]
    """Studies that have a split. Their image files have not been looked for."""
    faults: Sequence[Fault]
    unassigned: Mapping[str, Sequence[str]]
    """Study ids, or places of rows without one, by reason."""
    set_aside: Sequence[str]
    """Columns that are neither attribute nor context, because they hold texts or repeat the report."""


def list_studies(table: Table, columns: Columns, folder: Path) -> Listing:
    """Studies from rows; image paths begin at `folder`."""
    faults: list[Fault] = []
    rows: dict[str, list[Row]] = {}
    for row in table.rows:
        study_id = columns.text(row.cells, "study_id")
        if row.fault or not study_id:
            faults.append(
                Fault(BAD_ROW, row.where, row.fault) if row.fault else Fault(NO_ID, row.where, "has no study id")
            )
        else:
            rows.setdefault(study_id, []).append(row)
    entries: list[Entry] = []
    unassigned: dict[str, list[str]] = {}
    for fault in faults:
        unassigned.setdefault(fault.reason, []).append(fault.where)
    for study_id, of in rows.items():
        split, wrong = _split(study_id, of, columns)
        if wrong is not None:
            unassigned.setdefault(wrong.reason, []).append(study_id)
        else:
            entry, wrong = _entry(study_id, split, of, columns, folder)
            entries.append(entry)
        if wrong is not None:
            faults.append(wrong)
    return _without_texts(Listing(entries, faults, unassigned, ()))


def _split(study_id: str, rows: Sequence[Row], columns: Columns) -> tuple[str, Fault | None]:
    if "split" not in columns.of:
        return "all", None
    found: dict[str, Row] = {}
    for row in rows:
        if given := columns.text(row.cells, "split"):
            found.setdefault(SPLITS.get(given.casefold(), given), row)
    if len(found) > 1:
        last = list(found.values())[-1]
        return "", Fault(TWO_SPLITS, last.where, f"puts the study {study_id} into a second split")
    name, row = next(iter(found.items()), ("", rows[0]))
    if name in SPLITS.values():
        return name, None
    given = plain(columns.get(row.cells, "split"))
    return "", Fault(NO_SPLIT, row.where, f"has the split '{given}', which is not train, val, test or all")


def _entry(
    study_id: str, split: str, rows: Sequence[Row], columns: Columns, folder: Path
) -> tuple[Entry, Fault | None]:
    """The study, and what is wrong with it."""
    cells, fault = _joined(study_id, rows, columns)
    views: list[View] = []
    for row in rows:
        try:
            views += [view for view in _views(row, columns, folder) if view not in views]
        except _Outside as error:
            fault = fault or Fault(OUTSIDE, row.where, f"has the image path '{error}', which leads out of the folder")
        except ValueError as error:
            fault = fault or Fault(BAD_IMAGES, row.where, f"has images or views that cannot be read: {error}")
    views.sort(key=lambda view: FRONTAL.index(view.position) if view.position in FRONTAL else len(FRONTAL))
    context = {name: cells[name] for name in CONTEXT if cells[name]}
    attributes = {
        name: value for name in columns.attributes if (value := _agreed(plain(r.cells.get(name)) for r in rows))
    }
    if views and views[0].position:
        attributes["view"] = views[0].position
    patient = cells["patient_id"] or study_id
    study = Study(study_id, patient, split, tuple(views), context, attributes)
    findings, impression = cells["findings"], cells["impression"]
    if not findings and not impression:
        findings, impression = tolerant_findings_and_impression(cells["report"])
    if fault is not None:
        return Entry(study, None, fault.reason), fault
    if not findings and not impression:
        return Entry(study, None, NO_SECTIONS), None
    return Entry(study, Reference(study_id, patient, findings, impression)), None


def _joined(study_id: str, rows: Sequence[Row], columns: Columns) -> tuple[dict[str, str], Fault | None]:
    """What all rows of a study must say alike, each cell from the first row that has it."""
    found = dict.fromkeys(("patient_id", *TEXTS, *CONTEXT), "")
    for row in rows:
        for meaning, known in found.items():
            value = columns.text(row.cells, meaning)
            if known and value and value != known:
                what = f"has another {columns.of[meaning]} for the study {study_id} than a row before"
                return found, Fault(DISAGREEMENT, row.where, what)
            found[meaning] = known or value
    return found, None


def _agreed(values: Iterable[str]) -> str:
    """The one value of all rows; empty where they differ, as what tells images apart does."""
    found = {value for value in values if value.casefold() not in ("", "nan")}
    return found.pop() if len(found) == 1 else ""


class _Outside(Exception):
    """A path that leads out of the folder."""


def _views(row: Row, columns: Columns, folder: Path) -> Iterator[View]:
    """A row's images in order. Raises _Outside for a path that leads out, ValueError for cells that are no lists."""
    images, positions = several(columns.get(row.cells, "image")), several(columns.get(row.cells, "view"))
    if not any(positions):
        positions = [""] * len(images)
    if len(positions) != len(images):
        raise ValueError(f"{len(images)} images and {len(positions)} views")
    for image, position in zip(images, positions, strict=True):
        if not image:
            continue
        relative = image.replace("\\", "/").removeprefix(f"{folder.as_posix()}/")
        path = inside(folder, relative)
        if path is None:
            raise _Outside(image)
        yield View(path, position.upper(), str(PurePosixPath(relative)))


def _without_texts(listing: Listing) -> Listing:
    """The listing without attributes that are texts, and without any column that repeats a report."""
    texts: set[str] = set()
    for entry in listing.entries:
        sections = [entry.reference.findings, entry.reference.impression] if entry.reference else []
        telling = [_even(section) for section in sections if len(section) >= _TELLING]
        for name, value in (*entry.study.attributes.items(), *entry.study.context.items()):
            even = _even(value)
            long = len(value) > _LONGEST_ATTRIBUTE and name in entry.study.attributes
            if long or any(section in even for section in telling):
                texts.add(name)
    return replace(listing, entries=[_lacking(entry, texts) for entry in listing.entries], set_aside=sorted(texts))


def _lacking(entry: Entry, names: set[str]) -> Entry:
    context, attributes = (
        {name: value for name, value in of.items() if name not in names}
        for of in (entry.study.context, entry.study.attributes)
    )
    return replace(entry, study=replace(entry.study, context=context, attributes=attributes))


def _even(text: str) -> str:
    return " ".join(text.casefold().split())
