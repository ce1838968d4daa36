"""Several processes on this machine's processors: the same training and predictions as one, and what a kill leaves."""

from __future__ import annotations

import csv
import json
import os
import re
import signal
import subprocess
import sys
import time

import pytest

from benchmark import launch, processes, registry
from benchmark.errors import UserError
from benchmark.schema import Prediction
from benchmark.store import RunFolder

BENCH = "import sys; sys.argv[0] = 'bench'; from benchmark.cli import main; main()"
SETTINGS = """epochs=3 freeze_batch_norm=true batch_size=8 accumulation=2 save_every=1 width=32 heads=2 layers=1
encoder=test_resnet.r160_in1k encoder_args={} image_size=32 vocabulary=300""".split()
TRAIN = ["train", "vgpt2", *(word for setting in SETTINGS for word in ("--set", setting))]


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Of 33 studies the last of three steps has one, so that a process of two has none."""
    folder = tmp_path_factory.mktemp("phantom") / "data"
    registry.DATASETS.load("phantom").provide(folder, n_train=33, n_validate=7, n_test=1, long_side=64)
    return folder


def start(results, root, *arguments):
    command = [sys.executable, "-P", "-c", BENCH, *arguments, "--dataset", "phantom", "--root", str(root)]
    environment = {**os.environ, "BENCH_RESULTS": str(results), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, cwd=root.parent, env=environment, stderr=subprocess.PIPE, text=True)


def bench(results, root, *arguments):
    process = start(results, root, *arguments)
    said = process.communicate(timeout=300)[1]
    return process.returncode, said


def checkpoint(results):
    (found,) = (results / "checkpoints" / "vgpt2").iterdir()
    return found


def losses(results):
    with (checkpoint(results) / "history.csv").open(newline="") as file:
        return [float(row[key]) for row in csv.DictReader(file) for key in ("train_loss", "validation_loss")]


def predictions(results):
    (file,) = results.glob("runs/*/*/*/*/predictions.jsonl")
    return [{**json.loads(line), "seconds": 0} for line in file.read_text().splitlines()]


@pytest.fixture(scope="module")
def alone(root, tmp_path_factory, call_bench):
    """Results of one process."""
    results, data = tmp_path_factory.mktemp("alone"), ("--dataset", "phantom", "--root", root)
    assert call_bench(results, *TRAIN, *data)[0] == 0
    assert call_bench(results, "generate", "vgpt2", "--max-new-tokens", "12", "--batch-size", "2", *data)[0] == 0
    return results


@pytest.fixture(scope="module")
def killed(root, tmp_path_factory):
    """Results of two processes of which one was killed in training, with what was said, before anything is resumed."""
    results = tmp_path_factory.mktemp("killed")
    process = start(results, root, *TRAIN, "--nproc", "2")
    deadline = time.monotonic() + 300
    while not list(results.glob("checkpoints/vgpt2/*/trainer/checkpoint-2/history.json")):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    import psutil

    second = next(child for child in psutil.Process(process.pid).children() if child.environ().get("RANK") == "1")
    second.send_signal(signal.SIGKILL)
    return results, process.communicate(timeout=300)[1], process.returncode


def test_a_killed_process_ends_the_run_with_a_sentence(killed):
    results, said, status = killed
    assert status == 1
    assert re.search(r"Error: Process 1 of 2 was ended from outside \(SIGKILL\).*goes on\.$", said.strip())
    assert "Traceback" not in said
    assert not (checkpoint(results) / "card.json").exists()


def test_two_processes_train_and_write_what_one_does(root, alone, killed):
    results = killed[0]
    status, said = bench(results, root, *TRAIN, "--nproc", "2")
    assert status == 0 and "Going on from step" in said, said
    assert said.count("Epoch 3 of 3") == 1, "every process speaks"
    assert len(losses(results)) == 6
    assert losses(results) == pytest.approx(losses(alone), abs=1e-4)
    card = json.loads((checkpoint(results) / "card.json").read_text())
    assert card["processes"] == 2

    status, said = bench(
        results, root, "generate", "vgpt2", "--checkpoint", str(checkpoint(alone)), "--max-new-tokens", "12",
        "--batch-size", "2", "--nproc", "2",
    )  # fmt: skip
    assert status == 0, said
    assert len(predictions(results)) == 7
    assert predictions(results) == predictions(alone)


def test_a_mistake_is_said_once(root, tmp_path):
    status, said = bench(tmp_path, root, "train", "vgpt2", "--set", "batch_size=5", "--nproc", "2")
    assert status == 1
    assert said.count("batch_size × accumulation = 5") == 1 and "Traceback" not in said


def test_numbers_of_processes_that_cannot_be(monkeypatch):
    with pytest.raises(UserError, match="at least 1"):
        launch.in_processes(0, "cpu")
    with pytest.raises(UserError, match="a GPU of its own"):
        launch.in_processes(2, "cuda:1")
    monkeypatch.setenv("WORLD_SIZE", "4")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    with pytest.raises(UserError, match="torchrun has started"):
        launch.in_processes(2, None)
    assert not launch.in_processes(4, None) and not launch.in_processes(None, None)


def test_more_processes_than_gpus(monkeypatch):
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(UserError, match="--nproc 2 needs 2 GPUs, and 1 are here"):
        launch.in_processes(2, None)


def test_alone_everything_is_its_own(monkeypatch):
    assert processes.first() and processes.count() == 1
    assert processes.by_first(lambda: 3) == processes.first_before_others(lambda: 3) == 3
    assert processes.gathered("x") == ["x"] and processes.summed([1, 2.5]) == [1, 2.5]
    processes.wait()


def made(*numbers):
    return [Prediction(f"s{n}", f"text {n}", "", "", "", 0.1, 1, False) for n in numbers]


def test_what_processes_wrote_is_put_together_in_order(tmp_path):
    folder = RunFolder(tmp_path)
    folder.append(made(0, 3))
    folder.part(0).append(made(4))
    folder.part(1).append(made(2, 3))
    with folder.part(1).predictions.open("a") as file:
        file.write('{"study_id": "s1", "te')  # killed while it wrote
    assert list(folder.join(["s0", "s1", "s2", "s3", "s4"])) == ["s0", "s2", "s3", "s4"]
    assert list(folder.read()) == ["s0", "s2", "s3", "s4"] and not (tmp_path / "parts").exists()
    folder.append(made(1))
    folder.join(["s0", "s1", "s2", "s3", "s4"])
    assert list(folder.read()) == ["s0", "s1", "s2", "s3", "s4"]
