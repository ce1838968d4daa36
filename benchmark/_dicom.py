"""The first picture of a DICOM file as 8-bit grey, as a viewer shows it before anyone touches the controls.

After DICOM PS3.3 C.7.6.3, C.11.1 and C.11.2. All that a file says about grey values is a function of the stored value,
so it is worked out once for each value that the stored bits can hold, and then looked up.
"""

from __future__ import annotations

import struct
import warnings
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmark.errors import ImageError

BYTES_A_PIXEL = 4
"""A deflated file that holds more than this for each of the largest picture's pixels is a decompression bomb."""
PREAMBLE = 144
"""Bytes before the part of the file's meta information whose length its first element gives."""
JPEG_FRAMES = {*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC}
"""Second byte of the markers before a picture's size in JPEG (all kinds) and JPEG-LS."""

_UNREADABLE = (
    AttributeError,  # an element that must be there is not
    EOFError,
    IndexError,
    KeyError,
    MemoryError,
    NotImplementedError,
    OSError,
    OverflowError,
    RuntimeError,  # all decoders failed
    TypeError,
    ValueError,
    struct.error,
    zlib.error,
)
"""What pydicom and its decoders raise on damaged files."""


def read(path: Path, max_pixels: int) -> Image.Image:
    """The first frame in mode `L`.

    - Modality LUT or rescale, then the first VOI LUT or window. Where there is none, the range of the stored bits
      becomes 0-255: neither that of the allocated bits nor that of the values that occur.
    - MONOCHROME1 is turned round after that. Padding (PixelPaddingValue) becomes black.
    - Colour (RGB, YBR, palette) becomes its luminance.

    Raises ImageError where pydicom or a decoder is not installed, the file holds no picture or more than `max_pixels`,
    or is damaged.
    """
    try:
        import pydicom
    except ImportError:
        raise ImageError(f"{path} is a DICOM file, and pydicom is not installed. {_INSTALL}", "no_decoder") from None
    # It warns of every odd value; what matters to the picture raises.
    warnings.filterwarnings("ignore", module="pydicom")
    try:
        _refuse_inflated(path, max_pixels * BYTES_A_PIXEL)
        dataset = pydicom.dcmread(path)
        _refuse_unfit(path, dataset, max_pixels)
        return _picture(dataset)
    except (pydicom.errors.InvalidDicomError, *_UNREADABLE) as error:
        reason = " ".join(str(error).split()).rstrip(".") or type(error).__name__
        raise ImageError(f"{path} cannot be decoded, it may be cut short or damaged ({reason}).") from None


_INSTALL = 'Install it with its decoders: pip install "cxr-report-bench[dicom]".'


def _refuse_inflated(path: Path, limit: int) -> None:
    """pydicom inflates a deflated file whole before anything can be known of it."""
    from pydicom.filereader import read_file_meta_info
    from pydicom.uid import DeflatedExplicitVRLittleEndian

    meta = read_file_meta_info(path)
    if meta.get("TransferSyntaxUID") != DeflatedExplicitVRLittleEndian:
        return
    with path.open("rb") as file:
        file.seek(PREAMBLE + meta.FileMetaInformationGroupLength)
        inflater = zlib.decompressobj(-zlib.MAX_WBITS)
        inflater.decompress(file.read(), limit)
    if inflater.unconsumed_tail:
        raise ImageError(f"{path} inflates to more than {limit / 1e6:.0f} MB, more than is plausible.", "huge")


def _refuse_unfit(path: Path, dataset: Any, max_pixels: int) -> None:
    from pydicom.encaps import get_frame
    from pydicom.pixels import get_decoder

    if "PixelData" not in dataset:
        what = dataset.get("Modality") or "no PixelData"
        raise ImageError(f"{path} is a DICOM file without a picture ({what}).", "no_picture")
    syntax = dataset.file_meta.TransferSyntaxUID
    sizes = [(dataset.Columns, dataset.Rows)]
    if syntax.is_encapsulated:
        sizes.append(_frame_size(get_frame(dataset.PixelData, 0, number_of_frames=dataset.get("NumberOfFrames") or 1)))
    for width, height in sizes:
        if width * height > max_pixels:
            raise ImageError(f"{path} claims {width} × {height} pixels, more than is plausible.", "huge")
    if not get_decoder(syntax).is_available:
        raise ImageError(f"{path} holds {syntax.name}, for which no decoder is installed. {_INSTALL}", "no_decoder")


def _frame_size(frame: bytes) -> tuple[int, int]:
    """Width and height in a compressed picture's own header, which decoders go by; 0, 0 where it has none (RLE)."""
    if (start := frame.find(b"\xff\x4f\xff\x51", 0, 1024)) >= 0:
        right, lower, left, upper = struct.unpack_from(">4I", frame, start + 8)
        return right - left, lower - upper
    at = 2
    while frame[at : at + 1] == b"\xff":
        if frame[at + 1] in JPEG_FRAMES:
            height, width = struct.unpack_from(">2H", frame, at + 5)
            return width, height
        at += 2 + struct.unpack_from(">H", frame, at + 2)[0]
    return 0, 0


def _picture(dataset: Any) -> Image.Image:
    from pydicom.pixels import apply_color_lut, pixel_array

    pixels = pixel_array(dataset, index=0)
    bits = dataset.BitsStored
    if dataset.PhotometricInterpretation == "PALETTE COLOR":
        pixels, bits = apply_color_lut(pixels, dataset), dataset.RedPaletteColorLookupTableDescriptor[2]
    if pixels.ndim == 3:
        return Image.fromarray(_eight_bits(pixels / ((1 << bits) - 1))).convert("L")
    if bits > 16:
        raise ValueError(f"{bits} bits a pixel, where radiographs have up to 16")
    lowest = -(1 << bits - 1) if dataset.PixelRepresentation else 0
    stored = np.arange(lowest, lowest + (1 << bits))
    table = _eight_bits(_brightness(stored, dataset))
    table[_is_padding(stored, dataset)] = 0
    return Image.fromarray(table.take(pixels.astype(np.int32) - lowest, mode="clip"))


def _eight_bits(brightness: np.ndarray) -> np.ndarray:
    return np.round(255 * np.clip(brightness, 0, 1)).astype(np.uint8)


def _brightness(stored: np.ndarray, dataset: Any) -> np.ndarray:
    """Of each stored value, from 0 for black to 1 for white."""
    if modality := dataset.get("ModalityLUTSequence"):
        values, depth = _look_up(stored, modality[0])
        low, high = 0.0, float((1 << depth) - 1)
    else:
        values = stored * float(dataset.get("RescaleSlope") or 1) + float(dataset.get("RescaleIntercept") or 0)
        low, high = values.min(), values.max()
    if voi := dataset.get("VOILUTSequence"):
        values, depth = _look_up(values, voi[0])
        shown = values / ((1 << depth) - 1)
    elif window := _window(dataset):
        shown = _windowed(values, *window, str(dataset.get("VOILUTFunction") or "LINEAR"))
    else:
        shown = (values - low) / (high - low)
    return 1 - np.clip(shown, 0, 1) if dataset.PhotometricInterpretation == "MONOCHROME1" else shown


def _look_up(values: np.ndarray, item: Any) -> tuple[np.ndarray, int]:
    """The entries of a LUT for values, and their depth in bits. Values outside take the nearest entry."""
    length, first, depth = item.LUTDescriptor
    entries = item.LUTData
    if isinstance(entries, bytes):  # OW: 16 bits each, or 8 bits packed
        entries = np.frombuffer(entries, np.uint8 if len(entries) < 2 * (length or 1 << 16) else np.dtype("<u2"))
    return np.asarray(entries).take(np.round(values).astype(int) - first, mode="clip"), depth


def _window(dataset: Any) -> tuple[float, float] | None:
    """Centre and width of the first window; None where there is none, or one without a width."""
    centre, width = (_first(dataset.get(name)) for name in ("WindowCenter", "WindowWidth"))
    return (centre, width) if centre is not None and width is not None and width > 0 else None


def _first(value: Any) -> float | None:
    from pydicom.multival import MultiValue

    if isinstance(value, MultiValue):
        value = value[0] if value else None
    return None if value in (None, "") else float(value)


def _windowed(values: np.ndarray, centre: float, width: float, function: str) -> np.ndarray:
    if function == "LINEAR":
        # Half a value and one value less: PS3.3 C.11.2.1.2.1. A window of width 1 is a step.
        return (values - (centre - 0.5)) / max(width - 1, 1e-6) + 0.5
    if function == "LINEAR_EXACT":
        return (values - centre) / width + 0.5
    if function == "SIGMOID":
        return 1 / (1 + np.exp(np.clip(-4 * (values - centre) / width, -500, 500)))
    raise ValueError(f"the VOI LUT function {function} is unknown")


def _is_padding(stored: np.ndarray, dataset: Any) -> np.ndarray:
    value = dataset.get("PixelPaddingValue")
    if value is None:
        return np.zeros(len(stored), bool)
    ends = sorted((value, dataset.get("PixelPaddingRangeLimit", value)))
    return (stored >= ends[0]) & (stored <= ends[1])
