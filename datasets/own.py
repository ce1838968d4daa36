"""Your own data: a folder with one table of images, texts and splits, or ReXrank's JSON."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path

from benchmark.contracts import Problem
from benchmark.errors import UserError

from ._entries import NO_IMAGE, Entry, EntryDataset, inside, on_disk
from ._own_columns import NAMES, TEXTS, Columns, understand
from ._own_studies import DAMAGE, Fault, Listing, list_studies
from ._own_table import Table, read_table

SUFFIXES = (".csv", ".tsv", ".jsonl", ".json")
USUAL = "studies"
"""The table's usual name, before its suffix."""

EXAMPLES = 5
"""So many rows are named of each kind of damage."""


class Dataset(EntryDataset):
    """One table in the root: CSV (commas, semicolons or tabs), JSON Lines, JSON (R2Gen's or ReXrank's form too).

    It is `studies.csv`, `.tsv`, `.jsonl` or `.json`, or the only such file. Columns are known by their names (see
    `_own_columns.NAMES`): `study_id`, `image` (paths below the root), `view`, `split` (without it all studies are in
    one, `all`), `patient_id` (else each study is a patient of its own), `findings` and `impression`, or `report`, which
    is split by its headings where a row has neither; `indication`, `comparison`, `history`. Every other column is an
    attribute, but for texts. One row a study (several images joined by `;` or as a list) or one row an image. A table
    that names no image, or none that is there, is a copy of texts. Aggregates may leave the machine, nothing else.
    """

    VERSION = "own"
    LICENCE = "the owner's"
    MAY_LEAVE = frozenset[str]()
    OWNED = True
    SPLITS = ("train", "val", "test", "all")
    SPLIT_ALIASES = {"validate": "val", "validation": "val"}
    OPTIONS = {
        "table": "The table's file name, where the root holds several.",
        "name": "A name for results, after own-; by default the table's own, or the folder's if that is studies.",
        "images": "The folder below the root where image paths begin; by default the root.",
    }
    DAMAGE = DAMAGE | {NO_IMAGE}

    @property
    def name(self) -> str:
        if "name" in self.options:
            return f"own-{_slug(self.options['name'])}"
        stem = self._file.stem if isinstance(self._file, Path) else USUAL
        return f"own-{_slug(stem if stem != USUAL else self.root.resolve().name)}"

    def check(self) -> list[Problem]:
        try:
            listing, table = self._listing, self._table
        except UserError as error:
            return [Problem(str(error), fatal=True)]
        by_reason: dict[str, list[Fault]] = {}
        for fault in listing.faults:
            by_reason.setdefault(fault.reason, []).append(fault)
        problems = []
        for reason, faults in by_reason.items():
            problems += [Problem(f"{table.path}, {of.where}: the row {of.what}.", False) for of in faults[:EXAMPLES]]
            if more := len(faults[EXAMPLES:]):
                problems.append(Problem(f"{table.path}: {more:,} more × {reason}.", False))
        if not listing.entries:
            problems.append(Problem(f"{table.path} has no study with a split.", fatal=True))
        elif "image" in self._columns.of and not self.has_images:
            problems.append(Problem(f"None of the images that {table.path} names is under {self._folder}.", False))
        return problems

    @property
    def splits(self) -> tuple[str, ...]:
        try:
            there = {entry.study.split for entry in self._listing.entries}
        except UserError:
            return self.SPLITS
        return tuple(split for split in self.SPLITS if split in there) or self.SPLITS

    @property
    def layout(self) -> str:
        return f"{self._table.path.name} ({self._table.form})"

    @property
    def limits(self) -> tuple[str, ...]:
        found = []
        if "patient_id" not in self._columns.of:
            found.append("No patient_id: each study counts as a patient of its own, so intervals may be too narrow.")
        if "split" not in self._columns.of:
            found.append("No split: all studies are in one, `all`.")
        if "image" not in self._columns.of:
            found.append("No images: the table names none.")
        for column in self._listing.set_aside:
            found.append(f"The column {column} holds texts or repeats the report, so it is no attribute.")
        return tuple(found)

    @cached_property
    def has_images(self) -> bool:
        return any(view.path.is_file() for entry in self._listing.entries for view in entry.study.views)

    def unassigned(self) -> Mapping[str, Sequence[str]]:
        self.require()
        return self._listing.unassigned

    def read(self, split: str) -> Iterable[Entry]:
        for entry in self._listing.entries:
            if entry.study.split == split:
                yield self._looked_for(entry) if self.has_images and not entry.reason else entry

    def _looked_for(self, entry: Entry) -> Entry:
        present = on_disk(entry.study)
        return Entry(entry.study, entry.reference, "" if present.views else NO_IMAGE, present)

    @cached_property
    def _listing(self) -> Listing:
        return list_studies(self._table, self._columns, self._folder)

    @cached_property
    def _columns(self) -> Columns:
        table = self._table
        columns = understand(table.columns, table.path)
        if "study_id" not in columns.of:
            known = ", ".join(NAMES["study_id"])
            raise UserError(f"{table.path} has no column study_id (or {known}): it has {', '.join(table.columns)}.")
        if not columns.of.keys() & set(TEXTS):
            raise UserError(
                f"{table.path} has no text to score against: it needs a column findings, impression or report."
            )
        return columns

    @cached_property
    def _table(self) -> Table:
        if isinstance(self._file, str):
            raise UserError(self._file)
        return read_table(self._file)

    @cached_property
    def _file(self) -> Path | str:
        """The table, or a sentence about why there is none."""
        place = self.reports_root or self.root
        if "table" in self.options:
            named = inside(place, self.options["table"])
            return named if named and named.is_file() else f"{place} has no table '{self.options['table']}'."
        tables = sorted(path for path in place.glob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
        usual = [path for path in tables if path.stem == USUAL]
        found = usual or tables
        if len(found) == 1:
            return found[0]
        if not found:
            return f"{place} has no table ({USUAL}.csv, .tsv, .jsonl or .json)."
        names = ", ".join(path.name for path in found)
        return f"{place} has several tables ({names}). Name one: --data-option table={found[0].name}."

    @cached_property
    def _folder(self) -> Path:
        """Where image paths begin. Raises UserError for an option that leads out of the root."""
        if "images" not in self.options:
            return self.root
        folder = inside(self.root, self.options["images"])
        if folder is None or not folder.is_dir():
            raise UserError(f"{self.root} has no folder '{self.options['images']}' (option images).")
        return folder


def _slug(text: str) -> str:
    plain = unicodedata.normalize("NFKD", text.casefold()).encode("ascii", "ignore").decode()
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-") or "data"
