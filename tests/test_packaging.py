"""The wheel beside Hugging Face's `datasets`: it installs, runs from an empty folder, and goes without a trace."""

import os
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def run(*command, cwd, **variables):
    done = subprocess.run(
        list(map(str, command)), cwd=cwd, env={**os.environ, **variables}, capture_output=True, text=True
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    # Built from a copy, so that no build folder is left in the tree.
    source = folder / "source"
    tracked = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True)
    assert tracked.returncode == 0, tracked.stderr
    for name in tracked.stdout.splitlines():
        if (ROOT / name).is_file() and not name.startswith("results/"):
            target = source / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes((ROOT / name).read_bytes())
    run(
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-build-isolation",
        "--no-deps",
        "-w",
        folder,
        source,
        cwd=folder,
    )
    (built,) = folder.glob("*.whl")
    return built


def test_wheel_has_one_root(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    roots = {name.split("/")[0] for name in names if ".dist-info/" not in name}
    assert roots == {"benchmark"}
    assert "benchmark/models/vgpt2.py" in names
    assert "benchmark/datasets/phantom.py" in names
    assert "benchmark/metrics/bleu.py" in names
    assert "benchmark/protocols/default.py" in names


@pytest.mark.slow
def test_wheel_runs_a_quick_start_and_leaves_the_other_package_whole(wheel, tmp_path):
    run(sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv", cwd=tmp_path)
    site = Path(
        run(tmp_path / "venv/bin/python", "-c", "import site; print(site.getsitepackages()[0])", cwd=tmp_path).strip()
    )
    # The dependencies of the environment that runs the tests, and of it nothing else: a .pth file adds its folder, but
    # the .pth files in there, the editable install of this project among them, are not read.
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    python = tmp_path / "venv/bin/python"
    pip = (python, "-m", "pip", "--disable-pip-version-check")
    run(*pip, "install", "--quiet", "--no-index", "--no-deps", "--ignore-installed", wheel, cwd=tmp_path)

    empty = tmp_path / "empty"
    empty.mkdir()
    where = "import benchmark, benchmark.datasets, datasets; print(benchmark.__file__); print(datasets.__file__)"
    ours, theirs = run(python, "-c", where, cwd=empty).split()
    assert Path(ours).is_relative_to(site)
    assert not Path(theirs).is_relative_to(site)
    assert "Dataset" in run(python, "-c", "import datasets; print(datasets.Dataset.__name__)", cwd=empty)

    out = run(tmp_path / "venv/bin/bench", "quickstart", "--small", cwd=empty)
    assert "vgpt2" in out and "best-constant" in out
    assert len(list((empty / "results").glob("phantom*-val.csv"))) == 1

    run(*pip, "uninstall", "--quiet", "--yes", "cxr-report-bench", cwd=empty)
    assert not list((site / "benchmark").rglob("*.py"))
    assert "Dataset" in run(python, "-c", "import datasets; print(datasets.Dataset.__name__)", cwd=empty)
