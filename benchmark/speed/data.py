"""How many images a second reach a model: from the files at each epoch, and from the cache."""

from __future__ import annotations

import functools
import os
import random
import resource
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import PIL
from PIL import Image, ImageDraw

from benchmark import cache
from benchmark.images import Geometry, read_grey
from benchmark.speed import measure

GEOMETRY = Geometry(384)
QUALITY = 95
NOISE, BLUR = 48.0, 1.3
"""Standard deviation of the noise in grey levels before it is blurred, and of the blur in pixels, as a detector does.
With these a file of 2,500 × 3,000 pixels has about 2.5 MB."""

GREY = "Pillow: open, convert to L, resize (bicubic, its default)"
GREY_ALL = "the same with all cores"
COLOUR = "Pillow: open, convert to RGB, resize, as the original Vision-GPT2 does"
DECODE = "decode and resize for the cache"
MAKE = "make the cache with all cores"
READ = "read the cache in random order"

COMPARED = (
    (DECODE, GREY),
    (DECODE, COLOUR),
    (MAKE, GREY),
    (MAKE, GREY_ALL),
    (MAKE, COLOUR),
    (READ, GREY),
    (READ, COLOUR),
)
"""Films are grey, so `GREY` is the least that Pillow can be asked for; training loops mostly ask for `COLOUR`."""


def data(
    n: int = 24,
    rounds: int = 3,
    width: int = 2500,
    height: int = 3000,
    a_process: int = 1000,
    scratch: Path | None = None,
) -> list[measure.Row]:
    """Measure on `n` made-up radiographs: a row for each of COMPARED.

    Seconds are those of one image, medians of the rounds, in which the ways take turns. `per_core` is the ratio of the
    times that cores worked, which other work on the machine disturbs less. Making the cache keeps all cores busy, and
    cores that share memory are slower each than one alone: hence Pillow with all cores beside it. The cache is made of
    `a_process` images for each process, the same files under other names; the start of the processes is in it. Films
    and caches lie in a folder of their own under `scratch`, in the system's memory. `difference` is the mean distance,
    in grey levels, of what the cache holds from what resizing the whole picture gives.
    """
    cores = os.cpu_count() or 1
    with tempfile.TemporaryDirectory(dir=scratch) as temporary:
        folder = Path(temporary)
        files = make_films(folder, n, width, height)
        names = rename(files, folder / "names", cores * a_process)
        some = names[: max(cores, len(names) // 4)]
        order = random.Random(0).choices(names, k=3000)
        made: list[cache.CachedImages] = []

        def make() -> None:
            shutil.rmtree(folder / "cache", ignore_errors=True)
            made[:] = [cache.open_images(folder / "cache", names, GEOMETRY, _silent)]

        ways: dict[str, tuple[int, Callable[[], None]]] = {
            GREY: (n, lambda: _by_pillow(files)),
            GREY_ALL: (len(some), lambda: _by_pillow_with_all_cores(some, cores)),
            COLOUR: (n, lambda: _by_pillow(files, "RGB")),
            DECODE: (n, lambda: _by_geometry(files)),
            MAKE: (len(names), make),
            READ: (len(order), lambda: _from_cache(made[0], order)),
        }
        sides = {way: functools.partial(_clock, *images_and_work) for way, images_and_work in ways.items()}
        found = measure.take_turns(sides, rounds)
        facts = {
            "difference": round(float(np.mean([_difference(path) for path in files])), 3),
            "mb": round(float(np.mean([path.stat().st_size / 1e6 for path in files])), 2),
            **{"n": n, "width": width, "height": height, "size": GEOMETRY.size, "pillow": PIL.__version__},
        }
    wall = {way: [seconds for seconds, _ in times] for way, times in found.items()}
    worked = {way: statistics.median(seconds for _, seconds in times) for way, times in found.items()}
    return [
        measure.row(way, peer, wall[way], wall[peer], per_core=round(worked[peer] / worked[way], 3), **facts)
        for way, peer in COMPARED
    ]


def _clock(images: int, work: Callable[[], None]) -> tuple[float, float]:
    """Seconds for one image: by the clock on the wall, and those that cores worked."""
    began, worked = time.perf_counter(), _seconds_worked()
    work()
    return (time.perf_counter() - began) / images, (_seconds_worked() - worked) / images


def _seconds_worked() -> float:
    """Processor time of this process and of those that it started and that have ended."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def _by_pillow(files: Sequence[Path], mode: str = "L") -> None:
    for path in files:
        with Image.open(path) as image:
            np.asarray(image.convert(mode).resize((GEOMETRY.size, GEOMETRY.size)))


def _by_pillow_with_all_cores(files: Sequence[Path], cores: int) -> None:
    """As the cache is made, by as many processes."""
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


def rename(files: Sequence[Path], folder: Path, n: int) -> list[Path]:
    """`n` names for the files."""
    folder.mkdir()
    names = [folder / f"{i}.jpg" for i in range(n)]
    for i, name in enumerate(names):
        name.symlink_to(files[i % len(files)].absolute())
    return names


def make_films(folder: Path, n: int, width: int, height: int) -> list[Path]:
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
