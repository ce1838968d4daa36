"""Every image of a data set opened once: missing, unreadable, and its bytes' hash, remembered between runs."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path

from benchmark.console import progress
from benchmark.provenance import file_hash

_BATCH = 256


@dataclass(frozen=True)
class Picture:
    """What was found out about an image file."""

    path: str
    size: int
    """Bytes; -1 where the file is missing."""
    modified: int
    """Nanoseconds; with path and size it tells whether the file is still the one that was opened."""
    sha256: str = ""
    error: str = ""
    """One sentence, where it cannot be read; empty for a sound image."""

    @property
    def missing(self) -> bool:
        return self.size < 0


def examine(paths: Sequence[Path], ledger: Path, decode: bool = True) -> dict[Path, Picture]:
    """Each image's Picture. With `decode` files are hashed and wholly decoded, else only looked for.

    What was decoded is appended to `ledger` (JSONL), so that a run that was killed, or a later one, does not open an
    unchanged file again. Decoding and hashing release Python's lock, so threads use all cores.
    """
    known = _read(ledger)
    found: dict[Path, Picture] = {}
    fresh: list[Path] = []
    for path in dict.fromkeys(paths):
        here = _stat(path)
        before = known.get(here.path)
        if here.missing or not decode:
            found[path] = here
        elif before is not None and (before.size, before.modified) == (here.size, here.modified):
            found[path] = before
        else:
            fresh.append(path)
    if fresh:
        ledger.parent.mkdir(parents=True, exist_ok=True)
        with (
            progress("Opening images", len(found) + len(fresh), len(found)) as advance,
            ThreadPoolExecutor(os.cpu_count()) as pool,
            ledger.open("a", encoding="utf-8") as file,
        ):
            file.write("\n")  # a line that a kill cut short must not swallow the next
            for batch in _batches(fresh):
                pictures = list(pool.map(_open, batch))
                found.update(zip(batch, pictures, strict=True))
                file.writelines(json.dumps(asdict(picture)) + "\n" for picture in pictures)
                file.flush()
                advance(len(batch))
    return found


def _batches(paths: Iterable[Path]) -> Iterator[list[Path]]:
    remaining = iter(paths)
    while batch := list(islice(remaining, _BATCH)):
        yield batch


def _stat(path: Path) -> Picture:
    try:
        stat = path.stat()
    except OSError:
        return Picture(str(path), -1, 0)
    return Picture(str(path), stat.st_size, stat.st_mtime_ns)


def _open(path: Path) -> Picture:
    from benchmark.images import ImageError, read_grey

    here = _stat(path)
    try:
        read_grey(path)
        return Picture(here.path, here.size, here.modified, file_hash(path))
    except (ImageError, OSError) as error:
        return Picture(here.path, here.size, here.modified, "", str(error))


def _read(ledger: Path) -> dict[str, Picture]:
    """Pictures by path. A line that was cut short when a run was killed is passed over: its file is opened again."""
    found: dict[str, Picture] = {}
    if ledger.is_file():
        for line in ledger.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                picture = Picture(**json.loads(line))
            except (ValueError, TypeError):
                continue
            found[picture.path] = picture
    return found
