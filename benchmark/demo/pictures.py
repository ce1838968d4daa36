"""The radiograph on the page: uploaded and kept in memory, or a study's file."""

from __future__ import annotations

import base64
import contextlib
import io
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmark.errors import ImageError, ImageKind
from benchmark.images import read_grey

SHOWN = 720
"""Longest side of what the page shows, in pixels."""
IN_MEMORY = hasattr(os, "memfd_create")
"""Whether this system has files that lie in memory (Linux), as the image readers take files."""


@dataclass(frozen=True)
class Picture:
    """A radiograph that can be read."""

    key: str
    """Tells it from the others of a session."""
    name: str
    content: bytes | Path
    """An upload's bytes, or where a study's file is."""
    size: tuple[int, int]
    """Width and height, as it is read."""
    shown: str
    """As a data URI, small enough for a page."""

    @contextlib.contextmanager
    def file(self) -> Iterator[Path]:
        """Its file while it is read."""
        if isinstance(self.content, Path):
            yield self.content
        else:
            with memory_file(self.content) as path:
                yield path


@contextlib.contextmanager
def memory_file(content: bytes) -> Iterator[Path]:
    """A file of these bytes: in memory, on systems without such files a temporary one, deleted on leaving."""
    if not IN_MEMORY:
        with tempfile.TemporaryDirectory(prefix="bench-demo-") as folder:
            path = Path(folder) / "image"
            path.write_bytes(content)
            yield path
        return
    descriptor = os.memfd_create("image")
    try:
        with os.fdopen(os.dup(descriptor), "wb") as file:
            file.write(content)
        yield Path(f"/proc/self/fd/{descriptor}")
    finally:
        os.close(descriptor)


class NoPicture(Exception):
    """A radiograph that cannot be read."""

    def __init__(self, name: str, kind: ImageKind):
        super().__init__(name, kind)
        self.name = name
        self.kind = kind
        """As ImageError has it."""


def open_upload(key: str, name: str, content: bytes) -> Picture:
    """Raises NoPicture where it is no image that can be read."""
    with memory_file(content) as path:
        return _open(key, name, content, path)


def open_file(name: str, path: Path) -> Picture:
    """Raises NoPicture where it cannot be read."""
    return _open(str(path), name, path, path)


def _open(key: str, name: str, content: bytes | Path, path: Path) -> Picture:
    try:
        grey = read_grey(path)
    except ImageError as error:
        raise NoPicture(name, error.kind) from None
    size = grey.size
    grey.thumbnail((SHOWN, SHOWN))
    return Picture(key, name, content, size, data_uri(grey, "JPEG", quality=90))


def data_uri(image: object, form: str, **options: object) -> str:
    """A PIL image as the address of itself."""
    held = io.BytesIO()
    image.save(held, form, **options)  # type: ignore[attr-defined]
    return f"data:image/{form.lower()};base64,{base64.b64encode(held.getvalue()).decode()}"
