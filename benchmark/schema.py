"""The records that pass between the stages, and their JSON form.

All are frozen. Files carry `schema` so that a reader can refuse what it does not understand.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

SCHEMA = 1
"""Version of every file format below; raised when a field changes its meaning."""

LATER = {"later": True}
"""Metadata of a field that came after records were hashed: as long as it is not used, their hashes stay."""

SECTIONS = ("findings", "impression", "report")
"""What can be scored: a section alone, or both joined (`report`)."""

PRECISIONS = ("fp32", "bf16", "int8")
"""In what a network can be made to compute; each model says which it offers."""

LABELS = (
    "Atelectasis",
    "Cardiomegaly",
    "Consolidation",
    "Edema",
    "Enlarged Cardiomediastinum",
    "Fracture",
    "Lung Lesion",
    "Lung Opacity",
    "No Finding",
    "Pleural Effusion",
    "Pleural Other",
    "Pneumonia",
    "Pneumothorax",
    "Support Devices",
)
"""The 14 CheXpert classes, in the order of MIMIC-CXR-JPG's label tables."""

LABEL_VALUES = {1.0: "positive", 0.0: "negative", -1.0: "uncertain"}
"""What a label's value means; a class that is not mentioned has none."""


@dataclass(frozen=True)
class View:
    """One image of a study."""

    path: Path
    """Absolute path of the image file."""
    position: str = ""
    """DICOM ViewPosition (`PA`, `AP`, `LATERAL`, …); empty where it is not known."""
    image_id: str = ""
    """The data set's own id of the image (MIMIC-CXR: dicom_id)."""


@dataclass(frozen=True)
class Study:
    """What a model is given: images and context, never the reference report."""

    study_id: str
    patient_id: str
    split: str
    views: tuple[View, ...] = ()
    """Frontal views first, in the data set's stated order."""
    context: Mapping[str, str] = field(default_factory=dict)
    """Text known before reading: `indication`, `comparison`, …"""
    attributes: Mapping[str, str] = field(default_factory=dict)
    """What results can be sliced by: `view`, `sex`, `age`, …"""


@dataclass(frozen=True)
class Reference:
    """The radiologist's report of a study. Only scoring and training open it."""

    study_id: str
    patient_id: str
    findings: str = ""
    impression: str = ""
    label_sets: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """By who labelled (`chexpert`, `negbio`, `radiologist`, …): CheXpert classes, 1 positive, 0 negative, -1 uncertain;
    unmentioned classes are absent. They come from the report, so they stand here and not among a study's attributes."""

    @property
    def labels(self) -> Mapping[str, float]:
        """The CheXpert labeller's labels; empty where the data set has none."""
        return self.label_sets.get("chexpert", {})

    def section(self, name: str) -> str:
        """The text that `name` (one of SECTIONS) is scored against; empty where the report lacks it."""
        return section_text(name, self.findings, self.impression)


def scored_section(references: Sequence[Reference]) -> str:
    """`report` where reports have both sections, else the one that they have (R2Gen's are findings alone)."""
    present = [name for name in ("report", "findings") if any(reference.section(name) for reference in references)]
    return present[0] if present else "impression"


def section_text(name: str, findings: str, impression: str) -> str:
    """Findings, impression, or both joined by a space without headings; `report` is empty unless both are there.

    Requiring both is CXRMate's rule: a reference without an impression would punish a model for writing one.
    """
    if name == "findings":
        return findings
    if name == "impression":
        return impression
    if name == "report":
        return f"{findings} {impression}" if findings and impression else ""
    raise ValueError(f"section must be one of {SECTIONS}, not {name!r}")


@dataclass(frozen=True)
class Report:
    """What a model wrote about one study, before it is stored."""

    text: str
    n_tokens: int = 0
    """Tokens generated, the end token not counted; 0 for models without tokens."""
    truncated: bool = False
    """True where the model was cut off at the token limit instead of ending by itself."""
    error: str = ""
    """Why there is no report (an image that cannot be read); the study then counts as an empty report."""
    unread: tuple[str, ...] = ()
    """Further views that could not be read, a sentence each: the report was written from the others."""


@dataclass(frozen=True)
class Prediction:
    """One line of `predictions.jsonl`."""

    study_id: str
    text: str
    """The report as the model wrote it."""
    findings: str
    impression: str
    error: str = ""
    """Why there is no report; empty where there is one."""
    seconds: float = 0.0
    """Share of its batch's time."""
    n_tokens: int = 0
    truncated: bool = False
    unread: tuple[str, ...] = ()
    """As in Report."""

    def section(self, name: str) -> str:
        """The text scored as `name`. Unlike a reference's, a report with one section only is still a report."""
        if name == "report":
            return " ".join(part for part in (self.findings, self.impression) if part)
        return section_text(name, self.findings, self.impression)


@dataclass(frozen=True)
class GenerationSettings:
    """How text is decoded. Part of a run's identity."""

    max_new_tokens: int = 200
    num_beams: int = 1
    do_sample: bool = False
    temperature: float = 1.0
    top_k: int = 0
    """0: no limit."""
    top_p: float = 1.0
    repetition_penalty: float = 1.0
    batch_size: int = 16
    """Fixed batches of the sorted studies, so that a resumed run computes what an undisturbed one does."""
    prompt: str = field(default="", metadata=LATER)
    """What every report begins with; the model goes on from there."""
    precision: str = field(default="fp32", metadata=LATER)
    """In what the network computes, one of its model's PRECISIONS: `fp32`, `bf16`, `int8` (weights and what they meet
    rounded to 8 bits)."""


def to_dict(record: Any) -> dict[str, Any]:
    """A record as plain JSON types. A field that is LATER stands there only where it is used."""
    return {
        each.name: _plain(getattr(record, each.name))
        for each in dataclasses.fields(record)
        if each.metadata != LATER or getattr(record, each.name) != each.default
    }


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return to_dict(value)
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    return value


def prediction_from_dict(data: Mapping[str, Any]) -> Prediction:
    """Inverse of `to_dict`; fields added by later versions are ignored, a missing one raises KeyError."""
    known = {f.name for f in dataclasses.fields(Prediction)}
    for name in ("study_id", "text", "findings", "impression"):
        if name not in data:
            raise KeyError(name)
    given = {k: v for k, v in data.items() if k in known}
    return Prediction(**{**given, "unread": tuple(given.get("unread", ()))})
