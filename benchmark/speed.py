"""How many images a second reach a model: from the files at each epoch, and from the cache."""

from __future__ import annotations

import os
import random
import resource
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from multiprocessing import get_context
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import PIL
from PIL import Image, ImageDraw

from benchmark import cache, provenance, store
from benchmark.images import Geometry, read_grey

GEOMETRY = Geometry(384)
QUALITY = 95
NOISE, BLUR = 48.0, 1.3
"""Standard deviation of the noise in grey levels before it is blurred, and of the blur in pixels, as a detector does.
With these a file of 2,500 × 3,000 pixels has about 2.5 MB."""

PILLOW = "Pillow: open, convert to L, resize (bicubic, its default)"
PILLOW_ALL = "the same with all cores"
DECODE = "decode and resize for the cache"
MAKE = "make the cache with all cores"
READ = "read the cache in random order"

T = TypeVar("T")


def data(
    results: Path, n: int = 24, rounds: int = 3, width: int = 2500, height: int = 3000, a_process: int = 400
) -> dict[str, Any]:
    """Measure on `n` made-up radiographs; write the record to `results`/speed/data.json and return it.

    Its `rows` hold, by way (`what`), the images a second as the clock on the wall has it (`images_per_second`) and for
    each second that a core worked (`images_per_core_second`, which other work on the machine disturbs less), and how
    many times Pillow's on one core these are (`ratio`, `ratio_per_core`). Making the cache keeps all cores busy, so it
    is to be held against Pillow with all cores. The ways take turns; the best of the rounds counts. The cache is made
    of `a_process` images for each process, the same files under other names; the start of the processes is in it. All
    files are in the system's memory. `difference` is the mean distance, in grey levels, of what the cache holds from
    what resizing the whole picture gives.
    """
    cores = os.cpu_count() or 1
    per_second: dict[str, float] = {}
    per_core_second: dict[str, float] = {}

    def clock(what: str, images: int, work: Callable[..., T], *arguments: Any) -> T:
        began, worked = time.perf_counter(), _seconds_worked()
        done = work(*arguments)
        per_second[what] = max(per_second.get(what, 0.0), images / (time.perf_counter() - began))
        per_core_second[what] = max(per_core_second.get(what, 0.0), images / (_seconds_worked() - worked))
        return done

    results.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=results) as temporary:
        folder = Path(temporary)
        files = _make_films(folder, n, width, height)
        names = _rename(files, folder / "names", cores * a_process)
        order = random.Random(0).choices(names, k=3000)
        for k in range(rounds):
            clock(PILLOW, n, _by_pillow, files)
            clock(PILLOW_ALL, len(names), _by_pillow_with_all_cores, names, cores)
            clock(DECODE, n, _by_geometry, files)
            cached = clock(MAKE, len(names), cache.open_images, folder / str(k), names, GEOMETRY, _silent)
            clock(READ, len(order), _from_cache, cached, order)
            shutil.rmtree(folder / str(k))
        differences = [_difference(path) for path in files]
        sizes = [path.stat().st_size / 1e6 for path in files]
    record = {
        "rows": [
            {
                "what": what,
                "images_per_second": round(per_second[what], 1),
                "images_per_core_second": round(per_core_second[what], 1),
                "ratio": round(per_second[what] / per_second[PILLOW], 2),
                "ratio_per_core": round(per_core_second[what] / per_core_second[PILLOW], 2),
            }
            for what in per_second
        ],
        "difference": round(float(np.mean(differences)), 3),
        "images": {"n": n, "width": width, "height": height, "quality": QUALITY, "mb": round(float(np.mean(sizes)), 2)},
        "geometry": {"size": GEOMETRY.size, "keep_aspect": GEOMETRY.keep_aspect},
        "rounds": rounds,
        "cores": cores,
        "pillow": PIL.__version__,
        "hardware": provenance.hardware(),
        "date": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
    store.write_json(results / "speed" / "data.json", record)
    return record


def _seconds_worked() -> float:
    """Processor time of this process and of those that it started and that have ended."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def _by_pillow(files: Sequence[Path]) -> None:
    for path in files:
        with Image.open(path) as image:
            np.asarray(image.convert("L").resize((GEOMETRY.size, GEOMETRY.size)))


def _by_pillow_with_all_cores(files: Sequence[Path], cores: int) -> None:
    """As the cache is made, by as many processes: cores that share memory and caches are slower each than one alone."""
    with ProcessPoolExecutor(cores, mp_context=get_context("spawn")) as pool:
        for _ in pool.map(_by_pillow, [files[i::cores] for i in range(cores)]):
            pass


def _by_geometry(files: Sequence[Path]) -> None:
    for path in files:
        GEOMETRY.read(path)


def _from_cache(cached: cache.CachedImages, order: Sequence[Path]) -> None:
    """All pixels are copied, as into a batch: a memory map that nobody looks at costs nothing."""
    batch = np.empty((16, GEOMETRY.size, GEOMETRY.size), np.uint8)
    for i, path in enumerate(order):
        batch[i % len(batch)] = cached(path)


def _difference(path: Path) -> float:
    return float(np.abs(GEOMETRY.read(path).astype(int) - GEOMETRY.fit(read_grey(path))).mean())


def _silent(line: str) -> None:
    """The cache's own lines would stand between the rounds."""


def _rename(files: Sequence[Path], folder: Path, n: int) -> list[Path]:
    """`n` names for the files."""
    folder.mkdir()
    names = [folder / f"{i}.jpg" for i in range(n)]
    for i, name in enumerate(names):
        name.symlink_to(files[i % len(files)])
    return names


def _make_films(folder: Path, n: int, width: int, height: int) -> list[Path]:
    """JPEGs with what a decoder meets in a radiograph: soft shades, edges, thin lines, fine noise. Always the same."""
    from scipy.ndimage import gaussian_filter

    noise = np.random.default_rng(0).standard_normal((height, width), dtype=np.float32) * NOISE
    noise = gaussian_filter(noise, BLUR, mode="wrap")
    files = []
    for i in range(n):
        rng = np.random.default_rng(i)
        shades = Image.fromarray(rng.integers(70, 170, (9, 7), dtype=np.uint8)).resize((width, height))
        drawn = _draw_lines(shades, rng)
        film = np.asarray(drawn, dtype=np.float32) + np.roll(noise, (97 * i, 89 * i), (0, 1))
        files.append(folder / f"film-{i}.jpg")
        Image.fromarray(np.clip(film, 0, 255).astype(np.uint8)).save(files[-1], quality=QUALITY)
    return files


def _draw_lines(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Ribs and vessels."""
    width, height = image.size
    draw = ImageDraw.Draw(image)
    for rib in range(12):
        top = height * (rib + 1) // 15
        draw.arc((width // 12, top, width * 11 // 12, top + height // 3), 190, 350, 190, width // 100)
    for x, y, dx, dy, shade, thick in zip(
        rng.integers(0, width, 400), rng.integers(0, height, 400), *rng.integers(-width // 8, width // 8, (2, 400)),
        rng.integers(60, 220, 400), rng.integers(1, 4, 400), strict=True,
    ):  # fmt: skip
        draw.line((int(x), int(y), int(x + dx), int(y + dy)), int(shade), int(thick))
    return image
