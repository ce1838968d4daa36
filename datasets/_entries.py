"""The one way from a layout to a data set: a layout lists entries, the base class sorts them into used and left out."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from benchmark.contracts import Dataset
from benchmark.errors import UserError
from benchmark.schema import Reference, Study

NO_IMAGE = "image file missing"
NO_SECTIONS = "report has neither findings nor impression"


@dataclass(frozen=True)
class Entry:
    """One study as a copy lists it."""

    study: Study
    """With all its images, whether or not their files are there."""
    reference: Reference | None
    """None where there is no usable report."""
    reason: str = ""
    """Why the study is left out; empty where it is used."""
    present: Study | None = None
    """The study as models see it, where only some of its images are on disk; None where that is `study`."""


@dataclass(frozen=True)
class _Split:
    listed: tuple[Study, ...]
    studies: tuple[Study, ...]
    references: tuple[Reference, ...]
    left_out: Mapping[str, Sequence[str]]


class EntryDataset(Dataset):
    """A data set that is read split by split into entries, once."""

    @abstractmethod
    def read(self, split: str) -> Iterable[Entry]:
        """Every study that the copy lists in the split, used or not, each once, in any order.

        Called after `check` found nothing fatal. Raises UserError, with file and row, for what cannot be read.
        """

    def listed(self, split: str) -> Sequence[Study]:
        return self._load(split).listed

    def studies(self, split: str) -> Sequence[Study]:
        return self._load(split).studies

    def references(self, split: str) -> Sequence[Reference]:
        return self._load(split).references

    def left_out(self, split: str) -> Mapping[str, Sequence[str]]:
        return self._load(split).left_out

    @cached_property
    def _splits_read(self) -> dict[str, _Split]:
        return {}

    def _load(self, split: str) -> _Split:
        if split not in self._splits_read:
            self.require()
            self._splits_read[split] = _sorted(self.read(split))
        return self._splits_read[split]

    def require(self) -> None:
        """Raises UserError where `check` finds something without which the copy cannot be read."""
        fatal = [problem.what for problem in self.check() if problem.fatal]
        if fatal:
            raise UserError(f"{self.root} cannot be read: {' '.join(fatal)}")


def _sorted(entries: Iterable[Entry]) -> _Split:
    by_id = sorted(entries, key=lambda entry: entry.study.study_id)
    used = [(entry.present or entry.study, entry.reference) for entry in by_id if not entry.reason]
    left_out: dict[str, list[str]] = {}
    for entry in by_id:
        if entry.reason:
            left_out.setdefault(entry.reason, []).append(entry.study.study_id)
    references = tuple(reference for _, reference in used if reference is not None)
    assert len(references) == len(used), "an entry without a reference needs a reason"
    return _Split(
        tuple(entry.study for entry in by_id),
        tuple(study for study, _ in used),
        references,
        dict(sorted(left_out.items())),
    )


def on_disk(study: Study) -> Study:
    """The study with those images alone whose files are there; `view` among its attributes is the first one's."""
    views = tuple(view for view in study.views if view.path.is_file())
    position = {"view": views[0].position} if views and "view" in study.attributes else {}
    return replace(study, views=views, attributes={**study.attributes, **position})


def inside(root: Path, relative: str) -> Path | None:
    """A path from a data file, below `root`; None for one that leads out of it (absolute, or with `..`).

    Windows separators are accepted. Links are followed: they were put there by whoever owns the folder.
    """
    parts = relative.strip().replace("\\", "/").split("/")
    if not relative.strip() or parts[0] == "" or ".." in parts or ":" in parts[0] or "\0" in relative:
        return None
    return root.joinpath(*parts)
