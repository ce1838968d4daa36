"""The phantom's measurements and the grid it is drawn on. All lengths are millimetres.

Body coordinates: x = 0 is the midline and grows towards the patient's left, which is the right of the image;
y = 0 is the level of the lung apices and grows downwards.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any
from zlib import crc32

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy.ndimage import map_coordinates

from ._phantom_case import SIDES, Case

Array = NDArray[np.floating[Any]]
Points = NDArray[np.float64]
"""Positions (..., 2) as x and y in mm, and what is computed along them."""
SIGN = {"right": -1.0, "left": 1.0}
"""Sign of x on each side of the patient."""

LUNG = 0.24
"""Density of normally aerated lung in g/cm3."""

CANVAS = 640
"""Strokes are drawn on a canvas of at least this many pixels and reduced, which smooths their edges."""


def stream(seed: int, part: str) -> np.random.Generator:
    """A random stream of its own for every part, so that one more finding leaves the body unchanged."""
    return np.random.default_rng([seed, crc32(part.encode())])


def smoothstep(value: Array) -> Array:
    """0 below 0, 1 above 1, and a smooth rise between."""
    t = np.clip(value, 0, 1)
    return np.asarray(t * t * (3 - 2 * t))


def interpolate(at: Points, knots: Points, values: Points) -> Points:
    """Values (n, ...) at positions `at` on a smooth curve that never overshoots its knots (Steffen 1990)."""
    steps = np.diff(knots)
    slopes = (np.diff(values, axis=0).T / steps).T
    inner = (slopes[:-1].T * steps[1:] + slopes[1:].T * steps[:-1]).T
    inner = (inner.T / (steps[1:] + steps[:-1])).T
    least = np.minimum(np.abs(slopes[:-1]), np.abs(slopes[1:]))
    inner = (np.sign(slopes[:-1]) + np.sign(slopes[1:])) * np.minimum(least, 0.5 * np.abs(inner))
    tangents = np.concatenate([slopes[:1], inner, slopes[-1:]])
    part = np.clip(np.searchsorted(knots, at) - 1, 0, len(steps) - 1)
    step = steps[part]
    t = (at - knots[part]) / step
    return np.asarray(
        values[part].T * ((1 + 2 * t) * (1 - t) ** 2)
        + tangents[part].T * (step * t * (1 - t) ** 2)
        + values[part + 1].T * (t * t * (3 - 2 * t))
        + tangents[part + 1].T * (step * t * t * (t - 1))
    ).T


class Curve:
    """A smooth curve through knots (position, value), in mm, constant beyond its ends."""

    def __init__(self, *knots: tuple[float, float]) -> None:
        at, value = np.array(knots, dtype=float).T
        self.at = np.linspace(at[0], at[-1], 400)
        self.value = interpolate(self.at, at, value)

    def __call__(self, at: Array | float) -> Array:
        return np.asarray(np.interp(at, self.at, self.value), dtype=np.float32)


@dataclass
class Body:
    """Measurements of one patient at the moment of one exposure."""

    half_width: float
    """Inner half width of the rib cage at its widest."""
    dome: float
    """Level of the right hemidiaphragm."""
    dome_gap: float
    """How much lower the left hemidiaphragm stands."""
    wall: float
    """Soft tissue beside the ribs."""
    depth: float
    """Front-to-back thickness of the trunk, in cm."""
    heart_ratio: float
    """Cardiothoracic ratio: width of the heart over the inner width of the rib cage."""
    heart_share: float
    """Share of the heart's width that lies right of the midline."""
    knob: float
    """How far the aortic knob stands out of the mediastinum; it grows with age."""
    breast: float
    """Thickness of the breasts in cm, 0 without."""
    turn: float
    """Rotation of the patient about the long axis, as the shift it gives to what lies in front."""
    rib_pitch: float
    """Distance of neighbouring ribs, relative to the average adult."""
    rib_slope: float
    """How steeply the ribs descend, relative to the average adult."""
    scapulae: float
    """How far the scapulae stand clear of the lungs."""
    widening: float = 0.0
    """How much wider the upper mediastinum is on each side."""
    shift: float = 0.0
    """Displacement of the mediastinum towards the patient's left."""
    lift: dict[str, float] = field(default_factory=lambda: dict.fromkeys(SIDES, 0.0))
    """How much higher each hemidiaphragm stands."""
    hilum_lift: dict[str, float] = field(default_factory=lambda: dict.fromkeys(SIDES, 0.0))
    """How much higher each hilum stands."""
    inflation: dict[str, float] = field(default_factory=lambda: dict.fromkeys(SIDES, 1.0))
    """Size of each lung relative to its pleural cavity; below 1 with a pneumothorax."""
    upper_flow: float = 1.0
    """Width of the upper vessels relative to normal; above 1 when blood flow is cephalised."""
    fractures: list[tuple[str, int, float]] = field(default_factory=list)
    """Broken ribs: side, number, and how far along the rib (radians from the spine)."""

    @cached_property
    def lateral(self) -> Curve:
        """Outer edge of the lung against the ribs, as a distance from the midline."""
        knots = (
            (0, 56),
            (1.5, 66),
            (5, 75),
            (12, 85),
            (25, 96),
            (45, 107),
            (80, 119),
            (120, 128),
            (170, 134),
            (220, 136),
            (260, 134),
            (330, 132),
        )
        return Curve(*((y, x * self.half_width / 136) for y, x in knots))

    def medial(self) -> Curve:
        """Inner edge of the lung against spine and mediastinum, as a distance from the midline."""
        knots = ((0, 56), (1.5, 47), (5, 40), (12, 33), (25, 27), (45, 22), (80, 18), (330, 16))
        return Curve(*((y, x * self.half_width / 136) for y, x in knots))

    def diaphragm(self) -> Curve:
        """Level of the diaphragm from the right costophrenic angle to the left one."""
        w = self.half_width / 136
        right, left = self.dome - self.lift["right"], self.left_dome()
        return Curve(
            (-141 * w, right + 58),
            (-132 * w, right + 37),
            (-112 * w, right + 12),
            (-85 * w, right + 1),
            (-66 * w, right),
            (-40 * w, right + 5),
            (-18 * w, right + 16),
            (18 * w, left + 10),
            (45 * w, left + 2),
            (68 * w, left),
            (90 * w, left + 3),
            (114 * w, left + 14),
            (132 * w, left + 38),
            (141 * w, left + 56),
        )

    def left_dome(self) -> float:
        """Level of the left hemidiaphragm."""
        return self.dome + self.dome_gap - self.lift["left"]

    def heart_sides(self) -> tuple[float, float]:
        """Largest distances of the right and the left heart border from the midline."""
        width = self.heart_ratio * 2 * self.half_width
        # A very large heart fills the left chest first and then grows to the right.
        left = min((1 - self.heart_share) * width, 0.93 * self.half_width)
        return width - left, left

    def silhouette(self) -> tuple[Curve, Curve]:
        """Right and left border of heart and great vessels (signed x by level)."""
        right, left = self.heart_sides()
        d, w, knob, dx, gap = self.dome, self.widening, self.knob, self.shift, self.dome_gap
        top = 0.49 * d - 35 * (self.heart_ratio - 0.44)
        borders = (
            (
                (-60, -24),
                (-25, -23 - 0.2 * w),
                (15, -24 - 0.6 * w),
                (48, -26 - w),
                (0.36 * d, -28 - w),
                (top, -31 - 0.7 * w),
                (0.62 * d, -0.86 * right - 0.35 * w),
                (0.75 * d, -right),
                (0.87 * d, -0.97 * right),
                (d + 8, -0.78 * right),
                (d + 40, -0.5 * right),
            ),
            (
                (-60, 22),
                (-25, 21 + 0.2 * w),
                (15, 23 + 0.6 * w),
                (42, 25 + w),
                (54, 27 + knob + 0.8 * w),
                (64, 27 + knob + 0.8 * w),
                (top - 16, 29 + 0.4 * knob + 0.8 * w),
                (top, 0.12 * left + 24 + 0.7 * w),
                (top + 14, 0.28 * left + 18 + 0.4 * w),
                (0.68 * d, 0.72 * left),
                (0.80 * d, 0.92 * left),
                (0.90 * d, left),
                (d - 2, 0.95 * left),
                (d + 1 + gap, 0.78 * left),
                (d + 45, 0.5 * left),
            ),
        )
        first, second = (Curve(*sorted((y, x + dx) for y, x in border)) for border in borders)
        return first, second

    def hilum(self, side: str) -> tuple[float, float]:
        """Where the pulmonary vessels leave the mediastinum; the left hilum stands higher."""
        y = 0.50 * self.dome - (9 if side == "left" else 0) - self.hilum_lift[side]
        return SIGN[side] * 33 + self.shift, y

    def rib(self, side: str, number: Points, theta: Points) -> Points:
        """Points on ribs at angles from the spine (0) over the flank (pi / 2) towards the sternum (pi)."""
        step = number - 1
        start = (-4 + 20 * step + 0.35 * step**2) * self.rib_pitch
        drop = np.minimum(34 + 17 * step, 92) * self.rib_pitch * self.rib_slope
        reach = self.lateral(np.maximum(start + 0.42 * drop, 4 + 10 * step)) + 3
        x = SIGN[side] * reach * np.sin(theta)
        y = start + drop * theta / np.pi - 5 * np.sin(2 * theta)
        return np.stack([x, y], axis=-1)


def measure(case: Case) -> Body:
    """The patient's healthy body: the person from the anatomy seed, breath and stance from the study seed."""
    person, study = stream(case.anatomy_seed, "person"), stream(case.study_seed, "stance")
    male, portable = case.sex == "M", case.view == "AP"
    size = person.normal(0, 1)
    habitus = float(np.clip(person.normal(0.15 if case.age > 45 else 0, 1), -1.6, 2.0))
    dome = (213 if male else 200) + 6 * size + 5 * person.normal() + 3 * study.normal() - (24 if portable else 0)
    ratio = person.uniform(0.405, 0.445) + study.uniform(-0.005, 0.005) + (0.035 if portable else 0)
    ratio += 0.012 * min(max(case.age - 50, 0), 40) / 40
    return Body(
        half_width=float(np.clip((139 if male else 129) + 4.5 * size, 119, 149)),
        dome=float(np.clip(dome, 165, 228)),
        wall=22 + 6 * habitus + (0 if male else 2),
        depth=22 + 1.6 * habitus,
        dome_gap=float(person.uniform(7, 18)),
        heart_ratio=float(ratio),
        heart_share=float(person.uniform(0.28, 0.35)),
        knob=4 + 9 * min(max(case.age - 20, 0), 65) / 65 + person.uniform(-1.5, 2.5),
        breast=0.0 if male or person.random() < 0.25 else float(person.uniform(1.2, 2.8)),
        turn=float(study.normal(0, 4 if portable else 2)),
        rib_pitch=float(np.clip(person.normal(1, 0.04) * (1.03 if male else 0.97), 0.9, 1.1)),
        rib_slope=float(person.uniform(0.85, 1.2)),
        scapulae=float(study.uniform(-14, 2) if portable else study.uniform(0, 14)),
    )


class Grid:
    """The pixels of one image in body coordinates, after the patient's pose on the detector."""

    def __init__(self, case: Case, body: Body, long_side: int) -> None:
        rng = stream(case.study_seed, "pose")
        portable = case.view == "AP"
        landscape = rng.random() < (0.25 if portable else 0.06)
        aspect = rng.uniform(1.05, 1.22) if landscape else rng.uniform(0.81, 1.0)
        height = 325.0 if landscape else max(350.0, 2 * (body.half_width + 16) / aspect)
        self.pitch = max(height, height * aspect) / long_side
        rows = long_side if aspect <= 1 else round(long_side / aspect)
        columns = long_side if aspect > 1 else round(long_side * aspect)
        self.shape = (rows, columns)
        angle = np.deg2rad(rng.normal(0, 2.2 if portable else 1.0))
        zoom = rng.uniform(0.95, 1.04)
        middle = 0.5 * (body.dome + 55) + rng.normal(8, 6), rng.normal(0, 5)
        self._turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) * zoom
        self._middle = np.array([middle[1], middle[0]])
        v, u = np.mgrid[:rows, :columns]
        film = np.stack([u + 0.5 - columns / 2, v + 0.5 - rows / 2], axis=-1) * self.pitch
        place = (film @ np.linalg.inv(self._turn).T + self._middle).astype(np.float32)
        self.x, self.y = place[..., 0].copy(), place[..., 1].copy()

    def pixels(self, points: Points) -> Points:
        """Pixel positions (column, row) of points in body coordinates."""
        rows, columns = self.shape
        return (points - self._middle) @ self._turn.T / self.pitch + np.array([columns / 2, rows / 2])

    def texture(self, rng: np.random.Generator, scale: float) -> Array:
        """Smooth noise of mean 0 and about unit spread whose grain is `scale` mm, fixed to the body."""
        lattice = rng.standard_normal((int(600 / scale) + 3, int(560 / scale) + 3)).astype(np.float32)
        where = np.stack([(self.y + 150) / scale, (self.x + 280) / scale])
        return np.asarray(map_coordinates(lattice, where, order=1, mode="nearest"), dtype=np.float32) * 1.5


class Strokes:
    """A layer of ribbons and discs, drawn on a finer canvas. Later shapes replace earlier ones."""

    def __init__(self, grid: Grid) -> None:
        self.grid = grid
        self.fine = max(1, round(CANVAS / max(grid.shape)))
        rows, columns = grid.shape
        self._image = Image.new("L", (columns * self.fine, rows * self.fine))
        self._draw = ImageDraw.Draw(self._image)

    def polygon(self, points: Points, value: float) -> None:
        """Fills an outline (n, 2) in mm; `value` is 0 to 1."""
        corners = self.grid.pixels(points) * self.fine
        self._draw.polygon(corners.ravel().tolist(), fill=round(255 * value))

    def ribbons(self, points: Points, widths: Points | float, value: Array | float) -> None:
        """Fills bands along lines (n, k, 2) in mm, with a width at each point and a value for each band."""
        steps = np.diff(points, axis=1)
        along = np.concatenate([steps[:, :1], steps[:, :-1] + steps[:, 1:], steps[:, -1:]], axis=1)
        across = np.stack([-along[..., 1], along[..., 0]], axis=-1)
        across /= np.maximum(np.hypot(across[..., :1], across[..., 1:]), 1e-6)
        half = np.broadcast_to(np.asarray(widths, dtype=float), points.shape[:-1])[..., None] / 2
        least = 0.5 * self.grid.pitch / self.fine
        across = across * np.maximum(half, least)
        outline = np.concatenate([points + across, (points - across)[:, ::-1]], axis=1)
        corners = (self.grid.pixels(outline) * self.fine).reshape(len(points), -1)
        fills = np.round(255 * np.broadcast_to(value, len(points))).astype(int)
        for corner, fill in zip(corners.tolist(), fills.tolist(), strict=True):
            self._draw.polygon(corner, fill=fill)

    def line(self, points: Points, width: float, value: float) -> None:
        """One band along a smooth line through the given points (k, 2)."""
        self.ribbons(smooth_line(points)[None], width, value)

    def array(self) -> Array:
        """The layer at the resolution of the image, 0 to 1."""
        image = self._image.reduce(self.fine) if self.fine > 1 else self._image
        return np.asarray(image, dtype=np.float32) / 255


def smooth_line(points: Points | list[tuple[float, float]], count: int = 32) -> Points:
    """A smooth line (count, 2) through a few points."""
    knots = np.asarray(points, dtype=float)
    along = np.r_[0, np.cumsum(np.linalg.norm(np.diff(knots, axis=0), axis=1))]
    return interpolate(np.linspace(0, along[-1], count), along, knots)


@dataclass
class Scene:
    """What the rays cross, pixel by pixel, in cm of water unless said otherwise."""

    body: Body
    grid: Grid
    trunk: Array
    """Thickness of the trunk, as if it were all soft tissue."""
    lungs: Array
    """Thickness of both pleural cavities where heart and mediastinum leave room."""
    density: Array
    """Of what fills the pleural cavities: 0 free air, LUNG normal, 1 fluid (g/cm3)."""
    vessels: Array
    """What the vessels add where the lung around them is normal."""
    added: Array
    """Bones, devices and anything else that lies over the rest."""

    def thickness(self) -> Array:
        """The sum along each ray. A vessel shows by the air it replaces, so it vanishes in dense lung."""
        air = 1 - self.density
        return np.maximum(self.trunk - air * (self.lungs - self.vessels / (1 - LUNG)) + self.added, 0)

    def side(self, side: str) -> Array:
        """1 in that half of the patient, 0 in the other, with a soft change over the midline."""
        return smoothstep((self.grid.x - self.body.shift) * SIGN[side] / 8 + 0.5)


def cavity(body: Body, x: Array, y: Array) -> Array:
    """Thickness of the pleural cavities, relative to the thickest part: 0 outside, at most 1."""
    far = np.abs(x)
    lateral = body.lateral(y)
    chord = np.sqrt(np.clip(1 - (far / lateral) ** 2, 0, 1))
    apex = np.sqrt(np.clip(1 - (np.clip(70 - y, 0, 70) / 70) ** 2, 0, 1))
    # Below the hila the lung wraps round the spine, so that its inner edge fades.
    blur = 5 + 55 * smoothstep((y - 50) / 80)
    inner = smoothstep((far - body.medial()(y)) / blur + 0.5)
    floor = smoothstep((body.diaphragm()(x) - y) / 3.5 + 0.5)
    return chord * apex * inner * floor
