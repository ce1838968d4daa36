"""Who the phantom patients are and what is wrong with them: every draw that is made before drawing and wording.

Each study has random streams of its own, told apart by (seed, split, purpose, index), so that study k of a split is
the same however many studies are asked for, and whatever the sizes of the other splits.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ._phantom_case import FORMS, NORMAL_SHARE, Case, Finding, Form

SPLITS = ("train", "validate", "test")
"""Spelled as in MIMIC-CXR's split table."""
PURPOSES = ("patient", "case", "report", "second reader", "record")
"""What a random stream is for; appending a purpose leaves the older streams as they are."""

MAX_FINDINGS = 4
PORTABLE_SHARE = 0.4
"""Share of studies taken as AP."""
STUDIES_PER_PATIENT = (0.75, 0.15, 0.10)
"""Shares of patients with one, two and three studies."""

_AT_LEAST_ONE = 0.87
"""Drawing an abnormal study again until it has a finding raises all prevalences; this takes it back."""
_AP_FACTOR = {"endotracheal tube": 2.5, "chest tube": 2.0, "central line": 1.75, "edema": 1.3}
_PA_FACTOR = {"endotracheal tube": 0.0, "chest tube": 0.3, "central line": 0.5, "edema": 0.8}
_LUNG_FORMS = ("consolidation", "ground-glass opacity", "plate-like atelectasis", "lobar collapse", "nodule", "mass")
_LESIONS = ("nodule", "mass")
_STAYS = {
    "pacemaker": 1.0, "sternotomy wires": 1.0, "apical pleural thickening": 1.0, "cardiomegaly": 0.95,
    "wide mediastinum": 0.9, "nodule": 0.95, "mass": 0.95, "rib fracture": 0.85,
}  # fmt: skip
_STAYS_OTHERWISE = 0.6
_NEW_FINDING = 0.35
_FORMS = {form.name: form for form in FORMS}

Place = tuple[str, str]
"""Side and lobe."""


@dataclass(frozen=True)
class Patient:
    """A person and the studies of that person, oldest first."""

    index: int
    """Number within the split, from 0."""
    first: int
    """Index within the split of the first study; the others follow it."""
    studies: tuple[Case, ...]


def stream(seed: int, split: str, purpose: str, index: int) -> np.random.Generator:
    """The random numbers of one study (or patient) for one purpose."""
    return np.random.default_rng([seed, SPLITS.index(split), PURPOSES.index(purpose), index])


def sample_patients(seed: int, n_studies: int, prevalence: float = 1.0, split: str = "train") -> list[Patient]:
    """Patients of one split until there are `n_studies` studies; the last patient may be cut short.

    `prevalence` multiplies the share of abnormal studies, and with it that of every form, among first studies
    (capped where none is normal any more); later studies follow from these.
    """
    patients: list[Patient] = []
    done = 0
    while done < n_studies:
        patient = _patient(seed, split, len(patients), done, n_studies - done, prevalence)
        patients.append(patient)
        done += len(patient.studies)
    return patients


def _patient(seed: int, split: str, index: int, first: int, at_most: int, prevalence: float) -> Patient:
    rng = stream(seed, split, "patient", index)
    sex = "F" if rng.random() < 0.48 else "M"
    age = int(np.clip(rng.normal(62, 16), 18, 95))
    anatomy_seed = int(rng.integers(2**31))
    count = min(1 + int(rng.choice(len(STUDIES_PER_PATIENT), p=STUDIES_PER_PATIENT)), at_most)
    studies: list[Case] = []
    for k in range(first, first + count):
        study_rng = stream(seed, split, "case", k)
        before = studies[-1] if studies else None
        studies.append(sample_case(study_rng, sex, age, anatomy_seed, prevalence, before))
    return Patient(index, first, tuple(studies))


def sample_case(
    rng: np.random.Generator,
    sex: str = "F",
    age: int = 60,
    anatomy_seed: int = 0,
    prevalence: float = 1.0,
    before: Case | None = None,
) -> Case:
    """One study. With `before`, the patient's last study, findings persist, change or clear, and few are new."""
    study_seed = int(rng.integers(2**31))
    view = _view(rng, before)
    fresh: tuple[Finding, ...] = ()
    if rng.random() < prevalence * (1 - NORMAL_SHARE):
        fresh = _abnormal(rng, view)
    if before is not None:
        age = before.age + int(rng.random() < 0.3)
        if before.findings:
            fresh = _follow_up(rng, before.findings, fresh, view)
    return Case(sex, age, view, anatomy_seed, study_seed, fresh)


def _view(rng: np.random.Generator, before: Case | None) -> str:
    """Inpatients tend to be filmed in bed again."""
    again = rng.random() < 0.6
    view = "AP" if rng.random() < PORTABLE_SHARE else "PA"
    return before.view if before is not None and again else view


def _abnormal(rng: np.random.Generator, view: str) -> tuple[Finding, ...]:
    """At least one finding and at most MAX_FINDINGS."""
    while True:
        found: list[Finding] = []
        for form in FORMS:
            if rng.random() < _probability(form, view, found):
                _add(rng, form, found)
        if len(found) > MAX_FINDINGS:
            keep = sorted(rng.permutation(len(found))[:MAX_FINDINGS])
            found = [found[i] for i in keep]
        if found:
            return tuple(found)


def _probability(form: Form, view: str, found: list[Finding]) -> float:
    """Chance of a form in an abnormal study, given the view and what was drawn before it."""
    factor = (_AP_FACTOR if view == "AP" else _PA_FACTOR).get(form.name, 1.0)
    if form.name == "chest tube":
        factor *= 3.5 if _drained(found) else 0.3
    return min(0.95, form.prevalence / (1 - NORMAL_SHARE) * _AT_LEAST_ONE * factor)


def _drained(found: list[Finding]) -> list[Finding]:
    """Findings that a chest tube is there for."""
    return [finding for finding in found if finding.form in ("pneumothorax", "effusion")]


def _add(rng: np.random.Generator, form: Form, found: list[Finding]) -> None:
    """Draw where and how large a form is; it is left out where no place is free."""
    places = _free_places(form, found)
    if not places:
        return
    side, lobe = _preferred(rng, form, places, found)
    grade = int(rng.choice(form.grades))
    if form.name == "effusion" and any(_hidden_by_effusion(finding, side) for finding in found):
        grade = min(grade, 2)
    small, large = form.sizes_mm
    size = int(rng.integers(small, large + 1)) if large else 0
    found.append(Finding(form.label, form.name, side, lobe, grade, size))


def _free_places(form: Form, found: list[Finding]) -> list[Place]:
    places = [(s, b) for s in form.sides for b in form.lobes if (s, b) != ("left", "middle")]
    return [place for place in places if all(_together(form, place, finding) for finding in found)]


def _together(form: Form, place: Place, other: Finding) -> bool:
    """Whether both can be seen: one finding in a lobe, one nodule or mass in a lung, and nothing behind a large one."""
    side, lobe = place
    if form.name == other.form:
        return False
    forms = {form.name, other.form}
    same_side = other.side in (side, "bilateral") or side == "bilateral"
    if form.name in _LUNG_FORMS and other.form in _LUNG_FORMS:
        both_lesions = form.name in _LESIONS and other.form in _LESIONS
        return side != other.side or (lobe != other.lobe and not both_lesions)
    if forms == {"lobar collapse", "pneumothorax"} or forms == {"apical pleural thickening", "pneumothorax"}:
        return not same_side
    if form.name in _LUNG_FORMS and other.form == "effusion":
        return not (same_side and other.grade == 3 and lobe == "lower")
    return True


def _hidden_by_effusion(finding: Finding, side: str) -> bool:
    """A large effusion would cover what lies in a lower lobe."""
    return finding.form in _LUNG_FORMS and finding.lobe == "lower" and side in (finding.side, "bilateral")


def _preferred(rng: np.random.Generator, form: Form, places: list[Place], found: list[Finding]) -> Place:
    """A chest tube lies where there is something to drain; central lines come from the right more often."""
    wanted = ""
    if form.name == "chest tube":
        # The pneumothorax decides where both are present: FORMS lists it after the effusion.
        wanted = next((finding.side for finding in reversed(_drained(found))), "")
    if form.name == "central line" and rng.random() < 0.5:
        wanted = "right"
    if form.name == "pacemaker" and rng.random() < 0.75:
        wanted = "left"
    liked = [place for place in places if place[0] == wanted]
    choice = liked if liked and rng.random() < 0.9 else places
    return choice[int(rng.integers(len(choice)))]


def _follow_up(
    rng: np.random.Generator, before: tuple[Finding, ...], fresh: tuple[Finding, ...], view: str
) -> tuple[Finding, ...]:
    """What is left of the findings of the last study, and a few of the newly drawn ones that go with them."""
    found = [_changed(rng, finding) for finding in before if rng.random() < _stays(finding, view)]
    for finding in fresh:
        new = rng.random() < _NEW_FINDING
        free = (finding.side, finding.lobe) in _free_places(_FORMS[finding.form], found)
        if new and free and len(found) < MAX_FINDINGS and not _covers(finding, found):
            found.append(finding)
    order = [form.name for form in FORMS]
    return tuple(sorted(found, key=lambda finding: order.index(finding.form)))


def _covers(finding: Finding, found: list[Finding]) -> bool:
    large = finding.form == "effusion" and finding.grade == 3
    return large and any(_hidden_by_effusion(other, finding.side) for other in found)


def _stays(finding: Finding, view: str) -> float:
    if finding.form == "endotracheal tube" and view == "PA":
        return 0.0
    return _STAYS.get(finding.form, _STAYS_OTHERWISE)


def _changed(rng: np.random.Generator, finding: Finding) -> Finding:
    """The same finding at a later date: one grade better or worse at most, lesions a little larger."""
    form = _FORMS[finding.form]
    step = int(rng.choice([-1, 0, 0, 1]))
    growth = int(rng.choice([0, 0, 1, 2, 4]))
    if finding.size_mm:
        return replace(finding, size_mm=min(finding.size_mm + growth, form.sizes_mm[1]))
    # Growing to the largest grade could hide or crush what else was drawn, so only small ones get worse.
    grade = finding.grade + step
    return replace(finding, grade=grade) if grade in form.grades and grade < 3 else finding
