"""From attenuation to a film: exposure, scatter, noise, tone, side marker and collimation."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from scipy.ndimage import gaussian_filter

from ._phantom_case import Case
from ._phantom_geometry import Array, Grid, stream

ATTENUATION = 0.19
"""Of water, per cm, at the energies of a chest film."""


def expose(thickness: Array, grid: Grid, case: Case) -> Array:
    """Darkening of the detector behind `thickness` cm of water: log of direct and scattered rays, with noise."""
    rng = stream(case.study_seed, "exposure")
    rays = np.exp(-ATTENUATION * thickness)
    scatter = gaussian_filter(np.minimum(rays, 0.35), 28 / grid.pitch, mode="nearest", truncate=2.5)
    rays += rng.uniform(0.14, 0.24) * scatter + 0.001
    rays = gaussian_filter(rays, rng.uniform(0.7, 1.1) / grid.pitch)
    grain = rng.uniform(0.0015, 0.004) * 2.4 / max(grid.pitch, 0.8)
    noise = rng.standard_normal(grid.shape, dtype=np.float32)
    rays *= 1 + grain * noise / np.sqrt(rays + 0.02)
    return -np.log(np.maximum(rays, 1e-4))


def tone(film: Array, case: Case) -> Array:
    """Grey values 0 to 1, most of the way to an equalised histogram, as in MIMIC-CXR-JPG."""
    rng = stream(case.study_seed, "tone")
    low, high = np.percentile(film, [1.5, 99.6])
    level = np.clip((film - low) / (high - low), 0, 1)
    count, edges = np.histogram(level, bins=256, range=(0, 1))
    share = gaussian_filter(np.cumsum(count) / level.size, 3, mode="nearest")
    equal = np.interp(level, (edges[1:] + edges[:-1]) / 2, share)
    blend = rng.uniform(0.45, 0.75)
    grey = blend * equal + (1 - blend) * level
    return ((grey - grey.min()) / (grey.max() - grey.min())).astype(np.float32)


def finish(grey: Array, grid: Grid, case: Case) -> np.ndarray:
    """Burns in the side marker, blackens what the collimator covers and rounds to uint8."""
    rng = stream(case.study_seed, "finish")
    rows, columns = grid.shape
    letter = "L" if rng.random() < 0.7 else "R"
    size = round(23 / grid.pitch)
    margin, down = rng.uniform(0.02, 0.06) * columns, rng.uniform(0.03, 0.12) * rows
    left = columns - margin - size if letter == "L" else margin
    stamp = Image.new("L", (columns, rows))
    ImageDraw.Draw(stamp).text((left, down), letter, fill=255, font=ImageFont.load_default(size))
    grey = np.maximum(grey, np.asarray(stamp, dtype=np.float32) / 255 * rng.uniform(0.9, 1.0))
    if rng.random() < 0.3:
        edges = (rng.uniform(0, 0.035, 4) * [rows, rows, columns, columns]).astype(int)
        cover = np.zeros(grid.shape, dtype=bool)
        cover[edges[0] : rows - edges[1], edges[2] : columns - edges[3]] = True
        grey = np.where(cover, grey, 0.02)
    return np.round(255 * np.clip(grey, 0, 1)).astype(np.uint8)
