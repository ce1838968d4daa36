"""X-ray images from files: any bit depth to 8-bit grey, and one geometry for training and evaluation.

Nothing here flips an image: left and right, and the side of the heart, are findings.
"""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from benchmark.errors import UserError

MAX_PIXELS = 89_478_485
"""More are refused as a decompression bomb: Pillow's own limit, eleven times the largest image of MIMIC-CXR."""

_UNREADABLE = (OSError, SyntaxError, ValueError, TypeError, IndexError, EOFError, struct.error)
"""What Pillow's decoders raise on damaged files."""


class ImageError(UserError):
    """An image file that cannot be used; the message is one sentence that names the file."""


def read_grey(path: Path) -> Image.Image:
    """An image file, wholly decoded, as 8-bit grey (mode `L`), turned as its EXIF orientation says.

    - 12- and 16-bit grey and floats are stretched from their own smallest and largest value to 0-255; Pillow's
      `convert` would clip them at 255. An image of one value comes out black.
    - A palette is looked up, since its indices are no grey values.
    - Transparent pixels are laid over black, the background of a radiograph; the colour stored under them is arbitrary.
    - Of several frames the first is taken.

    Raises ImageError where the file is missing, empty, cut short, no image, or implausibly large.
    """
    path = Path(path)
    try:
        if path.stat().st_size == 0:
            raise ImageError(f"{path} is empty (0 bytes).")
        with Image.open(path) as image:
            if image.width * image.height > MAX_PIXELS:
                raise ImageError(f"{path} claims {image.width} × {image.height} pixels, more than is plausible.")
            image.load()
            return _grey(ImageOps.exif_transpose(image))
    except FileNotFoundError:
        raise ImageError(f"{path} does not exist.") from None
    except Image.DecompressionBombError:
        raise ImageError(f"{path} claims more pixels than is plausible.") from None
    except UnidentifiedImageError:
        raise ImageError(f"{path} is {_what_instead(path)}.") from None
    except _UNREADABLE as error:
        raise ImageError(f"{path} cannot be decoded, it may be cut short or damaged ({error}).") from None


def fit(image: Image.Image, size: int, keep_aspect: bool = True) -> np.ndarray:
    """A grey image as uint8 of shape (size, size).

    With `keep_aspect` the long side becomes `size` and black fills up to the square, half on either side; without,
    the image is squashed, as the original Vision-GPT2 does.
    """
    width, height = image.size
    if keep_aspect:
        scale = size / max(width, height)
        inner = max(1, round(width * scale)), max(1, round(height * scale))
    else:
        inner = size, size
    # Pillow's bilinear filter averages over all pixels it leaves out, so thin lines survive the reduction.
    small = image.resize(inner, Image.Resampling.BILINEAR)
    square = Image.new("L", (size, size))
    square.paste(small, ((size - inner[0]) // 2, (size - inner[1]) // 2))
    return np.asarray(square)


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


def _what_instead(path: Path) -> str:
    """What a file that Pillow does not know seems to be."""
    with path.open("rb") as file:
        head = file.read(256)
    if head.lstrip()[:1] == b"<":
        return "a web page or XML instead of an image; a download may have failed"
    if head.isascii() and b"\0" not in head:
        return "text instead of an image"
    return "no image that can be read, or only the beginning of one"
