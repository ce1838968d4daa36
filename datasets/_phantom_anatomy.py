"""Draws the phantom: what the rays of a chest film cross, from the healthy body to every finding.

The body is a map of thicknesses in cm of water. Lungs take away, since most of them is air; bones, vessels and
devices add. Findings first deform the body (a large heart, a lung that came down), then are drawn in it.
"""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter

from . import _phantom_film as film
from ._phantom_case import SIDES, Case
from ._phantom_findings import deform, draw
from ._phantom_geometry import (
    LUNG,
    SIGN,
    Array,
    Body,
    Curve,
    Grid,
    Points,
    Scene,
    Strokes,
    cavity,
    measure,
    smooth_line,
    smoothstep,
    stream,
)

FRACTURE_STEP = 7.0
"""How far the outer part of a broken rib has slipped down."""


def render(case: Case, long_side: int = 160) -> np.ndarray:
    """The radiograph as uint8 (height, width), bright where dense; its longer side has `long_side` pixels."""
    body = measure(case)
    deform(body, case)
    grid = Grid(case, body, long_side)
    scene = healthy(case, body, grid)
    draw(scene, case)
    grey = film.tone(film.expose(scene.thickness(), grid, case), case)
    return film.finish(grey, grid, case)


def healthy(case: Case, body: Body, grid: Grid) -> Scene:
    """The patient before any finding is drawn."""
    trunk = soft_tissue(case, body, grid)
    heart = mediastinum(body, grid)
    air = 0.78 * body.depth * cavity(body, grid.x, grid.y)
    lungs = np.clip(np.minimum(air, 0.78 * trunk) - heart, 0, None)
    density = LUNG + 0.012 * grid.texture(stream(case.anatomy_seed, "lung"), 7)
    # Vessels in front of or behind the heart show less, since less air surrounds them.
    vessels = 2.6 * pulmonary_vessels(case, body, grid) * smoothstep(air / 2) * (0.35 + 0.65 * smoothstep(lungs / 4))
    above = smoothstep((body.dome + 35 - grid.y) / 45)
    added = 0.05 * heart * above + bones(case, body, grid) - airways(body, grid) - bowel_gas(case, body, grid)
    return Scene(body, grid, trunk, lungs, density.astype(np.float32), vessels, added)


def soft_tissue(case: Case, body: Body, grid: Grid) -> Array:
    """Neck, shoulders, trunk and breasts, in cm."""
    wide = body.half_width + body.wall
    outline = Curve(
        (-120, 62),
        (-60, 60),
        (-42, 68),
        (-24, 105),
        (-8, 150),
        (15, 182),
        (45, 198),
        (90, 192),
        (125, wide + 12),
        (165, wide + 2),
        (350, wide + 6),
    )(grid.y)
    depth = Curve((-110, 0.60), (-50, 0.62), (-10, 0.72), (30, 0.86), (90, 1.0), (190, 1.0), (260, 1.04), (350, 1.0))
    across = np.clip(1 - np.abs(grid.x / outline) ** 3.0, 0, 1)
    trunk = body.depth * depth(grid.y) * np.sqrt(across)
    if body.breast:
        rng = stream(case.anatomy_seed, "breast")
        low, radius = rng.uniform(150, 185), rng.uniform(52, 66)
        for sign in SIGN.values():
            dx, dy = (grid.x - sign * 0.62 * body.half_width) / (1.1 * radius), (grid.y - low) / radius
            mound = np.sqrt(np.clip(1 - dx**2 - np.where(dy < 0, 0.6 * dy, dy) ** 2, 0, 1)) * smoothstep((dy + 1.6) / 2)
            trunk += body.breast * mound * smoothstep(trunk / 4)
    return trunk


def mediastinum(body: Body, grid: Grid) -> Array:
    """Front-to-back thickness of heart and great vessels, in cm."""
    right, left = (border(grid.y) for border in body.silhouette())
    half = 0.5 * (left - right)
    across = np.clip(1 - ((grid.x - 0.5 * (left + right)) / half) ** 2, 0, 1) ** 0.42
    d = body.dome
    depth = Curve((-60, 5), (0, 9), (60, 11), (0.45 * d, 11), (0.62 * d, 13.5), (d, 15), (d + 50, 11))
    great_vessels = 0.12 * body.widening * smoothstep((110 - grid.y) / 40)
    return (depth(grid.y) * (0.6 + 0.4 * body.depth / 22) + great_vessels) * across


def pulmonary_vessels(case: Case, body: Body, grid: Grid) -> Array:
    """Arteries and veins that branch from the hila and taper outwards; 1 is the thickest."""
    layer = Strokes(grid)
    for side in SIDES:
        rng = stream(case.anatomy_seed, f"vessels {side}")
        lines, widths = vessel_tree(rng, SIGN[side], body)
        upper = 1 + (body.upper_flow - 1) * np.clip((10 - lines[..., 1]) / 40, 0, 1)
        widths = widths * upper
        hilum = np.array(body.hilum(side))
        lines = hilum + lines * body.inflation[side]
        order = np.argsort(widths[:, 0])
        layer.ribbons(lines[order], widths[order], np.clip(widths[order].mean(axis=1) / 8, 0.08, 1))
        trunk = hilum + body.inflation[side] * np.array(
            [(-6 * SIGN[side], -14), (4 * SIGN[side], -4), (5 * SIGN[side], 14), (11 * SIGN[side], 34)]
        )
        layer.ribbons(smooth_line(trunk)[None], np.linspace(17, 7, 32), 0.7)
    return gaussian_filter(layer.array(), 0.8 / grid.pitch)


def vessel_tree(rng: np.random.Generator, sign: float, body: Body) -> tuple[Points, Points]:
    """Three generations of vessels from a hilum at the origin: lines (n, k, 2) and widths (n, k), in mm."""
    angle = np.deg2rad(np.array([-76, -55, -36, -16, 4, 22, 38, 54, 68, 80]) + rng.normal(0, 5, 10))
    reach = np.where(angle < 0, 82, 95) * (0.75 + 0.25 * np.abs(np.sin(angle))) * rng.uniform(0.8, 1.05, 10)
    width = np.where(angle < 0, 4.8, 6.0) * rng.uniform(0.75, 1.15, 10)
    start = np.zeros((10, 2))
    lines, widths = [], []
    for generation in range(3):
        run = grow(rng, start, angle, reach)
        taper = width[:, None] * np.linspace(1, 0.38, run.shape[1])
        lines.append(run)
        widths.append(taper)
        parent = np.repeat(np.arange(len(run)), 3 if generation == 0 else 2)
        at = rng.integers(2, 7, len(parent))
        start = run[parent, at]
        angle = angle[parent] + rng.choice([-1, 1], len(parent)) * rng.uniform(0.35, 0.75, len(parent))
        reach = reach[parent] * rng.uniform(0.35, 0.6, len(parent))
        width = 0.72 * taper[parent, at]
    points = np.concatenate(lines)
    points[..., 0] *= sign * body.half_width / 136
    points[..., 1] *= body.dome / 213
    return points, np.concatenate(widths)


def grow(rng: np.random.Generator, start: Points, angle: Points, reach: Points, steps: int = 9) -> Points:
    """Slightly winding lines (n, steps, 2) from their starts, in the given directions (0 lateral, pi / 2 down)."""
    bend = rng.normal(0, 0.2, (len(start), steps - 1)).cumsum(axis=1) + angle[:, None]
    move = np.stack([np.cos(bend), np.sin(bend)], axis=-1) * (reach / (steps - 1))[:, None, None]
    return start[:, None] + np.concatenate([np.zeros((len(start), 1, 2)), move.cumsum(axis=1)], axis=1)


def bones(case: Case, body: Body, grid: Grid) -> Array:
    """Spine, ribs, clavicles, shoulder blades and humeral heads, in cm of water above soft tissue."""
    rng = stream(case.anatomy_seed, "bones")
    strong = rng.uniform(0.85, 1.15) * (1.1 - 0.25 * max(case.age - 55, 0) / 40)
    back, front, girdle = Strokes(grid), Strokes(grid), Strokes(grid)
    draw_ribs(body, back, front)
    draw_girdle(body, girdle)
    for side, number, theta in body.fractures:
        callus(body, side, number, theta, girdle)
    fade = 1 - 0.6 * smoothstep((grid.y - body.dome - 10) / 40)
    total = fade * (1.5 * back.array() + 0.8 * front.array()) + 2.6 * girdle.array()
    return (strong * (gaussian_filter(total, 0.7 / grid.pitch) + spine(body, grid))).astype(np.float32)


def draw_ribs(body: Body, back: Strokes, front: Strokes) -> None:
    """Ribs 1 to 10 on both sides: a bright cortex around a paler core; the front ends are wider and fainter."""
    flank = np.pi / 2
    for side in SIDES:
        for layer, rear in ((back, True), (front, False)):
            parts = [part for number in range(1, 11) for part in rib_parts(body, side, number, rear)]
            number, low, high, offset = np.array(parts).T[:, :, None]
            theta = low + (high - low) * np.linspace(0, 1, 24)
            points = body.rib(side, number, theta)
            points[..., 1] += offset
            width = np.interp(theta, [0, flank, 2.6], [8.5, 9.5, 12.5])
            layer.ribbons(points, width, 1.0)
            layer.ribbons(points, width - 3.2, 0.6)


def rib_parts(body: Body, side: str, number: int, rear: bool) -> list[tuple[float, float, float, float]]:
    """The rear or front half of a rib between its breaks: number, from and to (radians), downward step (mm)."""
    flank = np.pi / 2
    first, last = np.arcsin(11 / (60 + 10 * number)), np.deg2rad(min(152, 205 - 9.5 * number))
    low, high = (first, min(last, flank + 0.12)) if rear else (flank - 0.12, last)
    if high <= low:
        return []
    gap = 0.03
    for where, rib, theta in body.fractures:
        if (where, rib) == (side, number) and low < theta < high:
            return [(number, low, theta - gap, 0), (number, theta + gap, high, FRACTURE_STEP)]
    return [(number, low, high, 0)]


def callus(body: Body, side: str, number: int, theta: float, layer: Strokes) -> None:
    """Healing bone that swells both ends of a broken rib."""
    swelling = 8 + 5 * np.sin(np.linspace(0.2, np.pi - 0.2, 12))
    for centre, step in ((theta - 0.09, 0.0), (theta + 0.09, FRACTURE_STEP)):
        end = body.rib(side, np.array(number), np.linspace(centre - 0.08, centre + 0.08, 12)) + [0, step]
        layer.ribbons(end[None], swelling, 0.7)


def draw_girdle(body: Body, layer: Strokes) -> None:
    """Clavicles, edges of the scapulae and humeral heads."""
    wide = body.half_width / 136
    for sign in SIGN.values():
        out = 118 * wide + body.scapulae
        blade = np.array(
            [
                (out + 2, 12),
                (out - 6, 40),
                (out - 4, 85),
                (out + 14, 138),
                (out + 24, 132),
                (out + 34, 90),
                (out + 48, 45),
                (out + 44, 12),
                (out + 20, 2),
            ]
        ) * [sign, 1]
        layer.polygon(blade, 0.16)
        layer.line(blade[:4], 3.0, 0.42)
        layer.line(blade[4:7], 5.5, 0.5)
        layer.line(np.array([(out + 4, 26), (out + 30, 12), (out + 58, -2)]) * [sign, 1], 5, 0.4)
        turn = np.linspace(0, 2 * np.pi, 30)
        head = np.stack([sign * (out + 66) + 24 * np.cos(turn), 30 + 25 * np.sin(turn)], axis=-1)
        layer.polygon(head, 0.5)
        shaft = np.array([(out + 74, 40), (out + 84, 90), (out + 90, 160)]) * [sign, 1]
        layer.line(shaft, 24, 0.5)
        clavicle = np.array([(13, 37), (30, 31), (70 * wide, 22), (105 * wide, 10), (out + 34, 2)]) * [sign, 1]
        clavicle[:, 0] += body.turn * np.linspace(1, 0, 5)
        line = smooth_line(clavicle)[None]
        width = np.interp(np.linspace(0, 1, line.shape[1]), [0, 0.15, 0.6, 1], [15, 11, 9.5, 12])
        layer.ribbons(line, width, 0.95)
        layer.ribbons(line, width - 3.5, 0.6)


def spine(body: Body, grid: Grid) -> Array:
    """Vertebral bodies with end plates, darker disc spaces and pedicles, in cm of water above soft tissue."""
    x = grid.x + 0.25 * body.turn
    pitch = 21.5 * body.rib_pitch
    level = (grid.y - 4) / pitch
    phase = np.abs(level - np.round(level))
    half = Curve((-80, 14), (0, 16), (120, 18), (320, 22))(grid.y) * (1 - 0.10 * np.cos(np.pi * np.clip(phase, 0, 0.5)))
    column = smoothstep((half - np.abs(x)) / 8 + 0.5)
    vertebra = 0.5 - 0.4 * smoothstep((phase - 0.36) / 0.08) + 0.5 * np.exp(-(((phase - 0.36) / 0.05) ** 2))
    pedicles = np.exp(-(((np.abs(x) - 11) / 3) ** 2) - ((phase - 0.12) / 0.16) ** 2)
    spinous = np.exp(-((x / 2.5) ** 2) - ((phase - 0.22) / 0.2) ** 2)
    return column * (vertebra + 0.4 * pedicles + 0.5 * spinous + 0.2 * smoothstep((6 - np.abs(np.abs(x) - half)) / 6))


def airways(body: Body, grid: Grid) -> Array:
    """Air in trachea and main bronchi, in cm; the carina lies at the level of the aortic arch's lower edge."""
    layer = Strokes(grid)
    middle = body.shift + 0.4 * body.turn
    carina = (middle + 2, 82.0)
    layer.line(np.array([(0.3 * middle, -110), (0.6 * middle - 1, -20), (middle - 3, 50), carina]), 16, 1.0)
    for side, width in (("right", 11), ("left", 9)):
        x, y = body.hilum(side)
        layer.line(np.array([carina, (0.5 * (carina[0] + x), 0.55 * carina[1] + 0.45 * y), (x, y + 6)]), width, 0.7)
    return 2.4 * gaussian_filter(layer.array(), 1.5 / grid.pitch)


def bowel_gas(case: Case, body: Body, grid: Grid) -> Array:
    """The gastric bubble under the left hemidiaphragm and now and then gas in the colon, in cm."""
    rng = stream(case.study_seed, "gas")
    folds = 0.25 * grid.texture(rng, 12)
    gas = np.zeros(grid.shape, dtype=np.float32)
    left = body.left_dome()
    bubbles = [(rng.uniform(52, 72), left + rng.uniform(24, 30), rng.uniform(16, 30), rng.uniform(8, 14), 2.4)]
    bubbles += [
        (rng.uniform(-90, 100), left + rng.uniform(60, 110), rng.uniform(8, 20), rng.uniform(7, 14), 1.6)
        for _ in range(rng.integers(0, 4))
    ]
    for x, y, wide, high, depth in bubbles[rng.random() < 0.2 :]:
        gas += depth * np.sqrt(np.clip(1 + folds - ((grid.x - x) / wide) ** 2 - ((grid.y - y) / high) ** 2, 0, 1))
    return gaussian_filter(gas, 2 / grid.pitch)
