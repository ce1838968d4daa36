"""The phantom's pictures: repeatable, faithful to the case, the same at every resolution."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from benchmark.datasets._phantom_anatomy import healthy, render
from benchmark.datasets._phantom_case import FORMS, Case, Finding, Form
from benchmark.datasets._phantom_findings import HEART_RATIO, deform
from benchmark.datasets._phantom_geometry import Grid, measure

PATIENT = Case(sex="M", age=52, view="PA", anatomy_seed=11, study_seed=23, findings=())
ZONES = {"upper": (0.0, 0.55), "middle": (0.45, 0.85), "lower": (0.5, 1.3)}
"""Where each lobe lies, as shares of the height from the apex to the diaphragm."""


def with_finding(form: Form, side: str, lobe: str, grade: int, case: Case = PATIENT) -> Case:
    return replace(case, findings=(Finding(form.label, form.name, side, lobe, grade, form.sizes_mm[1]),))


@cache
def picture(case: Case, long_side: int = 96) -> np.ndarray:
    return render(case, long_side).astype(np.float32)


def form_named(name: str) -> Form:
    return next(form for form in FORMS if form.name == name)


def one_sided() -> list[tuple[Form, str, str]]:
    return [
        (form, side, lobe)
        for form in FORMS
        for side in form.sides
        for lobe in form.lobes
        if side in ("left", "right") and (side, lobe) != ("left", "middle")
    ]


def grid_of(case: Case, long_side: int = 96) -> Grid:
    return Grid(case, measure(case), long_side)


def test_same_case_same_bytes() -> None:
    case = with_finding(form_named("edema"), "bilateral", "", 2)
    assert render(case, 128).tobytes() == render(case, 128).tobytes()


@pytest.mark.parametrize("change", [{"study_seed": 24}, {"anatomy_seed": 12}, {"view": "AP"}])
def test_another_study_is_another_picture(change: dict[str, object]) -> None:
    first, second = render(PATIENT, 96), render(replace(PATIENT, **change), 96)  # type: ignore[arg-type]
    assert first.shape != second.shape or not np.array_equal(first, second)


def test_size_and_type() -> None:
    for seed in range(12):
        image = render(replace(PATIENT, study_seed=seed), 128)
        assert image.dtype == np.uint8
        assert max(image.shape) == 128
        assert 0.75 < image.shape[1] / image.shape[0] < 1.3
        assert image.min() < 20 and image.max() > 235


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.name)
def test_every_form_changes_the_picture(form: Form) -> None:
    for grade in form.grades:
        for side, lobe in {(side, lobe) for side in form.sides for lobe in form.lobes} - {("left", "middle")}:
            change = np.abs(picture(with_finding(form, side, lobe, grade)) - picture(PATIENT))
            assert change.max() > 10, (side, lobe, grade)


@pytest.mark.parametrize(("form", "side", "lobe"), one_sided(), ids=lambda x: getattr(x, "name", x))
def test_the_change_is_on_the_patient_s_side(form: Form, side: str, lobe: str) -> None:
    """The patient's left is on the right of the image; a lobe's change lies at the lobe's height."""
    case = with_finding(form, side, lobe, form.grades[-1])
    grid, body = grid_of(case), measure(case)
    change = np.maximum(np.abs(picture(case) - picture(PATIENT)) - 4, 0)
    left = grid.x > 0
    ours, other = (left, ~left) if side == "left" else (~left, left)
    assert change[ours].mean() > 1.3 * change[other].mean()
    if lobe:
        top, bottom = (share * body.dome for share in ZONES[lobe])
        at_height = (grid.y > top) & (grid.y < bottom)
        inside = ours & (np.abs(grid.x) < body.half_width) & (grid.y > 0) & (grid.y < 1.3 * body.dome)
        assert change[inside & at_height].mean() > 1.3 * change[inside & ~at_height].mean()


def measured_ratio(case: Case) -> float:
    """Width of the heart over the inner width of the thorax, measured on what is drawn."""
    body = measure(case)
    deform(body, case)
    grid = Grid(case, body, 192)
    right, left = (border(np.arange(0.5 * body.dome, body.dome)) for border in body.silhouette())
    scene = healthy(case, body, grid)
    chest = grid.x[(scene.lungs > 0.5) & (grid.y > 0.5 * body.dome)]
    return float((left.max() - right.min()) / (chest.max() - chest.min()))


@pytest.mark.parametrize(("view", "limit"), [("PA", 0.47), ("AP", 0.50)])
def test_a_normal_heart_is_not_large(view: str, limit: float) -> None:
    for seed in range(8):
        case = Case("FM"[seed % 2], 25 + 9 * seed, view, seed, seed, ())
        assert 0.36 < measured_ratio(case) < limit


@pytest.mark.parametrize("grade", [1, 2, 3])
def test_a_large_heart_has_the_ratio_of_its_grade(grade: int) -> None:
    low, high = HEART_RATIO[grade]
    for seed in range(4):
        case = replace(PATIENT, anatomy_seed=seed, study_seed=seed, view=("PA", "AP")[seed % 2])
        assert low - 0.02 < measured_ratio(with_finding(form_named("cardiomegaly"), "", "", grade, case)) < high + 0.02


@pytest.mark.parametrize("form", [form for form in FORMS if len(form.grades) > 1], ids=lambda form: form.name)
def test_a_higher_grade_changes_more(form: Form) -> None:
    side = form.sides[0]
    lobe = form.lobes[-1]
    normal = picture(PATIENT)
    changes = [np.abs(picture(with_finding(form, side, lobe, grade)) - normal).mean() for grade in form.grades]
    assert changes == sorted(changes)
    assert changes[-1] > 1.2 * changes[0]


def test_findings_do_not_move_the_body() -> None:
    """Far from a small finding the picture stays what it was, up to the tone curve."""
    case = with_finding(form_named("nodule"), "left", "upper", 0)
    far = grid_of(case).x < -20
    assert np.abs(picture(case) - picture(PATIENT))[far].mean() < 1.5


def test_all_forms_together() -> None:
    findings = tuple(
        Finding(form.label, form.name, form.sides[-1], form.lobes[0], form.grades[-1], form.sizes_mm[1])
        for form in FORMS
    )
    assert render(replace(PATIENT, findings=findings), 96).std() > 20


@pytest.mark.parametrize("name", ["", "mass", "effusion", "pacemaker"])
def test_the_same_picture_at_another_resolution(name: str) -> None:
    case = PATIENT
    if name:
        form = form_named(name)
        case = with_finding(form, "left", form.lobes[0], form.grades[-1])
    small, large = picture(case, 160), picture(case, 320)
    rows, columns = (min(n, m // 2) for n, m in zip(small.shape, large.shape, strict=True))
    reduced = large[: 2 * rows, : 2 * columns].reshape(rows, 2, columns, 2).mean(axis=(1, 3))
    small = small[:rows, :columns]
    assert np.abs(reduced - small).mean() < 5
    assert np.corrcoef(reduced.ravel(), small.ravel())[0, 1] > 0.99
