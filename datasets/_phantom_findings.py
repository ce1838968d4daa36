"""Draws every form of `_phantom_case.FORMS` where a radiologist would look for it, as it looks. Lengths are mm.

`deform` changes the body before it is drawn: a large heart, a raised diaphragm, a lung that came down, a broken
rib. `draw` changes what the rays cross: fluid or free air in a pleural cavity, dense lung, metal.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.ndimage import gaussian_filter

from ._phantom_case import SIDES, Case, Finding
from ._phantom_geometry import (
    SIGN,
    Array,
    Body,
    Scene,
    Strokes,
    cavity,
    smooth_line,
    smoothstep,
    stream,
)

HEART_RATIO = {1: (0.54, 0.58), 2: (0.60, 0.65), 3: (0.67, 0.73)}
"""Cardiothoracic ratio by grade of cardiomegaly; above .50 the heart is called enlarged."""

INFLATION = {1: 0.86, 2: 0.72, 3: 0.46}
"""Size of the lung relative to its cavity by grade of pneumothorax."""

METAL = 9.0
"""Thickness of water, in cm, that a metal part of a device counts for: nothing in the body is as bright."""


def deform(body: Body, case: Case) -> None:
    """Changes the shape of the body, in place, where a finding does so."""
    for finding in case.findings:
        rng = finding_stream(case, finding)
        for side in affected(finding):
            sign = SIGN[side]
            if finding.form == "lobar collapse":
                up = finding.lobe == "upper"
                body.hilum_lift[side] += 16 if up else -14
                body.lift[side] += 10 if up else 16
                body.shift += sign * 7
            elif finding.form == "pneumothorax":
                body.inflation[side] = INFLATION[finding.grade] + rng.uniform(-0.02, 0.02)
                body.shift -= sign * (0, 0, 2, 9)[finding.grade]
                body.lift[side] -= (0, 0, 3, 9)[finding.grade]
            elif finding.form == "effusion" and finding.side != "bilateral" and finding.grade == 3:
                body.shift -= sign * 6
            elif finding.form == "rib fracture":
                rib = rng.integers(3, 5) if finding.lobe == "upper" else rng.integers(7, 9)
                body.fractures.append((side, int(rib), float(rng.uniform(0.75, 1.15))))
        if finding.form == "cardiomegaly":
            body.heart_ratio = float(rng.uniform(*HEART_RATIO[finding.grade]))
        elif finding.form == "wide mediastinum":
            body.widening = (0, 13, 25)[finding.grade] + rng.uniform(-2, 2)
        elif finding.form == "edema":
            body.upper_flow = (1, 1.7, 1.9, 1.9)[finding.grade]


def draw(scene: Scene, case: Case) -> None:
    """Draws all findings: first what fills the lungs, then what fills the pleura, then what lies over both."""
    order = list(DRAW)
    drawn = [finding for finding in case.findings if finding.form in DRAW]
    for finding in sorted(drawn, key=lambda finding: order.index(finding.form)):
        rng = finding_stream(case, finding)
        for side in affected(finding):
            DRAW[finding.form](scene, finding, side, rng)


def affected(finding: Finding) -> tuple[str, ...]:
    """The sides to draw on; a finding without a side is drawn once, from the midline."""
    return SIDES if finding.side == "bilateral" else (finding.side or "left",)


def finding_stream(case: Case, finding: Finding) -> np.random.Generator:
    """Its own stream for each finding, so that findings do not move one another."""
    return stream(case.study_seed, f"{finding.form} {finding.side} {finding.lobe}")


def fill(scene: Scene, share: Array, density: float) -> None:
    """Raises the density of the lung towards `density` where `share` is 1."""
    share = np.clip(share, 0, 1)
    scene.density += (share * np.maximum(density - scene.density, 0)).astype(np.float32)


def patch(
    scene: Scene, centre: tuple[float, float], radii: tuple[float, float], rng: np.random.Generator, ragged: float
) -> Array:
    """An ellipse with an ill-defined, cloudy edge: 1 inside, 0 outside; `ragged` is the share of cloud."""
    grid = scene.grid
    distance = np.hypot((grid.x - centre[0]) / radii[0], (grid.y - centre[1]) / radii[1])
    cloud = grid.texture(rng, 18) + 0.2 * grid.texture(rng, 8)
    return smoothstep((1.4 - distance + ragged * cloud) / 0.95)


def lobe_centre(body: Body, side: str, lobe: str, rng: np.random.Generator) -> tuple[float, float]:
    """A typical place in the lobe as seen from the front."""
    d, w = body.dome - body.lift[side], body.half_width / 136
    left_room = 6 if side == "left" else 0
    x, y = {
        "upper": (rng.uniform(58, 82), rng.uniform(0.22, 0.33) * d),
        "middle": (rng.uniform(50, 60), rng.uniform(0.70, 0.77) * d),
        "lower": (rng.uniform(76, 98) + left_room, rng.uniform(0.80, 0.90) * d),
    }[lobe]
    return SIGN[side] * x * w, float(y)


def consolidation(scene: Scene, finding: Finding, side: str, rng: np.random.Generator) -> None:
    """Alveoli full of fluid: dense, cloudy, with air bronchograms; the middle lobe ends at the minor fissure."""
    centre = lobe_centre(scene.body, side, finding.lobe, rng)
    size = (0, 29, 40, 53)[finding.grade]
    wide, high = {"upper": (1.0, 0.9), "middle": (1.15, 0.7), "lower": (1.05, 0.8)}[finding.lobe]
    share = patch(scene, centre, (size * wide, size * high), rng, 0.17) * scene.side(side)
    fissure = 0.50 * scene.body.dome + 6
    if finding.lobe == "middle":
        share = share * smoothstep((scene.grid.y - fissure) / 6 + 0.5)
    elif finding.lobe == "upper" and side == "right":
        share = share * smoothstep((fissure - scene.grid.y) / 6 + 0.5)
    bronchi = np.clip(0.09 * scene.grid.texture(rng, 6), -0.1, 0.2)
    fill(scene, share * (0.9 - bronchi), 0.95)


def ground_glass(scene: Scene, finding: Finding, side: str, rng: np.random.Generator) -> None:
    """A haze through which the vessels stay visible."""
    x, y = lobe_centre(scene.body, side, finding.lobe, rng)
    size = (0, 36, 50)[finding.grade]
    share = patch(scene, (0.92 * x, y), (size, size * 0.9), rng, 0.10) * scene.side(side)
    fill(scene, share, (0, 0.46, 0.50)[finding.grade])


def edema(scene: Scene, finding: Finding, side: str, rng: np.random.Generator) -> None:
    """Fluid from the hila outwards: septal lines first, then perihilar haze, then bat wings."""
    grid, body = scene.grid, scene.body
    x, y = body.hilum(side)
    half = scene.side(side)
    near = np.exp(-(((grid.x - x - SIGN[side] * 14) / 42) ** 2) - ((grid.y - y - 14) / 58) ** 2)
    net = np.minimum(np.abs(grid.texture(rng, 5)), 1.6) - 0.6
    grade = finding.grade
    haze = (0, 0.10, 0.26, 0.30)[grade] * near + (0, 0.035, 0.06, 0.09)[grade] * (1 + net)
    scene.density = np.minimum(scene.density + half * np.clip(haze, 0, 1), np.maximum(scene.density, 0.95))
    if grade == 3:
        wing = patch(scene, (x + SIGN[side] * 30, y + 14), (37, 52), rng, 0.14)
        fill(scene, wing * half * (0.85 + 0.1 * grid.texture(rng, 7)), 0.80)
    septal_lines(scene, side, rng)
    if grade > 1:
        scene.vessels = scene.vessels * (1 - half) + gaussian_filter(scene.vessels, 2.2 / grid.pitch) * half


def septal_lines(scene: Scene, side: str, rng: np.random.Generator) -> None:
    """Kerley B lines: short, horizontal, at the pleura of the lung bases."""
    body = scene.body
    layer = Strokes(scene.grid)
    for level in np.arange(0.62, 1.08, 0.035) * body.dome:
        level += rng.uniform(-2, 2)
        edge = float(body.lateral(level)) - rng.uniform(2, 6)
        long = rng.uniform(12, 20)
        layer.line(np.array([(edge, level), (edge - long, level - 1)]) * [SIGN[side], 1], 1.8, 1.0)
    scene.added += 0.9 * layer.array() * smoothstep(scene.lungs / 2)


def plate_atelectasis(scene: Scene, finding: Finding, side: str, rng: np.random.Generator) -> None:
    """One or two thin, nearly horizontal bands above the diaphragm."""
    body = scene.body
    layer = Strokes(scene.grid)
    base = body.dome - body.lift[side]
    for index in range(rng.integers(1, 3)):
        start, long = rng.uniform(44, 60) if side == "right" else rng.uniform(66, 78), rng.uniform(48, 66)
        level = base - rng.uniform(16, 28) - 19 * index
        tilt = rng.uniform(-9, 9)
        points = np.array([(start, level), (start + 0.5 * long, level + 0.4 * tilt), (start + long, level + tilt)])
        taper = 1.5 + np.sin(np.linspace(0.1, 3.0, 32)) * rng.uniform(3.5, 5.5)
        layer.ribbons(smooth_line(points * [SIGN[side], 1])[None], taper, 1.0 - 0.25 * index)
    band = gaussian_filter(layer.array(), 0.8 / scene.grid.pitch)
    scene.added += 3.6 * band * smoothstep(scene.lungs / 3)


def lobar_collapse(scene: Scene, finding: Finding, side: str, rng: np.random.Generator) -> None:
    """A dense wedge on the hilum: under the apex for an upper lobe, behind the heart for a lower one."""
    body, grid = scene.body, scene.grid
    x, y = body.hilum(side)
    layer = Strokes(grid)
    sign, d = SIGN[side], body.dome - body.lift[side]
    if finding.lobe == "upper":
        edge = smooth_line(
            [
                (x - sign * 12, y + 8),
                (x + sign * 12, y - 18),
                (x + sign * 38, y - 40),
                (sign * 0.80 * body.half_width, y - rng.uniform(52, 60)),
            ]
        )
        corners = [(sign * 118.0, -30.0), (0.0, -30.0), (0.0, y + 8)]
    else:
        edge = smooth_line(
            [
                (x + sign * 2, y - 10),
                (x + sign * 14, y + 30),
                (x + sign * 34, y + 70),
                (sign * (78 + rng.uniform(-4, 8)), d + 26),
            ]
        )
        corners = [(0.0, d + 40.0), (0.0, y - 10)]
    layer.polygon(np.concatenate([edge, np.array(corners)]), 1.0)
    wedge = gaussian_filter(layer.array(), 2.5 / grid.pitch) * scene.side(side)
    fill(scene, wedge, 0.9)


def nodule(scene: Scene, finding: Finding, side: str, rng: np.random.Generator) -> None:
    """A round shadow with a slightly lobulated, soft edge, clear of the heart and the hilum."""
    body, grid = scene.body, scene.grid
    radius = finding.size_mm / 2
    level = rng.uniform(0.22, 0.40) if finding.lobe == "upper" else rng.uniform(0.62, 0.80)
    level *= body.dome - body.lift[side]
    far = min(rng.uniform(0.52, 0.76) * body.half_width, float(body.lateral(level)) - 0.8 * radius - 6)
    dx, dy = grid.x - SIGN[side] * far, grid.y - level
    angle = np.arctan2(dy, dx)
    lobules = 1 + 0.06 * np.sin(3 * angle + rng.uniform(0, 6)) + 0.04 * np.sin(5 * angle + rng.uniform(0, 6))
    ball = np.sqrt(np.clip(1 - (dx**2 + dy**2) / (radius * lobules) ** 2, 0, 1))
    through = 0.2 * radius * 1.25 + 0.9
    scene.added += through * gaussian_filter(ball, 0.9 / grid.pitch)


def effusion(scene: Scene, finding: Finding, side: str, rng: np.random.Generator) -> None:
    """Fluid that sinks to the base and climbs along the ribs: a meniscus, higher laterally."""
    body, grid = scene.body, scene.grid
    angle = float(body.diaphragm()(SIGN[side] * body.half_width * 0.97))
    base = body.dome - body.lift[side]
    rise = rng.uniform(-0.1, 0.1)
    inner = (0, angle + 20, base - 8, base * (0.50 + 0.4 * rise))[finding.grade]
    outer = (0, base - 14 + 20 * rise, base - 46 + 40 * rise, base * (0.22 + 0.4 * rise))[finding.grade]
    across = np.clip((np.abs(grid.x) - 15) / (body.half_width - 15), 0, 1)
    level = inner + (outer - inner) * across ** (2.2 if finding.grade > 1 else 3.0)
    fluid = smoothstep((grid.y - level) / 22 + 0.5) * scene.side(side)
    fill(scene, fluid, 0.94)


def pneumothorax(scene: Scene, finding: Finding, side: str, rng: np.random.Generator) -> None:
    """Free air around a smaller lung: black and without vessels, bounded by the thin line of the pleura."""
    body, grid = scene.body, scene.grid
    size = body.inflation[side]
    x, y = pneumothorax_centre(body, side)
    half = scene.side(side)
    inside = smoothstep(cavity(body, x + (grid.x - x) / size, y + (grid.y - y) / size) / 0.3)
    outside = half * (1 - inside)
    scene.density = scene.density * (1 - outside)
    scene.density += half * inside * (0, 0.02, 0.05, 0.24)[finding.grade]
    scene.vessels *= 1 - outside
    levels = np.concatenate([np.linspace(0, 12, 10), np.linspace(14, body.dome + 40, 40)])
    edge = np.stack([SIGN[side] * body.lateral(levels), levels], axis=-1).astype(float)
    inner = np.stack([SIGN[side] * body.medial()(levels[:10]), levels[:10]], axis=-1)[::-1].astype(float)
    line = np.array([x, y]) + size * (np.concatenate([inner, edge]) - [x, y])
    layer = Strokes(grid)
    layer.ribbons(line[None], 2.4, 1.0)
    scene.added += 1.5 * layer.array() * smoothstep(scene.lungs / 1.5) * half


def pneumothorax_centre(body: Body, side: str) -> tuple[float, float]:
    """The point towards which the lung shrinks: its base at first, so that air gathers at the apex, later the hilum."""
    x, y = body.hilum(side)
    return x, y + 0.75 * max(body.inflation[side] - 0.35, 0) * body.dome


def apical_cap(scene: Scene, finding: Finding, side: str, rng: np.random.Generator) -> None:
    """A crescent of thick pleura under the apex with a wavy lower edge."""
    body, grid = scene.body, scene.grid
    thick = (rng.uniform(17, 23) + 1.6 * grid.texture(rng, 22)) * np.clip((66 - grid.y) / 50, 0, 1)
    narrow = 1 + thick / 95
    below = smoothstep(cavity(body, grid.x * narrow, grid.y - thick) / 0.3)
    share = gaussian_filter(scene.side(side) * (1 - below) * smoothstep((66 - grid.y) / 20), 1.2 / grid.pitch)
    fill(scene, share, 1.0)
    scene.added += 1.2 * share * smoothstep(scene.lungs / 1.5)


def add_metal(scene: Scene, layer: Strokes, thickness: float = METAL) -> None:
    """Puts a device over the picture, with the slight blur of its edges."""
    scene.added += thickness * layer.array()


def vein(body: Body, side: str) -> list[tuple[float, float]]:
    """From where the brachiocephalic vein of a side begins, into the superior vena cava."""
    start = [(SIGN[side] * 38, 26.0)]
    crossing = [(12.0, 40.0), (-10.0, 52.0)] if side == "left" else []
    return [*start, *crossing, (-21.0 + body.shift, 70.0), (-23.0 + body.shift, 96.0)]


def pacemaker(scene: Scene, finding: Finding, side: str, rng: np.random.Generator) -> None:
    """A generator under the clavicle and two leads, to the right atrium and to the apex of the right ventricle."""
    body = scene.body
    sign, d = SIGN[side], body.dome
    x, y = sign * (0.70 * body.half_width + rng.uniform(-4, 6)), rng.uniform(52, 66)
    turn = np.linspace(0, 2 * np.pi, 48)
    corner = np.sign(np.cos(turn)) * np.abs(np.cos(turn)) ** 0.6, np.sign(np.sin(turn)) * np.abs(np.sin(turn)) ** 0.6
    can = np.stack([x + 23 * corner[0], y + 21 * corner[1]], axis=-1)
    header = np.array([(x - 15, y - 19), (x + 15, y - 19), (x + 12, y - 29), (x - 12, y - 29)])
    layer = Strokes(scene.grid)
    _, left = body.heart_sides()
    loop = [(x - sign * 6, y - 26), (sign * 60, 20.0), *vein(body, side)]
    apex = [(-25.0, 0.62 * d), (-14.0, 0.80 * d), (0.30 * left, 0.93 * d), (0.56 * left, 0.93 * d)]
    atrium = [(-27.0, 0.60 * d), (-22.0, 0.72 * d), (-36.0, 0.68 * d)]
    for way in (apex, atrium) if rng.random() < 0.7 else (apex,):
        layer.line(np.array(loop + way), 2.4, 0.75)
        layer.line(np.array([way[-2], way[-1]]) * 0.4 + np.array([way[-1], way[-1]]) * 0.6, 3.6, 1.0)
    layer.polygon(header, 0.7)
    layer.polygon(can, 1.0)
    add_metal(scene, layer, 1.3 * METAL)


def central_line(scene: Scene, finding: Finding, side: str, rng: np.random.Generator) -> None:
    """From the jugular vein of the side into the superior vena cava."""
    body = scene.body
    neck = [(SIGN[side] * rng.uniform(50, 58), -75.0), (SIGN[side] * 46, -35.0), (SIGN[side] * 40, 0.0)]
    layer = Strokes(scene.grid)
    layer.line(np.array([*neck, *vein(body, side), (-23.0 + body.shift, rng.uniform(108, 122))]), 3.0, 1.0)
    add_metal(scene, layer, 0.75 * METAL)


def endotracheal_tube(scene: Scene, finding: Finding, side: str, rng: np.random.Generator) -> None:
    """In the trachea, its tip a few centimetres above the carina: two walls and a dense stripe."""
    body = scene.body
    middle = body.shift + 0.4 * body.turn - 1.5
    points = np.array([(middle + 3, -110), (middle + 2, -50), (middle, 0), (middle, rng.uniform(34, 52))])
    layer = Strokes(scene.grid)
    layer.line(points, 11, 0.45)
    layer.line(points, 7, 0.15)
    layer.line(points + [4.0, 0], 2.4, 1.0)
    add_metal(scene, layer, 0.8 * METAL)


def sternotomy_wires(scene: Scene, finding: Finding, side: str, rng: np.random.Generator) -> None:
    """A column of wire loops that hold the sternum together."""
    layer = Strokes(scene.grid)
    turn = np.linspace(0.3, 2 * np.pi + 0.6, 40)
    for level in np.linspace(48, 0.86 * scene.body.dome, 6) + rng.uniform(-3, 3, 6):
        x = scene.body.turn + rng.uniform(-2, 2)
        wide, high, tilt = rng.uniform(7, 9), rng.uniform(3.5, 5), rng.uniform(-0.3, 0.3)
        loop = np.stack([x + wide * np.cos(turn), level + high * np.sin(turn) + tilt * wide * np.cos(turn)], axis=-1)
        layer.ribbons(loop[None], 1.8, 1.0)
        layer.line(np.array([(x + wide, level), (x + wide + 4, level - 3)]), 2.2, 1.0)
    add_metal(scene, layer)


def chest_tube(scene: Scene, finding: Finding, side: str, rng: np.random.Generator) -> None:
    """A thick tube from the flank towards the apex, with a dense stripe along its edges."""
    body = scene.body
    sign, wide = SIGN[side], body.half_width
    entry = rng.uniform(0.72, 0.85) * body.dome
    points = np.array(
        [
            (wide + 45, entry + 30),
            (wide + 2, entry),
            (0.78 * wide, entry - 32),
            (0.60 * wide, 0.42 * body.dome),
            (0.47 * wide, rng.uniform(26, 40)),
        ]
    ) * [sign, 1]
    layer = Strokes(scene.grid)
    layer.line(points, 9.5, 0.85)
    layer.line(points, 5.0, 0.25)
    layer.line(points, 1.6, 0.7)
    add_metal(scene, layer, 0.7 * METAL)


Drawing = Callable[[Scene, Finding, str, np.random.Generator], None]

DRAW: dict[str, Drawing] = {
    "ground-glass opacity": ground_glass,
    "consolidation": consolidation,
    "edema": edema,
    "lobar collapse": lobar_collapse,
    "plate-like atelectasis": plate_atelectasis,
    "nodule": nodule,
    "mass": nodule,
    "pneumothorax": pneumothorax,
    "effusion": effusion,
    "apical pleural thickening": apical_cap,
    "central line": central_line,
    "endotracheal tube": endotracheal_tube,
    "sternotomy wires": sternotomy_wires,
    "chest tube": chest_tube,
    "pacemaker": pacemaker,
}
"""Forms that are drawn into the scene, in this order; the others only deform the body."""
