"""X-ray images from files: any bit depth to 8-bit grey, and one geometry for training and evaluation.

Nothing here flips an image: left and right, and the side of the heart, are findings.
"""

from __future__ import annotations

import contextlib
import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from benchmark.errors import ImageError, ImageKind

MAX_PIXELS = 89_478_485
"""More are refused as a decompression bomb: Pillow's own limit, eleven times the largest image of MIMIC-CXR."""

SPARE = 1.9
"""How many times the size wanted a JPEG must still have when it is decoded at a reduced scale. With that much left for
Pillow's filter the result is on average within half a grey level of resizing the whole picture; with 1.75 it is not."""

_UNREADABLE = (OSError, SyntaxError, ValueError, TypeError, IndexError, EOFError, struct.error)
"""What Pillow's decoders raise on damaged files."""


@dataclass(frozen=True)
class Geometry:
    """How a picture becomes a square: the same for training, evaluation and the cache."""

    size: int
    """Side of the square in pixels."""
    keep_aspect: bool = True
    """Whether the long side becomes `size` and black fills up to the square, half on either side; otherwise the picture
    is squashed, as the original Vision-GPT2 does."""

    def fit(self, image: Image.Image) -> np.ndarray:
        """A grey image as uint8 of shape (size, size)."""
        return self._square(_resized(image, self.inner(image.size)))

    def read(self, path: Path) -> np.ndarray:
        """`fit(read_grey(path))`, but a JPEG much larger than the square is decoded at a half, a quarter or an eighth.

        That is twice as fast, and within half a grey level on average. A picture of less than `2 * SPARE` times the
        square's size comes out the same to the bit (one that its EXIF orientation turns, to the last grey level).
        Raises ImageError as `read_grey` does.
        """
        return self._square(_read(path, self))

    def inner(self, size: tuple[int, int]) -> tuple[int, int]:
        """Width and height in the square of a picture of that width and height."""
        if not self.keep_aspect:
            return self.size, self.size
        scale = self.size / max(size)
        return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))

    def _square(self, inner: Image.Image) -> np.ndarray:
        square = Image.new("L", (self.size, self.size))
        square.paste(inner, ((self.size - inner.width) // 2, (self.size - inner.height) // 2))
        return np.array(square)


def read_grey(path: Path) -> Image.Image:
    """An image file, wholly decoded, as 8-bit grey (mode `L`), turned as its EXIF orientation says.

    - 12- and 16-bit grey and floats are stretched from their own smallest and largest value to 0-255; Pillow's
      `convert` would clip them at 255. An image of one value comes out black.
    - DICOM files say themselves which values are black and white (see `_dicom`).
    - A palette is looked up, since its indices are no grey values.
    - Transparent pixels are laid over black, the background of a radiograph; the colour stored under them is arbitrary.
    - Of several frames the first is taken.

    Raises ImageError where the file is missing, empty, cut short, no image, or implausibly large.
    """
    return _read(path, None)


def _read(path: Path, geometry: Geometry | None) -> Image.Image:
    """The picture as `read_grey` has it, in the size that it has in the geometry's square where one is given."""
    path = Path(path)
    with _named(path):
        if path.stat().st_size == 0:
            raise ImageError(f"{path} is empty (0 bytes).", "empty")
        if _is_dicom(path):
            from benchmark import _dicom

            grey = _dicom.read(path, MAX_PIXELS)
            return _resized(grey, geometry.inner(grey.size)) if geometry else grey
        with Image.open(path) as image:
            if image.width * image.height > MAX_PIXELS:
                raise ImageError(
                    f"{path} claims {image.width} × {image.height} pixels, more than is plausible.", "huge"
                )
            inner = geometry.inner(image.size) if geometry else image.size
            box = _decode_reduced(image, inner)
            image.load()
            orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
            grey = _resized(_grey(image), inner, box)
            grey.getexif()[ExifTags.Base.Orientation] = orientation
            return ImageOps.exif_transpose(grey)


def _decode_reduced(image: Image.Image, inner: tuple[int, int]) -> tuple[float, float, float, float] | None:
    """Have a much larger JPEG decoded at a reduced scale. Returns the part of what will be decoded that is the picture:
    the scales are whole, the sizes need not be."""
    wanted = math.ceil(inner[0] * SPARE), math.ceil(inner[1] * SPARE)
    if min(image.width // wanted[0], image.height // wanted[1]) < 2:
        return None
    drafted = image.draft("L", wanted)
    return drafted[1] if drafted else None


def _resized(
    image: Image.Image, size: tuple[int, int], box: tuple[float, float, float, float] | None = None
) -> Image.Image:
    # Pillow's bilinear filter averages over all pixels it leaves out, so thin lines survive the reduction.
    return image.resize(size, Image.Resampling.BILINEAR, box)


@contextlib.contextmanager
def _named(path: Path) -> Iterator[None]:
    """Whatever goes wrong with a file, as one sentence with its name."""
    try:
        yield
    except FileNotFoundError:
        raise ImageError(f"{path} does not exist.", "missing") from None
    except Image.DecompressionBombError:
        raise ImageError(f"{path} claims more pixels than is plausible.", "huge") from None
    except UnidentifiedImageError:
        kind, what = _what_instead(path)
        raise ImageError(f"{path} is {what}.", kind) from None
    except _UNREADABLE as error:
        raise ImageError(f"{path} cannot be decoded, it may be cut short or damaged ({error}).") from None


def _is_dicom(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(132)[128:] == b"DICM"


def _grey(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I") or image.mode == "F":
        return _stretched(np.asarray(image, dtype=np.float64))
    if image.has_transparency_data:
        coloured = image.convert("RGBA")
        black = Image.new("RGBA", coloured.size, (0, 0, 0, 255))
        return Image.alpha_composite(black, coloured).convert("L")
    if image.mode == "P":
        image = image.convert("RGB")
    return image.convert("L")


def _stretched(values: np.ndarray) -> Image.Image:
    known = np.isfinite(values)
    if not known.any():
        raise ValueError("no pixel is a finite number")
    low, high = values[known].min(), values[known].max()
    scaled = (np.where(known, values, low) - low) * (255.0 / (high - low) if high > low else 0.0)
    return Image.fromarray(np.round(scaled).astype(np.uint8))


def _what_instead(path: Path) -> tuple[ImageKind, str]:
    """What a file that Pillow does not know seems to be: the `kind` of ImageError, and in words."""
    with path.open("rb") as file:
        head = file.read(256)
    if head.lstrip()[:1] == b"<":
        return "markup", "a web page or XML instead of an image; a download may have failed"
    if head.isascii() and b"\0" not in head:
        return "text", "text instead of an image"
    return "unknown", "no image that can be read, or only the beginning of one"
