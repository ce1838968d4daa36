"""Odd and damaged image files, made on the spot."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmark import registry
from benchmark.errors import ImageError
from benchmark.images import Geometry, read_grey
from benchmark.speed import data

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


READERS = (read_grey, Geometry(32).read)


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize("side", [9_600, 14_000])
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_a_decompression_bomb_is_refused(tmp_path, side, read):
    path = save(Image.new("1", (side, side)), tmp_path / "x.png")
    with pytest.raises(ImageError, match="plausible"):
        read(path)


@pytest.mark.parametrize("read", READERS)
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_a_jpeg_that_claims_too_much_is_refused_before_it_is_decoded(tmp_path, read):
    content = bytearray(save(ramp(), tmp_path / "x.jpg").read_bytes())
    frame = content.index(b"\xff\xc0") + 5
    content[frame : frame + 4] = (12_000).to_bytes(2, "big") * 2
    (tmp_path / "x.jpg").write_bytes(content)
    with pytest.raises(ImageError, match="claims 12000 × 12000 pixels"):
        read(tmp_path / "x.jpg")


# --- the square --------------------------------------------------------------------------------------------------


def test_fit_pads_with_black_in_the_middle():
    fitted = Geometry(40).fit(Image.new("L", (100, 50), 200))
    assert fitted.dtype == np.uint8 and fitted.shape == (40, 40) and fitted.flags.writeable
    assert (fitted[10:30] == 200).all() and not fitted[:10].any() and not fitted[30:].any()


def test_fit_squashes_where_told():
    assert (Geometry(40, keep_aspect=False).fit(Image.new("L", (100, 50), 200)) == 200).all()


@pytest.mark.parametrize("size", [(1, 5000), (5000, 1), (1, 1)])
def test_fit_takes_any_shape(size, tmp_path):
    assert Geometry(32).fit(Image.new("L", size, 9)).shape == (32, 32)
    assert Geometry(32).read(save(Image.new("L", size, 9), tmp_path / "x.jpg")).shape == (32, 32)


@pytest.mark.parametrize("keep_aspect", [True, False])
def test_fit_flips_nothing(keep_aspect):
    image = np.zeros((60, 80), np.uint8)
    image[:30, :40] = 255
    fitted = Geometry(32, keep_aspect).fit(Image.fromarray(image))
    rows, columns = np.nonzero(fitted > 128)
    assert rows.mean() < 15 and columns.mean() < 15


def by_pillow(path: Path, size: int) -> np.ndarray:
    """The square with the aspect kept, by Pillow alone: all of the picture is decoded, then resized."""
    with Image.open(path) as image:
        grey = image.convert("L")
    width, height = (max(1, round(side * size / max(grey.size))) for side in grey.size)
    square = Image.new("L", (size, size))
    square.paste(grey.resize((width, height), Image.Resampling.BILINEAR), ((size - width) // 2, (size - height) // 2))
    return np.asarray(square)


def distance(one: np.ndarray, other: np.ndarray) -> float:
    """Mean, in grey levels."""
    return float(np.abs(one.astype(int) - other).mean())


@pytest.mark.parametrize("mode", ["L", "RGB"])
@pytest.mark.parametrize("size", [(160, 131), (120, 160), (360, 300), (96, 96), (40, 30)])
def test_a_small_picture_is_what_pillow_makes_of_it_to_the_bit(tmp_path, size, mode):
    """The committed leaderboard was made so: of 160 pixels, 96."""
    noise = np.random.default_rng(1).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    path = save(Image.fromarray(noise).convert(mode), tmp_path / "x.jpg", quality=90)
    assert np.array_equal(Geometry(96).read(path), by_pillow(path, 96))


def test_phantom_pictures_come_out_as_before(tmp_path):
    plugin = registry.DATASETS.load("phantom")
    plugin.provide(tmp_path, n_train=2, n_validate=1, n_test=1)
    for study in plugin(tmp_path).studies("train"):
        for view in study.views:
            assert np.array_equal(Geometry(96).read(view.path), by_pillow(view.path, 96))


@pytest.fixture(scope="module")
def film(tmp_path_factory) -> Path:
    """A JPEG of 2,500 × 3,000 pixels with edges, thin lines and fine noise."""
    folder = tmp_path_factory.mktemp("film")
    return data.make_films(folder, 1, 2500, 3000)[0]


@pytest.mark.parametrize("size", [96, 160, 224, 256, 384, 448, 512])
@pytest.mark.parametrize("keep_aspect", [True, False])
def test_a_large_jpeg_is_decoded_small_and_looks_the_same(film, size, keep_aspect):
    geometry = Geometry(size, keep_aspect)
    small, whole = geometry.read(film), geometry.fit(read_grey(film))
    assert 0 < distance(small, whole) < 0.5
    assert np.abs(small.astype(int) - whole).max() <= 10


@pytest.mark.parametrize("size", [48, 96, 128, 160])
def test_real_radiographs_decoded_small_look_the_same(size):
    folder = Path(__file__).parents[2].parent / "shared" / "cxr_images"
    paths = sorted(folder.glob("*.jpg"))
    if not paths:
        pytest.skip("the real radiographs are not here")
    assert np.mean([distance(Geometry(size).read(path), by_pillow(path, size)) for path in paths]) < 0.5


@pytest.mark.parametrize("options", [{"progressive": True}, {"optimize": True}, {"quality": 50}])
@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_every_kind_of_jpeg_can_be_decoded_small(tmp_path, mode, options):
    shades = Image.fromarray(RAMP).resize((1203, 901)).convert("RGB").convert(mode)
    path = save(shades, tmp_path / "x.jpg", **{"quality": 95, **options})
    assert distance(Geometry(96).read(path), by_pillow(path, 96)) < 0.5


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("size", [(1203, 901), (200, 151)])
def test_exif_orientation_of_a_jpeg_that_is_decoded_small(tmp_path, orientation, size):
    corner = np.full((size[1], size[0]), 40, np.uint8)
    corner[: size[1] // 3, : size[0] // 4] = 220
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = save(Image.fromarray(corner), tmp_path / "x.jpg", quality=95, exif=exif)
    geometry = Geometry(96)
    read, whole = geometry.read(path), geometry.fit(read_grey(path))
    assert distance(read, whole) < 0.5
    assert distance(read, geometry.fit(Image.fromarray(corner))) > 5 or orientation == 1
    if size == (200, 151):
        assert np.abs(read.astype(int) - whole).max() <= 1


@pytest.mark.parametrize("share", [0.3, 0.9])
def test_a_large_jpeg_that_is_cut_short_is_found_out(tmp_path, film, share):
    content = film.read_bytes()
    path = tmp_path / "cut.jpg"
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(ImageError, match="cut short"):
        Geometry(384).read(path)


def test_other_formats_are_read_whole(tmp_path):
    path = save(Image.fromarray(RAMP.astype(np.uint16) * 16).resize((640, 480)), tmp_path / "x.png")
    assert np.array_equal(Geometry(32).read(path), Geometry(32).fit(read_grey(path)))
