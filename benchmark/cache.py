"""Images decoded and resized once, read from a memory map afterwards.

A cache is a folder for one geometry and one list of image files. Its name is the hash of what determines the pixels:
where a file changes, another cache is made. In it are `pixels.u8`, the squares one after the other; `done.u8`, a byte
for each that becomes 1 once its square is on the disk; and `list.json`, the files in that order. It may be deleted
whenever no training reads it.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import shutil
import signal
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from functools import cached_property
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any

import numpy as np

from benchmark import store
from benchmark.console import progress
from benchmark.errors import ImageError, UserError
from benchmark.images import Geometry
from benchmark.provenance import digest

VERSION = 1
"""Raised when other pixels come out of the same file."""
SAVE_SECONDS = 5.0
"""Work that a kill may cost."""
IMAGES_A_PROCESS = 100
"""Fewer are not worth starting another process for."""


class CachedImages:
    """From an image's path to its square, uint8 of shape (S, S), the caller's own.

    The files are opened at the first call, so that a copy for another process is small. Raises ImageError where the
    image could not be read when the cache was opened, as reading the image itself does.
    """

    def __init__(self, folder: Path, size: int, errors: Mapping[str, str]):
        self.folder = folder
        self.size = size
        self.errors = errors
        """By path, why an image cannot be read."""

    def __call__(self, path: Path) -> np.ndarray:
        if error := self.errors.get(str(path)):
            raise ImageError(error)
        return np.array(self._squares[self._places[str(path)]])

    def __getstate__(self) -> dict[str, Any]:
        return {"folder": self.folder, "size": self.size, "errors": self.errors}

    @cached_property
    def _places(self) -> dict[str, int]:
        return {path: i for i, path in enumerate(store.read_json(self.folder / "list.json")["images"])}

    @cached_property
    def _squares(self) -> np.ndarray:
        return np.memmap(self.folder / "pixels.u8", np.uint8, "r").reshape(-1, self.size, self.size)


def open_images(
    caches: Path,
    paths: Sequence[Path],
    geometry: Geometry,
    report: Callable[[str], None],
    processes: int | None = None,
) -> CachedImages:
    """The cache of these images in the folder `caches`, made first, or finished, where that was not done.

    Images that cannot be read are tried again at each call, since what was missing (a decoder, a permission) may be
    there by then. Works in as many `processes` as there are cores where no number is given. Raises UserError where the
    disk is too small or another process is making the same cache.
    """
    images = [str(path) for path in dict.fromkeys(paths)]
    folder = caches / _key(images, geometry)
    errors: dict[str, str] = {}
    if not _is_complete(folder, len(images), geometry.size):
        with store.exclusive(folder, "making the image cache"):
            errors = _fill(folder, images, geometry, processes or os.cpu_count() or 1)
    side = geometry.size
    report(
        f"Images come from the cache {folder} ({len(images)} of {side} × {side}, {len(images) * side**2 / 1e6:.0f} MB)."
    )
    if errors:
        report(f"{len(errors)} of them cannot be read. The first: {next(iter(errors.values()))}")
    return CachedImages(folder, side, errors)


def _key(images: list[str], geometry: Geometry) -> str:
    files = [[image, *_stamp(image)] for image in images]
    return digest([VERSION, geometry.size, geometry.keep_aspect, files])[:16]


def _stamp(image: str) -> tuple[int, ...]:
    try:
        stat = os.stat(image)
    except OSError:
        return ()
    return stat.st_size, stat.st_mtime_ns


def _is_complete(folder: Path, n: int, size: int) -> bool:
    return _is_begun(folder, n, size) and bool(np.fromfile(folder / "done.u8", np.uint8).all())


def _is_begun(folder: Path, n: int, size: int) -> bool:
    expected = {"pixels.u8": n * size**2, "done.u8": n}
    return all(
        (folder / name).is_file() and (folder / name).stat().st_size == length for name, length in expected.items()
    )


def _fill(folder: Path, images: list[str], geometry: Geometry, processes: int) -> dict[str, str]:
    """Make the squares that are not there yet. Returns, by image, why one cannot be made."""
    side = geometry.size**2
    if not _is_begun(folder, len(images), geometry.size):
        _expect_room(folder, len(images) * side)
        store.write_json(folder / "list.json", {"images": images})
        with (folder / "pixels.u8").open("wb") as file:
            file.truncate(len(images) * side)
        (folder / "done.u8").write_bytes(bytes(len(images)))
    done = np.memmap(folder / "done.u8", np.uint8, "r+")
    tasks = [(i, Path(images[i])) for i in np.flatnonzero(done == 0).tolist()]
    _expect_room(folder, len(tasks) * side)
    made: list[int] = []
    errors: dict[str, str] = {}
    saved = time.monotonic()
    processes = min(processes, -(-len(tasks) // IMAGES_A_PROCESS))
    with (
        (folder / "pixels.u8").open("r+b") as pixels,
        progress("Caching images", len(images), len(images) - len(tasks)) as advance,
        contextlib.closing(_results(folder / "pixels.u8", tasks, geometry, processes)) as results,
    ):
        try:
            for i, error in results:
                if error:
                    errors[images[i]] = error
                else:
                    made.append(i)
                advance(1)
                if time.monotonic() - saved > SAVE_SECONDS:
                    _save(pixels.fileno(), done, made)
                    saved = time.monotonic()
        finally:
            _save(pixels.fileno(), done, made)
    if len(errors) + int(done.sum()) < len(images):
        raise UserError(
            f"A process that filled the image cache {folder} was ended from outside, perhaps for lack of memory. "
            "Run the same command again: it goes on."
        )
    return errors


def _save(pixels: int, done: np.memmap, made: list[int]) -> None:
    """Mark squares as done, after they are on the disk."""
    os.fsync(pixels)
    done[made] = 1
    done.flush()
    made.clear()


def _expect_room(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise UserError(
            f"The image cache takes {needed / 1e9:.2g} GB more in {folder}, but its disk has only {free / 1e9:.2g} GB "
            "free. Make room (older caches beside it may be deleted), or keep the results on another disk."
        )


def _results(
    pixels: Path, tasks: list[tuple[int, Path]], geometry: Geometry, processes: int
) -> Generator[tuple[int, str], None, None]:
    """The number of each image whose square is written, or why it cannot be, as the processes tell it."""
    # Threads would do for JPEG, but DICOM's decoders keep Python's lock. Nothing of this process is inherited.
    context = multiprocessing.get_context("spawn")
    workers: list[SpawnProcess] = []
    pipes: list[Connection] = []
    try:
        for k in range(processes):
            ours, theirs = context.Pipe(duplex=False)
            worker = context.Process(target=_work, args=(pixels, tasks[k::processes], geometry, theirs), daemon=True)
            worker.start()
            theirs.close()
            workers.append(worker)
            pipes.append(ours)
        while pipes:
            ready = wait(pipes)
            for pipe in [pipe for pipe in pipes if pipe in ready]:
                try:
                    told = pipe.recv()
                except EOFError:
                    pipes.remove(pipe)
                    continue
                if isinstance(told, UserError):
                    raise told
                yield told
    finally:
        for worker in workers:
            worker.terminate()
            worker.join()


def _work(pixels: Path, tasks: list[tuple[int, Path]], geometry: Geometry, pipe: Connection) -> None:
    """Write squares and tell of each; ends by itself where nobody listens any more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with contextlib.suppress(BrokenPipeError):
        try:
            with pixels.open("r+b") as file:
                for i, path in tasks:
                    try:
                        square = geometry.read(path)
                    except ImageError as error:
                        pipe.send((i, str(error)))
                        continue
                    file.seek(i * geometry.size**2)
                    file.write(square.data)
                    file.flush()
                    pipe.send((i, ""))
        except OSError as error:
            pipe.send(
                UserError(
                    f"The image cache {pixels.parent} cannot be written ({error.strerror}). Make room on its disk and "
                    "run the same command again: it goes on."
                )
            )
