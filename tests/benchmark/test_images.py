"""Odd and damaged image files, made on the spot."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmark.images import ImageError, fit, read_grey

RAMP = np.tile(np.arange(0, 256, 4, dtype=np.uint8), (48, 1))
"""48 rows of 64 grey values from 0 to 252, brighter to the right."""


def save(image: Image.Image, path: Path, **options: object) -> Path:
    image.save(path, **options)
    return path


def ramp() -> Image.Image:
    return Image.fromarray(RAMP)


@pytest.mark.parametrize("name", ["x.png", "x.jpg", "x.bmp", "x.tif", "x.gif"])
def test_eight_bits_stay_as_they_are(tmp_path, name):
    read = read_grey(save(ramp(), tmp_path / name))
    assert read.mode == "L"
    assert np.abs(np.asarray(read).astype(int) - RAMP).max() <= (3 if name == "x.jpg" else 0)


def test_rgb_of_equal_channels_is_its_grey(tmp_path):
    assert np.array_equal(read_grey(save(ramp().convert("RGB"), tmp_path / "x.png")), RAMP)


def test_cmyk(tmp_path):
    read = read_grey(save(ramp().convert("RGB").convert("CMYK"), tmp_path / "x.jpg", quality=95))
    assert np.abs(np.asarray(read).astype(int) - RAMP).max() <= 6


def test_one_bit(tmp_path):
    read = read_grey(save(Image.fromarray(RAMP > 100), tmp_path / "x.png"))
    assert np.array_equal(read, np.where(RAMP > 100, 255, 0))


@pytest.mark.parametrize("factor", [16, 257])
def test_twelve_and_sixteen_bits_are_scaled_not_clipped(tmp_path, factor):
    read = np.asarray(read_grey(save(Image.fromarray(RAMP.astype(np.uint16) * factor), tmp_path / "x.png")))
    assert np.abs(read - RAMP * (255 / 252)).max() <= 1


@pytest.mark.parametrize("kind", [np.int32, np.float32])
def test_long_integers_and_floats_are_scaled(tmp_path, kind):
    read = np.asarray(read_grey(save(Image.fromarray(RAMP.astype(kind) * 30 - 1000), tmp_path / "x.tif")))
    assert np.abs(read - RAMP * (255 / 252)).max() <= 1


def test_float_that_is_not_a_number_is_black(tmp_path):
    values = RAMP.astype(np.float32)
    values[0, 60] = np.nan
    assert np.asarray(read_grey(save(Image.fromarray(values), tmp_path / "x.tif")))[0, 60] == 0


def test_sixteen_bits_of_one_value_are_black(tmp_path):
    path = save(Image.fromarray(np.full((8, 8), 3000, np.uint16)), tmp_path / "x.png")
    assert not np.asarray(read_grey(path)).any()


def test_an_inverted_palette_is_looked_up(tmp_path):
    image = Image.fromarray(255 - RAMP).convert("P")
    image.putpalette([255 - i for i in range(256) for _ in range(3)])
    assert np.array_equal(read_grey(save(image, tmp_path / "x.png")), RAMP)


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_what_is_transparent_becomes_black(tmp_path, mode):
    image = Image.fromarray(np.full((48, 64), 200, np.uint8)).convert(mode)
    image.putalpha(Image.fromarray(np.where(RAMP > 100, 255, 0).astype(np.uint8)))
    assert np.array_equal(read_grey(save(image, tmp_path / "x.png")), np.where(RAMP > 100, 200, 0))


def test_a_transparent_palette_colour_becomes_black(tmp_path):
    image = Image.new("P", (8, 8), 1)
    image.putpalette([255] * 6)
    image.putpixel((0, 0), 0)
    read = np.asarray(read_grey(save(image, tmp_path / "x.png", transparency=0)))
    assert read[0, 0] == 0 and read[1, 1] == 255


def test_exif_orientation_is_applied(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # shown turned by 90° clockwise
    read = np.asarray(read_grey(save(ramp(), tmp_path / "x.png", exif=exif)))
    assert np.array_equal(read, np.rot90(RAMP, -1))


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif", "bmp", "gif"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_cut_short(tmp_path, suffix, share):
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (90, 90), dtype=np.uint8))
    whole = save(noise, tmp_path / f"whole.{suffix}").read_bytes()
    path = tmp_path / f"cut.{suffix}"
    path.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(ImageError, match=r"cut\."):
        read_grey(path)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "empty"),
        (b"<!DOCTYPE html><html>Please log in</html>", "web page"),
        (b"File not found\n", "text instead"),
        (b"\x00\x01\x02\xff" * 50, "no image"),
        (b"\x89PNG\r\n\x1a\n", "no image"),
        (b"\xff\xd8\xff\xe0", "no image"),
    ],
)
def test_no_image(tmp_path, content, words):
    path = tmp_path / "x.jpg"
    path.write_bytes(content)
    with pytest.raises(ImageError, match=words) as caught:
        read_grey(path)
    assert str(path) in str(caught.value) and str(caught.value).endswith(".")


def test_damaged_inside(tmp_path):
    content = bytearray(save(ramp(), tmp_path / "x.png").read_bytes())
    middle = content.index(b"IDAT") + 10
    content[middle : middle + 8] = b"\xff" * 8
    (tmp_path / "x.png").write_bytes(content)
    with pytest.raises(ImageError, match="damaged"):
        read_grey(tmp_path / "x.png")


def test_missing_and_folder(tmp_path):
    with pytest.raises(ImageError, match="does not exist"):
        read_grey(tmp_path / "none.png")
    with pytest.raises(ImageError):
        read_grey(tmp_path)


@pytest.mark.parametrize("side", [9_600, 14_000])
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_a_decompression_bomb_is_refused(tmp_path, side):
    path = save(Image.new("1", (side, side)), tmp_path / "x.png")
    with pytest.raises(ImageError, match="plausible"):
        read_grey(path)


def test_fit_pads_with_black_in_the_middle():
    fitted = fit(Image.new("L", (100, 50), 200), 40)
    assert fitted.dtype == np.uint8 and fitted.shape == (40, 40)
    assert (fitted[10:30] == 200).all() and not fitted[:10].any() and not fitted[30:].any()


def test_fit_squashes_where_told():
    assert (fit(Image.new("L", (100, 50), 200), 40, keep_aspect=False) == 200).all()


@pytest.mark.parametrize("size", [(1, 5000), (5000, 1), (1, 1)])
def test_fit_takes_any_shape(size):
    assert fit(Image.new("L", size, 9), 32).shape == (32, 32)


@pytest.mark.parametrize("keep_aspect", [True, False])
def test_fit_flips_nothing(keep_aspect):
    image = np.zeros((60, 80), np.uint8)
    image[:30, :40] = 255
    fitted = fit(Image.fromarray(image), 32, keep_aspect)
    rows, columns = np.nonzero(fitted > 128)
    assert rows.mean() < 15 and columns.mean() < 15
