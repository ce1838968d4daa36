"""What the forms in which people hold MIMIC-CXR have in common, and the data set that delegates to one of them."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from benchmark.contracts import Example, Problem

from ._entries import Entry, EntryDataset

Counts = Mapping[str, Mapping[str, int]]

OFFICIAL: Counts = {
    "train": {"images": 368_960, "studies": 222_758, "patients": 64_586},
    "validate": {"images": 2_991, "studies": 1_808, "patients": 500},
    "test": {"images": 5_159, "studies": 3_269, "patients": 293},
}
"""Source: generate-stats-from-paper.ipynb of MIMIC-CXR-JPG."""


class Layout(ABC):
    """One form of MIMIC-CXR under a root. Making one touches no file."""

    NAME: ClassVar[str]
    LIMITS: ClassVar[tuple[str, ...]] = ()
    SPLITS: ClassVar[tuple[str, ...]] = ("train", "validate", "test")
    OFFICIAL: ClassVar[Counts] = OFFICIAL
    LISTS_ABSENT_IMAGES: ClassVar[bool] = False
    OPTIONS: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    """What may be chosen for this form, with the values; the first is taken where nothing is chosen."""

    def __init__(self, root: Path, reports_root: Path | None = None, options: Mapping[str, str] | None = None):
        self.root = root
        self.reports_root = reports_root
        self.options = dict(options or {})

    @classmethod
    @abstractmethod
    def recognise(cls, root: Path) -> bool:
        """Whether the files that mark this form lie in the root; looks at a few files, walks no tree."""

    @abstractmethod
    def has_images(self) -> bool:
        """Whether images lie where this form has them; looks at the first few patients, walks no tree."""

    @property
    @abstractmethod
    def words(self) -> str:
        """The form in words."""

    @property
    def splits(self) -> tuple[str, ...]:
        """The splits that this copy has."""
        return self.SPLITS

    @property
    def suffix(self) -> str:
        """What the data set's name has for this form and its options; empty for MIMIC-CXR-JPG."""
        return f"-{self.NAME}"

    def chosen(self, option: str) -> str:
        """The value of one of OPTIONS."""
        return self.options.get(option, self.OPTIONS[option][0])

    @abstractmethod
    def problems(self) -> list[Problem]:
        """What is missing at the root."""

    @abstractmethod
    def read(self, split: str) -> Iterable[Entry]:
        """Every study of the split."""

    def unassigned(self) -> Mapping[str, Sequence[str]]:
        return {}

    def augmented(self, split: str) -> Sequence[Example]:
        return ()


class LayoutDataset(EntryDataset):
    """A data set that reads one Layout, its `form`."""

    def __init__(self, root: Path, reports_root: Path | None = None, options: Mapping[str, str] | None = None):
        # People name the folder with the tables, or files/ in it.
        super().__init__(root.parent if root.name == "files" else root, reports_root, options)

    @property
    @abstractmethod
    def form(self) -> Layout:
        """The form that this copy has."""

    def check(self) -> list[Problem]:
        return self.form.problems()

    def read(self, split: str) -> Iterable[Entry]:
        return self.form.read(split)

    @property
    def splits(self) -> tuple[str, ...]:
        return self.form.splits

    @property
    def layout(self) -> str:
        return self.form.words

    @property
    def limits(self) -> tuple[str, ...]:
        return self.form.LIMITS

    @property
    def official(self) -> Counts:
        return self.form.OFFICIAL

    @property
    def lists_absent_images(self) -> bool:
        return self.form.LISTS_ABSENT_IMAGES

    def unassigned(self) -> Mapping[str, Sequence[str]]:
        self.require()
        return self.form.unassigned()

    def augmented(self, split: str) -> Sequence[Example]:
        self.require()
        return self.form.augmented(split)

    def canonical_id(self, given: str) -> str:
        """`s50414267`, as files are named, is `50414267`."""
        return given[1:] if re.fullmatch("s[0-9]{8}", given) else given
