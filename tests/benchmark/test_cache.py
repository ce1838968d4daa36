"""The image cache: what it holds, when it is made, and what a kill or a full disk leaves."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from PIL import Image

from benchmark import cache, registry, store, train
from benchmark.contracts import Model
from benchmark.errors import ImageError, UserError
from benchmark.images import Geometry

GEOMETRY = Geometry(24)


def make_images(folder: Path, n: int, side: int = 40) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{i}.png" for i in range(n)]
    for i, path in enumerate(paths):
        noise = np.random.default_rng(i).integers(0, 256, (side, side + 9), dtype=np.uint8)
        Image.fromarray(noise).save(path)
    return paths


def open_images(
    folder: Path, paths: list[Path], geometry: Geometry = GEOMETRY, processes: int = 1
) -> tuple[cache.CachedImages, list[str]]:
    lines: list[str] = []
    return cache.open_images(folder, paths, geometry, lines.append, processes), lines


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> tuple[Path, list[Path], cache.CachedImages]:
    """A cache of a few images, which no test changes."""
    folder = tmp_path_factory.mktemp("made")
    paths = make_images(folder / "images", 7)
    return folder, paths, open_images(folder / "cache", paths)[0]


def test_it_holds_what_reading_the_files_gives(made):
    _, paths, images = made
    for path in reversed(paths):
        assert np.array_equal(images(path), GEOMETRY.read(path))


def test_a_square_is_the_callers_own(made):
    _, paths, images = made
    images(paths[0])[:] = 0
    assert np.array_equal(images(paths[0]), GEOMETRY.read(paths[0]))


def test_a_copy_for_another_process_is_small_and_reads_the_same(made):
    _, paths, images = made
    images(paths[0])
    sent = pickle.dumps(images)
    assert len(sent) < 1000
    assert np.array_equal(pickle.loads(sent)(paths[3]), images(paths[3]))


def test_several_processes_make_the_same(made, tmp_path, monkeypatch):
    _, paths, images = made
    monkeypatch.setattr(cache, "IMAGES_A_PROCESS", 2)
    several, _ = open_images(tmp_path, paths, processes=3)
    assert several.folder.name == images.folder.name
    for name in ("pixels.u8", "done.u8"):
        assert (several.folder / name).read_bytes() == (images.folder / name).read_bytes()


def test_it_is_made_once(made):
    folder, paths, images = made
    before = (images.folder / "pixels.u8").stat().st_mtime_ns
    again, lines = open_images(folder / "cache", [*paths, paths[0]])
    assert again.folder == images.folder and (images.folder / "pixels.u8").stat().st_mtime_ns == before
    assert lines == [f"Images come from the cache {images.folder} (7 of 24 × 24, 0 MB)."]


def test_the_key_is_what_determines_the_pixels(tmp_path):
    paths = [str(path) for path in make_images(tmp_path, 3)]
    key = cache._key(paths, GEOMETRY)
    keys = {
        key,
        cache._key(paths, Geometry(25)),
        cache._key(paths, Geometry(24, False)),
        cache._key(paths[:2], GEOMETRY),
    }
    os.utime(paths[1], ns=(0, 0))
    keys.add(cache._key(paths, GEOMETRY))
    os.utime(paths[1], ns=(0, 10**9))
    with open(paths[1], "ab") as file:
        file.write(b"more")
    os.utime(paths[1], ns=(0, 0))
    keys.add(cache._key(paths, GEOMETRY))
    os.unlink(paths[1])
    keys.add(cache._key(paths, GEOMETRY))
    assert len(keys) == 7
    assert cache._key(paths, GEOMETRY) == cache._key(paths, GEOMETRY)


def test_a_file_that_changed_is_read_anew(tmp_path):
    paths = make_images(tmp_path / "images", 2)
    open_images(tmp_path / "cache", paths)
    Image.new("L", (40, 40), 77).save(paths[1])
    images, _ = open_images(tmp_path / "cache", paths)
    assert (images(paths[1]) == 77).all()


def test_what_cannot_be_read_is_told_and_tried_again(tmp_path):
    paths = make_images(tmp_path / "images", 3)
    good = paths[1].read_bytes()
    paths[1].write_bytes(good[:50])
    when = paths[1].stat().st_mtime_ns
    images, lines = open_images(tmp_path / "cache", paths)
    assert lines[-1].startswith("1 of them cannot be read. The first: ") and "1.png" in lines[-1]
    with pytest.raises(ImageError, match=r"1\.png") as caught:
        images(paths[1])
    with pytest.raises(ImageError) as directly:
        GEOMETRY.read(paths[1])
    assert str(caught.value) == str(directly.value)
    assert np.array_equal(images(paths[2]), GEOMETRY.read(paths[2]))
    with pytest.raises(ImageError, match=r"1\.png"):
        pickle.loads(pickle.dumps(images))(paths[1])
    # As if what was missing were now installed: the same file, of the same size and time, can be read.
    paths[1].write_bytes(good)
    os.truncate(paths[1], len(good))
    os.utime(paths[1], ns=(when, when))
    again, lines = open_images(tmp_path / "cache", paths)
    assert len(lines) == 1 and np.array_equal(again(paths[1]), GEOMETRY.read(paths[1]))


def test_a_missing_file_is_named_and_others_are_there(tmp_path):
    paths = [*make_images(tmp_path / "images", 1), tmp_path / "none.png"]
    images, _ = open_images(tmp_path / "cache", paths)
    with pytest.raises(ImageError, match="none.png does not exist"):
        images(paths[1])
    assert images(paths[0]).shape == (24, 24)


# --- interruptions ----------------------------------------------------------------------------------------------

SCRIPT = """
    import sys
    from pathlib import Path
    from benchmark import cache
    from benchmark.images import Geometry
    if __name__ == "__main__":
        cache.SAVE_SECONDS = 0
        paths = sorted(Path({images!r}).glob("*.png"))
        cache.open_images(Path({folder!r}), paths, Geometry(24), print, 2)
"""


def test_killed_at_any_moment_it_goes_on_with_what_is_whole(tmp_path):
    paths = sorted(make_images(tmp_path / "images", 60, side=600))
    script = tmp_path / "script.py"
    script.write_text(textwrap.dedent(SCRIPT.format(images=str(tmp_path / "images"), folder=str(tmp_path / "cache"))))
    counts = []
    for at_least in (5, 20):
        process = subprocess.Popen([sys.executable, script], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 60
        while sum(np.fromfile(path, np.uint8).sum() for path in tmp_path.glob("cache/*/done.u8")) < at_least:
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.001)
        process.send_signal(signal.SIGKILL)
        process.wait()
        (folder,) = (tmp_path / "cache").iterdir()
        done = np.fromfile(folder / "done.u8", np.uint8)
        squares = np.fromfile(folder / "pixels.u8", np.uint8).reshape(-1, 24, 24)
        for i in np.flatnonzero(done):
            assert np.array_equal(squares[i], GEOMETRY.read(paths[i]))
        counts.append(int(done.sum()))
    assert 5 <= counts[0] < counts[1] < 60, "the kill came too late to show anything"
    # What is done is not done again: a square that was spoilt on purpose stays so.
    (folder / "pixels.u8").write_bytes(bytes(60 * 24 * 24))
    images, _ = open_images(tmp_path / "cache", paths)
    again = [bool(images(path).any()) for path in paths]
    assert [not there for there in done] == again


def test_a_worker_that_is_killed_is_an_error_and_the_next_call_goes_on(tmp_path, monkeypatch):
    paths = make_images(tmp_path / "images", 40, side=400)
    monkeypatch.setattr(cache, "SAVE_SECONDS", 0)
    real = cache._save

    def kill_first(*arguments):
        for child in multiprocessing.active_children():
            os.kill(child.pid, signal.SIGKILL)
        return real(*arguments)

    monkeypatch.setattr(cache, "_save", kill_first)
    with pytest.raises(UserError, match="ended from outside.*goes on"):
        open_images(tmp_path / "cache", paths)
    monkeypatch.setattr(cache, "_save", real)
    images, _ = open_images(tmp_path / "cache", paths)
    assert all(np.array_equal(images(path), GEOMETRY.read(path)) for path in paths)


def test_an_interrupt_ends_the_workers_and_keeps_what_is_done(tmp_path, monkeypatch):
    paths = make_images(tmp_path / "images", 40, side=400)
    monkeypatch.setattr(cache, "SAVE_SECONDS", 0)

    def interrupt(pixels, done, made, real=cache._save):
        real(pixels, done, made)
        monkeypatch.setattr(cache, "_save", real)
        raise KeyboardInterrupt

    monkeypatch.setattr(cache, "_save", interrupt)
    with pytest.raises(KeyboardInterrupt):
        open_images(tmp_path / "cache", paths)
    assert not multiprocessing.active_children()
    (folder,) = (tmp_path / "cache").iterdir()
    assert 1 <= np.fromfile(folder / "done.u8", np.uint8).sum() < 40
    open_images(tmp_path / "cache", paths)


@pytest.mark.parametrize("file", ["pixels.u8", "done.u8"])
def test_a_cache_that_was_cut_short_is_made_anew(tmp_path, file):
    paths = make_images(tmp_path / "images", 3)
    images, _ = open_images(tmp_path / "cache", paths)
    os.truncate(images.folder / file, 2)
    again, _ = open_images(tmp_path / "cache", paths)
    assert all(np.array_equal(again(path), GEOMETRY.read(path)) for path in paths)


def test_one_process_makes_it_at_a_time(tmp_path):
    paths = make_images(tmp_path / "images", 2)
    folder = tmp_path / "cache" / cache._key([str(path) for path in paths], GEOMETRY)
    with store.exclusive(folder, "testing"), pytest.raises(UserError, match="making the image cache"):
        open_images(tmp_path / "cache", paths)
    open_images(tmp_path / "cache", paths)
    with store.exclusive(folder, "testing"):  # a whole one is read by as many as like
        open_images(tmp_path / "cache", paths)


# --- the disk ---------------------------------------------------------------------------------------------------


def test_a_disk_that_is_too_small_is_told_beforehand(tmp_path, monkeypatch):
    paths = make_images(tmp_path / "images", 5)
    usage = type("Usage", (), {"free": 2 * 24 * 24})
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage)
    with pytest.raises(UserError, match=r"takes 2.9e-06 GB more .* only 1.2e-06 GB free"):
        open_images(tmp_path / "cache", paths)
    (folder,) = (tmp_path / "cache").iterdir()
    assert not (folder / "pixels.u8").exists()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_disk_that_becomes_full_is_a_sentence(tmp_path, monkeypatch):
    monkeypatch.setattr("signal.signal", lambda *_: None)  # a worker's own business; this is the test's process
    paths = make_images(tmp_path / "images", 2)
    ours, theirs = multiprocessing.Pipe(duplex=False)
    cache._work(Path("/dev/full"), list(enumerate(paths)), GEOMETRY, theirs)
    told = ours.recv()
    assert isinstance(told, UserError) and "No space left" in str(told) and "goes on" in str(told)
    theirs.close()
    with pytest.raises(EOFError):  # it does not go on
        ours.recv()


# --- in training ------------------------------------------------------------------------------------------------


class Looker(Model):
    """Remembers what it was shown."""

    seen: ClassVar[list[np.ndarray]] = []

    @classmethod
    def train(cls, job):
        paths = [view.path for example in [*job.train, *job.validation] for view in example.study.views]
        read = job.images(paths, GEOMETRY)
        cls.seen += [read(path) for path in paths]

    @classmethod
    def load(cls, checkpoint, device):
        return cls()

    def generate(self, studies, settings, seeds):
        return []


def test_training_is_given_the_cache(tmp_path, monkeypatch):
    monkeypatch.setattr(Looker, "seen", [])
    plugin = registry.DATASETS.load("phantom")
    plugin.provide(tmp_path / "data", n_train=3, n_validate=2, n_test=1, long_side=64)
    data = plugin(tmp_path / "data")
    recipe = train.Recipe("looker", "default", data.name, 0, {})
    train.train(Looker, recipe, data, tmp_path / "results", device="cpu")
    paths = [view.path for split in ("train", "validate") for study in data.studies(split) for view in study.views]
    assert len(Looker.seen) == len(paths) >= 5
    assert all(np.array_equal(seen, GEOMETRY.read(path)) for seen, path in zip(Looker.seen, paths, strict=True))
    (folder,) = (tmp_path / "results" / "cache").iterdir()
    assert np.fromfile(folder / "done.u8", np.uint8).all()
