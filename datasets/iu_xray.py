"""Indiana University's chest X-rays (Open-I): 3,955 studies, of which R2Gen's split takes 2,955."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from benchmark.contracts import Problem
from benchmark.errors import UserError, unknown
from benchmark.schema import Reference, Study, View

from ._entries import NO_IMAGE, NO_SECTIONS, Entry, EntryDataset, inside, on_disk
from ._iu_annotation import SPLITS, Annotation, number_of, read_studies
from ._iu_mesh import labels
from ._iu_texts import PROJECTIONS, REPORTS, XML_ARCHIVE, XML_FOLDER, Source, kaggle_name, read_tables, read_xml

ANNOTATION = "annotation.json"
ALL = "all"
"""The one split of a copy without R2Gen's."""

NO_REPORT = "report not in the tables or the XML beside annotation.json"
BAD_REPORT = "report file is not XML"
OUTSIDE = "image path leads out of the folder"
NO_FINDINGS = "report has no findings"
FEW_IMAGES = "fewer than two images"
NOT_CHOSEN = "not in R2Gen's split"
BAD_SPLIT = "split in annotation.json is not train, val or test"


@dataclass(frozen=True)
class _Layout:
    """How a form names its images."""

    words: str
    folders: tuple[str, ...]
    """Below the root, where people put the images."""
    entry: re.Pattern[str]
    """What a folder of images holds: by this it is known."""
    suffixes: tuple[str, ...] = ("",)


_LAYOUTS = {
    "r2gen": _Layout("R2Gen's annotation.json", ("images",), re.compile(r"CXR[^.]*")),
    "kaggle": _Layout(
        "Kaggle's tables", ("images/images_normalized", "images_normalized", "images"), re.compile(r"[0-9]+_IM-.*\.png")
    ),
    "openi": _Layout(
        "Open-I's XML",
        ("images", "NLMCXR_png", "NLMCXR_jpg"),
        re.compile(r"CXR.*\.(png|jpe?g)", re.IGNORECASE),
        (".png", ".jpg", ".jpeg"),
    ),
}


class Dataset(EntryDataset):
    """Demner-Fushman et al. 2016, in the three forms in which people hold it, which agree study by study.

    The studies are those of R2Gen's annotation.json where it lies in the root, under its ids and in its split.
    Without it they are the same 2,955 (findings and at least two images), in one split, `all`. Annotation.json holds
    findings alone; what lies beside it (Kaggle's tables, Open-I's XML as a folder or as its archive) gives impressions,
    context and MeSH codes, which become CheXpert classes (label set `mesh`, positives alone). The texts may lie in
    the reports root instead. One patient a study.
    """

    VERSION = "Open-I"
    LICENCE = "CC BY-NC-ND 4.0"
    MAY_LEAVE = frozenset({"values"})
    SPLITS = (*SPLITS, ALL)
    SPLIT_ALIASES = {"validate": "val", "validation": "val"}
    OPTIONS = {"layout": "r2gen, kaggle or openi; by default what lies in the root, annotation.json first."}
    DAMAGE = frozenset({NO_IMAGE, NO_REPORT, BAD_REPORT, OUTSIDE, BAD_SPLIT})

    def __init__(self, root: Path, reports_root: Path | None = None, options: Mapping[str, str] | None = None):
        super().__init__(root, reports_root, options)
        if self.options.get("layout", "r2gen") not in _LAYOUTS:
            raise unknown("layout of iu-xray", self.options["layout"], _LAYOUTS)

    @property
    def name(self) -> str:
        return "iu-xray" if self._form == "r2gen" else f"iu-xray-{self._form}"

    def check(self) -> list[Problem]:
        lacking = {
            "r2gen": "" if self._file(ANNOTATION) else f"{ANNOTATION} (R2Gen)",
            "kaggle": "" if self._tables else f"{REPORTS} and {PROJECTIONS} (Kaggle)",
            "openi": "" if self._xml else f"{XML_FOLDER}/ or {XML_ARCHIVE} (Open-I)",
        }
        if lacking[self._form]:
            needed = lacking[self._form] if "layout" in self.options else ", nor ".join(lacking.values())
            return [Problem(f"{self.reports_root or self.root} has no {needed}.", fatal=True)]
        try:
            _ = self._chosen
        except UserError as error:
            return [Problem(str(error), fatal=True)]
        return []

    @property
    def splits(self) -> tuple[str, ...]:
        return SPLITS if self._file(ANNOTATION) else (ALL,)

    @property
    def layout(self) -> str:
        return _LAYOUTS[self._form].words

    @property
    def limits(self) -> tuple[str, ...]:
        found = []
        if not self._file(ANNOTATION):
            found.append(
                f"R2Gen's split is not here, so all studies are in one, `{ALL}`: put R2Gen's {ANNOTATION} (with its "
                "download of IU X-Ray) into the folder to compare with published numbers."
            )
        if self._form == "r2gen" and not (self._xml or self._tables):
            found.append(
                f"{ANNOTATION} holds findings alone: put {REPORTS} and {PROJECTIONS}, or {XML_ARCHIVE}, beside it for "
                "impressions, indications, comparisons and MeSH codes."
            )
        if self._form == "r2gen":
            found.append("R2Gen's image names do not say which of a study's two is frontal: 0.png is not always.")
        if self._form == "openi" and not self._file(PROJECTIONS):
            found.append(f"Open-I's XML does not say which image is frontal: put Kaggle's {PROJECTIONS} beside it.")
        return tuple(found)

    @property
    def has_images(self) -> bool:
        return self._image_folder is not None

    @property
    def official(self) -> Mapping[str, Mapping[str, int]]:
        numbers = {"train": 2069, "val": 296, "test": 590} if self._file(ANNOTATION) else {ALL: 2955}
        images = {split: {"images": 2 * n} if self._form == "r2gen" else {} for split, n in numbers.items()}
        return {split: {"studies": n, "patients": n, **images[split]} for split, n in numbers.items()}

    def canonical_id(self, given: str) -> str:
        """R2Gen's id for `CXRn` and `n`."""
        number = number_of(given)
        chosen = {of.number: of.study_id for of in self._chosen}
        if number in chosen:
            return chosen[number]
        return given if number is None else f"CXR{number}"

    def unassigned(self) -> Mapping[str, Sequence[str]]:
        self.require()
        found: dict[str, list[str]] = {}
        for chosen in self._chosen:
            if chosen.split not in self.splits:
                found.setdefault(BAD_SPLIT, []).append(chosen.study_id)
        for number in sorted((self._sources or {}).keys() - {chosen.number for chosen in self._chosen}):
            found.setdefault(_why_not((self._sources or {})[number]) or NOT_CHOSEN, []).append(f"CXR{number}")
        return found

    def read(self, split: str) -> Iterable[Entry]:
        return (self._entry(chosen) for chosen in self._chosen if chosen.split == split)

    def _entry(self, chosen: Annotation) -> Entry:
        source = Source() if self._sources is None else self._sources.get(chosen.number)
        views = self._views(chosen, source or Source())
        position = views[0].position if views and views[0] else ""
        study = Study(
            chosen.study_id,
            f"CXR{chosen.number}",
            chosen.split,
            tuple(view for view in views if view),
            source.context if source else {},
            {"view": position} if position else {},
        )
        if source is None or source.broken:
            return Entry(study, None, BAD_REPORT if source else NO_REPORT)
        if None in views:
            return Entry(study, None, OUTSIDE)
        findings = chosen.findings if self._form == "r2gen" else source.findings
        if not findings and not source.impression:
            return Entry(study, None, NO_SECTIONS)
        reference = Reference(study.study_id, study.patient_id, findings, source.impression, labels(source.mesh))
        if not self.has_images:
            return Entry(study, reference)
        present = on_disk(study)
        return Entry(study, reference, "" if present.views else NO_IMAGE, present)

    def _views(self, chosen: Annotation, source: Source) -> list[View | None]:
        """A study's images in order; None for one whose path leads out of the image folder."""
        if self._form == "r2gen":
            named = [(name, "", name.removesuffix(".png")) for name in chosen.images]
        else:
            named = [(image.name, image.position, kaggle_name(image.name.partition(".")[0])) for image in source.images]
        return [
            View(path, position, image_id) if (path := self._image(name)) else None
            for name, position, image_id in named
        ]

    def _image(self, name: str) -> Path | None:
        layout = _LAYOUTS[self._form]
        folder = self._image_folder or self.root / layout.folders[0]
        paths = [inside(folder, name + suffix) for suffix in layout.suffixes]
        return next((path for path in paths if path and path.is_file()), paths[0])

    @cached_property
    def _chosen(self) -> Sequence[Annotation]:
        """The studies that have a split: R2Gen's, or where its file is not here those that it would take."""
        sources = self._sources or {}
        if annotation := self._file(ANNOTATION):
            return read_studies(annotation)
        return [
            Annotation(f"CXR{number}", number, ALL, source.findings, ())
            for number, source in sorted(sources.items())
            if not _why_not(source)
        ]

    @cached_property
    def _sources(self) -> Mapping[int, Source] | None:
        """The texts by number; None where annotation.json stands alone. Of two forms beside it XML is the original."""
        if self._xml and self._form != "kaggle":
            return read_xml(self._xml, self._file(PROJECTIONS))
        if self._tables:
            return read_tables(*self._tables)
        return None

    @cached_property
    def _form(self) -> str:
        """The layout named, else the first one that lies here; one whose images are here goes before."""
        if "layout" in self.options:
            return self.options["layout"]
        there = {"r2gen": self._file(ANNOTATION), "kaggle": self._tables, "openi": self._xml}
        forms = [form for form, files in there.items() if files]
        return next((form for form in forms if self._folder_of(form)), forms[0] if forms else "r2gen")

    @cached_property
    def _image_folder(self) -> Path | None:
        return self._folder_of(self._form)

    def _folder_of(self, form: str) -> Path | None:
        """The first of the form's image folders that holds such images."""
        layout = _LAYOUTS[form]
        folders = [self.root / folder for folder in layout.folders]
        return next(
            (of for of in folders if of.is_dir() and any(layout.entry.fullmatch(path.name) for path in of.iterdir())),
            None,
        )

    @cached_property
    def _tables(self) -> tuple[Path, Path] | None:
        reports, projections = self._file(REPORTS), self._file(PROJECTIONS)
        return (reports, projections) if reports and projections else None

    @cached_property
    def _xml(self) -> Path | None:
        return self._file(XML_FOLDER) or self._file(XML_ARCHIVE)

    def _file(self, name: str) -> Path | None:
        """A file or folder of texts, in the reports root or the root."""
        places = [self.root / name] if self.reports_root is None else [self.reports_root / name, self.root / name]
        return next((place for place in places if place.exists()), None)


def _why_not(source: Source) -> str:
    """Why a study cannot be one of R2Gen's; empty where it can."""
    if source.broken:
        return BAD_REPORT
    if not source.findings:
        return NO_FINDINGS
    return "" if len(source.images) > 1 else FEW_IMAGES
