"""DICOM files written with pydicom, and those that come with it; expected values from pydicom's own functions."""

from __future__ import annotations

import struct
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest

from benchmark import _dicom
from benchmark.errors import ImageError
from benchmark.images import Geometry, read_grey

pydicom = pytest.importorskip("pydicom")

from pydicom.dataset import Dataset, FileMetaDataset  # noqa: E402
from pydicom.pixels import apply_modality_lut, apply_voi_lut, apply_windowing, pixel_array  # noqa: E402
from pydicom.uid import (  # noqa: E402
    DeflatedExplicitVRLittleEndian,
    DigitalXRayImageStorageForPresentation,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLosslessSV1,
    RLELossless,
    generate_uid,
)

BUNDLED = Path(pydicom.__file__).parent / "data" / "test_files"
ROWS, COLUMNS = 40, 64


def values(bits: int, signed: bool = False) -> np.ndarray:
    """Every part of the range of the stored bits, dark above and bright below."""
    low = -(1 << bits - 1) if signed else 0
    ramp = np.linspace(low, low + (1 << bits) - 1, ROWS * COLUMNS).round()
    return ramp.reshape(ROWS, COLUMNS).astype(np.int16 if signed else np.uint16 if bits > 8 else np.uint8)


def dataset(pixels: np.ndarray, bits: int, syntax: str = ExplicitVRLittleEndian, **elements: object) -> Dataset:
    made = Dataset()
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = syntax
    made.SOPClassUID, made.SOPInstanceUID = DigitalXRayImageStorageForPresentation, generate_uid()
    made.Modality = "DX"
    made.Rows, made.Columns = pixels.shape[:2]
    made.SamplesPerPixel = 1
    made.PhotometricInterpretation = "MONOCHROME2"
    made.BitsAllocated = pixels.dtype.itemsize * 8
    made.BitsStored, made.HighBit = bits, bits - 1
    made.PixelRepresentation = int(pixels.dtype.kind == "i")
    made.PixelData = pixels.tobytes()
    for name, value in elements.items():
        setattr(made, name, value)
    return made


def save(made: Dataset, path: Path) -> Path:
    made.save_as(path, enforce_file_format=True)
    return path


def read(path: Path) -> np.ndarray:
    image = read_grey(path)
    assert image.mode == "L"
    return np.asarray(image).astype(int)


def by_pydicom(made: Dataset) -> np.ndarray:
    """pydicom's modality and VOI transformation, its output range as 0-255, MONOCHROME1 turned round."""
    shown = apply_voi_lut(apply_modality_lut(made.pixel_array, made), made).astype(float)
    ends = np.array([0, (1 << made.BitsStored) - 1]) - (1 << made.BitsStored - 1) * made.PixelRepresentation
    low, high = sorted(ends * float(made.get("RescaleSlope", 1)) + float(made.get("RescaleIntercept", 0)))
    if "VOILUTSequence" in made:
        low, high = 0, (1 << made.VOILUTSequence[0].LUTDescriptor[2]) - 1
    grey = np.round(255 * (shown - low) / (high - low))
    return 255 - grey if made.PhotometricInterpretation == "MONOCHROME1" else grey


# --- grey values ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize(("bits", "signed"), [(8, False), (10, False), (12, False), (14, False), (15, False),
                                              (16, False), (12, True), (16, True)])  # fmt: skip
def test_without_a_window_the_range_of_the_stored_bits_is_shown(tmp_path, bits, signed, photometric):
    pixels = values(bits, signed)
    grey = read(save(dataset(pixels, bits, PhotometricInterpretation=photometric), tmp_path / "x.dcm"))
    low = -(1 << bits - 1) if signed else 0
    expected = np.round(255 * (pixels.astype(float) - low) / ((1 << bits) - 1))
    if photometric == "MONOCHROME1":
        expected = 255 - expected
    assert np.abs(grey - expected).max() <= 1
    assert (grey.min(), grey.max()) == (0, 255)


def test_neither_the_allocated_bits_nor_the_values_that_occur_decide(tmp_path):
    """A faint 12-bit picture stays faint, and is not black either."""
    grey = read(save(dataset(values(12) // 4, 12), tmp_path / "x.dcm"))
    assert grey.max() == 64


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize(
    "elements",
    [
        {"WindowCenter": 1000, "WindowWidth": 1500},
        {"WindowCenter": [1000, 300], "WindowWidth": [1500, 100]},
        {"WindowCenter": 1000, "WindowWidth": 1},
        {"WindowCenter": 1000, "WindowWidth": 1500, "VOILUTFunction": "LINEAR_EXACT"},
        {"WindowCenter": 1000, "WindowWidth": 1500, "VOILUTFunction": "SIGMOID"},
        {"RescaleSlope": 2, "RescaleIntercept": -1000, "RescaleType": "US"},
        {"RescaleSlope": "0.5", "RescaleIntercept": 100, "WindowCenter": 900, "WindowWidth": 700},
    ],
)
def test_rescale_and_window_are_pydicoms(tmp_path, photometric, signed, elements):
    made = dataset(values(12, signed), 12, PhotometricInterpretation=photometric, **elements)
    assert np.abs(read(save(made, tmp_path / "x.dcm")) - by_pydicom(made)).max() <= 1


def test_a_negative_slope_turns_the_picture_round(tmp_path):
    rising = read(save(dataset(values(12), 12), tmp_path / "a.dcm"))
    falling = read(save(dataset(values(12), 12, RescaleSlope=-1, RescaleIntercept=0), tmp_path / "b.dcm"))
    assert np.abs(falling - (255 - rising)).max() <= 1


@pytest.mark.parametrize(
    "elements", [{"WindowCenter": 0, "WindowWidth": 0}, {"WindowCenter": None, "WindowWidth": None}]
)
def test_a_window_without_width_is_none(tmp_path, elements):
    plain = read(save(dataset(values(12), 12), tmp_path / "a.dcm"))
    assert np.array_equal(read(save(dataset(values(12), 12, **elements), tmp_path / "b.dcm")), plain)


def lut(entries: np.ndarray, first: int, depth: int) -> Dataset:
    item = Dataset()
    item.LUTDescriptor = [len(entries), first, depth]
    item.LUTData = entries.astype(np.uint16).tobytes()
    item["LUTData"].VR = "OW"
    return item


CURVE = np.linspace(0, 1, 3000) ** 0.5
"""From 500 on, so that values lie outside on both sides."""


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
@pytest.mark.parametrize("depth", [10, 12, 16])
def test_a_voi_lut_is_pydicoms(tmp_path, depth, syntax, photometric):
    table = lut(CURVE * ((1 << depth) - 1), 500, depth)
    window = {"WindowCenter": 100, "WindowWidth": 10}  # pydicom and we prefer the table
    made = dataset(values(12), 12, syntax, VOILUTSequence=[table], PhotometricInterpretation=photometric, **window)
    assert np.abs(read(save(made, tmp_path / "x.dcm")) - by_pydicom(made)).max() <= 1


@pytest.mark.parametrize("packed", [True, False])
def test_a_voi_lut_of_eight_bits_on_a_picture_of_twelve(tmp_path, packed):
    """pydicom 3 cannot do this one: its index has the type of the output."""
    table = lut(CURVE * 255, 500, 8)
    if packed:
        table.LUTData = (CURVE * 255).astype(np.uint8).tobytes()
    grey = read(save(dataset(values(12), 12, VOILUTSequence=[table]), tmp_path / "x.dcm"))
    expected = 255 * CURVE[np.clip(values(12).astype(int) - 500, 0, 2999)]
    assert np.abs(grey - expected).max() <= 1


def test_a_modality_lut_comes_before_the_window(tmp_path):
    table = lut(CURVE * 65535, 500, 16)
    table.ModalityLUTType = "OD"
    made = dataset(values(12), 12, ModalityLUTSequence=[table], WindowCenter=32000, WindowWidth=20000)
    shown = apply_windowing(apply_modality_lut(made.pixel_array, made), made)
    assert np.abs(read(save(made, tmp_path / "x.dcm")) - np.round(255 * shown / 65535)).max() <= 1


@pytest.mark.parametrize("limit", [None, 20])
def test_padding_is_black_in_monochrome1_too(tmp_path, limit):
    pixels = values(12)
    pixels[:, :9], pixels[:, 9:12] = 0, 15
    made = dataset(pixels, 12, PhotometricInterpretation="MONOCHROME1")
    made.add_new("PixelPaddingValue", "US", 0)
    if limit:
        made.add_new("PixelPaddingRangeLimit", "US", limit)
    grey = read(save(made, tmp_path / "x.dcm"))
    assert not grey[:, :9].any()
    assert (grey[:, 9:12] == (0 if limit else 254)).all()


def test_bits_above_the_stored_ones_are_not_looked_at(tmp_path):
    """Old files keep an overlay there."""
    made = dataset(values(12) | 0x5000, 12)
    assert np.array_equal(read(save(made, tmp_path / "x.dcm")), read(save(dataset(values(12), 12), tmp_path / "y.dcm")))


# --- colour, frames, transfer syntaxes --------------------------------------------------------------------------


def test_colour_becomes_its_luminance(tmp_path):
    pixels = np.zeros((ROWS, COLUMNS, 3), np.uint8)
    pixels[..., 0], pixels[..., 1] = 200, 50
    made = dataset(pixels, 8, PhotometricInterpretation="RGB", SamplesPerPixel=3, PlanarConfiguration=0)
    assert (read(save(made, tmp_path / "x.dcm")) == round(0.299 * 200 + 0.587 * 50)).all()


def test_of_several_frames_the_first_is_taken(tmp_path):
    made = dataset(values(12), 12, NumberOfFrames=3)
    made.PixelData = b"".join(frame.tobytes() for frame in (values(12), values(12) // 2, values(12) // 4))
    assert read(save(made, tmp_path / "x.dcm")).max() == 255


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian])
def test_uncompressed_syntaxes(tmp_path, syntax):
    plain = read(save(dataset(values(12), 12), tmp_path / "a.dcm"))
    assert np.array_equal(read(save(dataset(values(12), 12, syntax), tmp_path / "b.dcm")), plain)


@pytest.mark.parametrize("syntax", [RLELossless, JPEG2000Lossless])
@pytest.mark.parametrize("bits", [8, 12, 16])
def test_compressed_without_loss(tmp_path, syntax, bits):
    made = dataset(values(bits), bits, WindowCenter=100, WindowWidth=120)
    plain = read(save(made, tmp_path / "a.dcm"))
    made.compress(syntax)
    assert np.array_equal(read(save(made, tmp_path / "b.dcm")), plain)


def window_of(name: str) -> np.ndarray:
    """A bundled picture as pydicom shows it: colour as luminance, grey through its window or the stored bits."""
    made = pydicom.dcmread(BUNDLED / name)
    pixels = pixel_array(made, index=0).astype(float)
    if pixels.ndim == 3:
        return pixels @ (0.299, 0.587, 0.114) * 255 / ((1 << made.BitsStored) - 1)
    return by_pydicom(made)


@pytest.mark.parametrize(
    "name",
    [
        "JPGExtended.dcm",  # JPEG of 12 bits
        "SC_rgb_dcmtk_+eb+cr.dcm",  # JPEG baseline, RGB
        "SC_rgb_dcmtk_+eb+cy+np.dcm",  # JPEG baseline, YBR
        "SC_rgb_jpeg_gdcm.dcm",  # JPEG lossless
        "693_J2KI.dcm",  # JPEG 2000, signed, 14 bits, window and rescale
        "MR_small_jpeg_ls_lossless.dcm",  # JPEG-LS
        "JPEGLSNearLossless_16.dcm",
        "MR_small_RLE.dcm",
        "MR_small_bigendian.dcm",
        "SC_rgb_rle_16bit_2frame.dcm",  # colour of 16 bits, two frames
        "image_dfl.dcm",  # deflated
        "examples_ybr_color.dcm",  # 30 frames
    ],
)
def test_files_that_come_with_pydicom(name):
    assert np.abs(read(BUNDLED / name) - window_of(name)).max() <= 1.5


def test_jpeg_lossless_and_baseline_have_decoders():
    """They are what the extra `dicom` is for."""
    for syntax in (JPEGLosslessSV1, JPEGBaseline8Bit):
        assert pydicom.pixels.get_decoder(syntax).is_available


def test_a_palette_is_looked_up():
    made = pydicom.dcmread(BUNDLED / "examples_palette.dcm")
    colours = pydicom.pixels.apply_color_lut(made.pixel_array, made) / 65535 * 255
    assert np.abs(read(BUNDLED / "examples_palette.dcm") - colours @ (0.299, 0.587, 0.114)).max() <= 1.5


# --- by its content, in the square ------------------------------------------------------------------------------


def test_the_content_decides_and_not_the_name(tmp_path):
    path = save(dataset(values(12), 12), tmp_path / "x")
    grey = read(path)
    assert np.array_equal(read(path.rename(tmp_path / "x.jpg")), grey)
    assert np.array_equal(Geometry(32).read(tmp_path / "x.jpg"), Geometry(32).fit(read_grey(tmp_path / "x.jpg")))


# --- what cannot be read ----------------------------------------------------------------------------------------


def refused(path: Path, words: str) -> None:
    with pytest.raises(ImageError, match=words) as caught:
        read_grey(path)
    sentence = str(caught.value)
    assert sentence.startswith(str(path)) and sentence.endswith(".") and "\n" not in sentence


@pytest.mark.parametrize("text", ["Not a picture.", "<html>Log in</html>"])
def test_text_that_is_named_dcm(tmp_path, text):
    (tmp_path / "x.dcm").write_text(text)
    refused(tmp_path / "x.dcm", "text instead|web page")


def test_no_picture_in_it(tmp_path):
    made = dataset(values(12), 12, Modality="SR")
    del made.PixelData
    refused(save(made, tmp_path / "x.dcm"), r"without a picture \(SR\)")
    refused(BUNDLED / "rtplan.dcm", "without a picture")


@pytest.mark.parametrize("missing", ["Rows", "BitsStored", "PhotometricInterpretation", "PixelRepresentation"])
def test_an_element_that_is_missing(tmp_path, missing):
    made = dataset(values(12), 12)
    delattr(made, missing)
    refused(save(made, tmp_path / "x.dcm"), "damaged")


@pytest.mark.parametrize("syntax", ["plain", RLELossless, JPEG2000Lossless, DeflatedExplicitVRLittleEndian])
@pytest.mark.parametrize("share", [0.05, 0.5, 0.95])
def test_cut_short(tmp_path, syntax, share):
    noise = np.random.default_rng(0).integers(0, 4096, (90, 90)).astype(np.uint16)
    made = dataset(noise, 12, syntax if syntax == DeflatedExplicitVRLittleEndian else ExplicitVRLittleEndian)
    if syntax in (RLELossless, JPEG2000Lossless):
        made.compress(syntax)
    whole = save(made, tmp_path / "whole.dcm").read_bytes()
    (tmp_path / "cut.dcm").write_bytes(whole[: int(len(whole) * share)])
    refused(tmp_path / "cut.dcm", "cut short|without a picture|only the beginning")


def test_the_mark_and_nothing_else(tmp_path):
    (tmp_path / "x.dcm").write_bytes(bytes(128) + b"DICM")
    refused(tmp_path / "x.dcm", "damaged|without a picture")


def test_a_bomb_is_refused_before_it_is_decoded(tmp_path):
    made = dataset(values(8), 8, Rows=60_000, Columns=60_000)
    refused(save(made, tmp_path / "x.dcm"), "claims 60000 × 60000 pixels")


def test_what_the_compressed_picture_says_of_its_size_counts_too(tmp_path):
    made = dataset(values(8), 8)
    made.compress(JPEG2000Lossless)
    made.PixelData = made.PixelData.replace(
        struct.pack(">4I", COLUMNS, ROWS, 0, 0), struct.pack(">4I", 50_000, 60_000, 0, 0), 1
    )
    refused(save(made, tmp_path / "x.dcm"), "claims 50000 × 60000 pixels")


@pytest.mark.parametrize(
    "name", ["JPGExtended", "SC_rgb_jpeg_gdcm", "MR_small_jpeg_ls_lossless", "693_J2KI", "MR_small_RLE"]
)
def test_the_size_in_compressed_pictures_is_found(name):
    made = pydicom.dcmread(BUNDLED / f"{name}.dcm")
    expected = (0, 0) if "RLE" in name else (made.Columns, made.Rows)
    assert _dicom._frame_size(pydicom.encaps.get_frame(made.PixelData, 0, number_of_frames=1)) == expected


def test_a_deflated_bomb_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("benchmark.images.MAX_PIXELS", 10_000)
    path = save(dataset(values(12), 12, DeflatedExplicitVRLittleEndian), tmp_path / "x.dcm")
    content = path.read_bytes()
    length = 144 + struct.unpack("<I", content[140:144])[0]
    bomb = zlib.compressobj(wbits=-15)
    path.write_bytes(content[:length] + bomb.compress(bytes(50_000)) + bomb.flush())
    refused(path, "inflates to more than")


def test_more_than_sixteen_bits_are_refused():
    refused(BUNDLED / "rtdose_1frame.dcm", "32 bits a pixel")


def test_an_unknown_function_is_refused(tmp_path):
    made = dataset(values(12), 12, WindowCenter=9, WindowWidth=9, VOILUTFunction="MAGIC")
    refused(save(made, tmp_path / "x.dcm"), "MAGIC is unknown")


def test_without_pydicom_the_sentence_says_how_to_get_it(tmp_path, monkeypatch):
    path = save(dataset(values(12), 12), tmp_path / "x.dcm")
    monkeypatch.setitem(sys.modules, "pydicom", None)
    refused(path, r'pip install "cxr-report-bench\[dicom\]"')


def test_without_a_decoder_the_sentence_says_how_to_get_it(tmp_path, monkeypatch):
    made = dataset(values(12), 12)
    made.compress(JPEG2000Lossless)
    path = save(made, tmp_path / "x.dcm")
    monkeypatch.setattr(pydicom.pixels.get_decoder(JPEG2000Lossless), "_available", {})
    refused(path, r'JPEG 2000.*no decoder.*pip install "cxr-report-bench\[dicom\]"')
