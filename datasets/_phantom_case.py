"""What is wrong with a phantom patient: the findings that are drawn, worded and labelled.

A `Case` is decided first, from the seed alone; the renderer draws it and both readers describe it, so that
image, report and label agree by construction. Sides are the patient's: the patient's left lies on the right
of the image.
"""

from __future__ import annotations

from dataclasses import dataclass

GRADES = ("mild", "moderate", "severe")
"""Severity 1, 2 and 3. Effusions and pneumothoraces are called small, moderate and large by convention."""


@dataclass(frozen=True)
class Form:
    """One way in which a CheXpert class shows itself, and where a radiologist would look for it."""

    label: str
    """CheXpert class, spelled as in MIMIC-CXR-JPG's label tables."""
    name: str
    prevalence: float
    """Share of studies that have this form, before `prevalence` scales it."""
    sides: tuple[str, ...] = ("",)
    lobes: tuple[str, ...] = ("",)
    """`middle` exists in the right lung only; a left `middle` is never drawn."""
    grades: tuple[int, ...] = (0,)
    sizes_mm: tuple[int, int] = (0, 0)
    """Smallest and largest diameter, for what is measured in a report; (0, 0) where nothing is."""


SIDES = ("left", "right")
LOBES = ("upper", "middle", "lower")

FORMS = (
    Form("Cardiomegaly", "cardiomegaly", 0.20, grades=(1, 2, 3)),
    Form("Enlarged Cardiomediastinum", "wide mediastinum", 0.06, grades=(1, 2)),
    Form("Edema", "edema", 0.11, sides=("bilateral",), grades=(1, 2, 3)),
    Form("Consolidation", "consolidation", 0.11, SIDES, LOBES, grades=(1, 2, 3)),
    Form("Lung Opacity", "ground-glass opacity", 0.08, SIDES, ("upper", "lower"), grades=(1, 2)),
    Form("Atelectasis", "plate-like atelectasis", 0.09, SIDES, ("lower",)),
    Form("Atelectasis", "lobar collapse", 0.04, SIDES, ("upper", "lower")),
    Form("Lung Lesion", "nodule", 0.06, SIDES, ("upper", "lower"), sizes_mm=(12, 29)),
    Form("Lung Lesion", "mass", 0.04, SIDES, ("upper", "lower"), sizes_mm=(32, 60)),
    Form("Pleural Effusion", "effusion", 0.18, (*SIDES, "bilateral"), grades=(1, 2, 3)),
    Form("Pneumothorax", "pneumothorax", 0.07, SIDES, grades=(1, 2, 3)),
    Form("Pleural Other", "apical pleural thickening", 0.05, (*SIDES, "bilateral")),
    Form("Fracture", "rib fracture", 0.06, SIDES, ("upper", "lower")),
    Form("Support Devices", "pacemaker", 0.07, SIDES),
    Form("Support Devices", "central line", 0.07, SIDES),
    Form("Support Devices", "endotracheal tube", 0.05),
    Form("Support Devices", "sternotomy wires", 0.07),
    Form("Support Devices", "chest tube", 0.03, SIDES),
)

NORMAL_SHARE = 0.25
"""Share of studies without any finding; in the others every form is drawn independently."""


@dataclass(frozen=True)
class Finding:
    """One thing that is drawn. Empty strings and zeros where a property does not apply."""

    label: str
    form: str
    side: str = ""
    lobe: str = ""
    grade: int = 0
    size_mm: int = 0


@dataclass(frozen=True)
class Case:
    """One study of a phantom patient."""

    sex: str
    """`F` or `M`."""
    age: int
    """Years."""
    view: str
    """`PA`, or `AP` for a portable film: larger heart shadow, shallower breath, more devices."""
    anatomy_seed: int
    """The same for all studies of a patient: body, ribs and heart stay those of that person."""
    study_seed: int
    """Pose, exposure, noise and the exact place of each finding."""
    findings: tuple[Finding, ...]

    @property
    def labels(self) -> frozenset[str]:
        """CheXpert classes that are drawn."""
        return frozenset(finding.label for finding in self.findings)
