"""The command line on good and bad input. A user's mistake ends in one sentence and a status that is not 0."""

import csv
import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

from benchmark import cli
from benchmark.cli._app import FINISHED_WITH_PROBLEMS
from benchmark.registry import DATASETS

SIZES = {"n_train": 16, "n_validate": 6, "n_test": 3, "long_side": 64}
TINY = ["--set", "epochs=1", "--set", "image_size=32", "--device", "cpu"]
BENCH = Path(sys.executable).with_name("bench")


@pytest.fixture(scope="module")
def phantom(tmp_path_factory):
    root = tmp_path_factory.mktemp("data") / "phantom"
    DATASETS.load("phantom").provide(root, **SIZES)
    return root


@pytest.fixture(scope="module")
def results(tmp_path_factory, phantom):
    """A results folder that holds a trained vgpt2."""
    folder = tmp_path_factory.mktemp("results")
    status, _, err = call(folder, "train", "vgpt2", "--dataset", "phantom", "--root", phantom, *TINY)
    assert status == 0, err
    return folder


def call(results, *arguments):
    """Run `bench` in this process; returns its status and what it printed."""
    import contextlib
    import io

    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        patch.setattr(sys, "argv", ["bench", *map(str, arguments)])
        patch.setenv("BENCH_RESULTS", str(results))
        patch.delenv("MIMIC_CXR_ROOT", raising=False)
        try:
            cli.main()
            status = 0
        except SystemExit as end:
            status = end.code or 0
    return status, out.getvalue(), err.getvalue()


def fails(results, *arguments, says):
    status, out, err = call(results, *arguments)
    assert status not in (0, None), out + err
    assert "Traceback" not in err + out
    last = err.strip().splitlines()[-1]
    for words in [says] if isinstance(says, str) else says:
        assert words in err, err
    return last


def damaged(phantom, tmp_path):
    """A copy of the phantom that may be broken."""
    import shutil

    return Path(shutil.copytree(phantom, tmp_path / "phantom"))


# Good input -----------------------------------------------------------------------------------------------------------


def test_evaluate_twice_repeats_nothing_and_ranks(results, phantom):
    options = ("--dataset", "phantom", "--root", phantom, "--split", "val")
    for model in ("vgpt2", "best-constant", "second-reader"):
        status, _, err = call(results, "eval", model, *options)
        assert status == 0, err
    runs = {path: path.stat().st_mtime_ns for path in results.glob("runs/*/val/*/*/predictions.jsonl")}
    assert len(runs) == 3
    status, out, err = call(results, "eval", "vgpt2", *options, "--json")
    assert status == 0, err
    assert {path: path.stat().st_mtime_ns for path in runs} == runs

    scores = json.loads(out)["sections"]
    assert set(scores) == {"findings", "impression", "report"}
    assert scores["report"]["metrics"]["bleu_4"]["signature"]

    status, _, err = call(results, "leaderboard")
    assert status == 0, err
    (path,) = results.glob("phantom-*-val.csv")
    rows = list(csv.DictReader(path.open()))
    assert {row["model"] for row in rows} == {"vgpt2", "best-constant", "second-reader"}
    # `eval` has tested them against one another; six studies tell nothing apart.
    assert [(row["rank"], row["rank_basis"]) for row in rows if row["section"] == "report"] == [("1", "tested")] * 3
    assert call(results, "leaderboard", "--check")[0] == 0
    path.write_text(path.read_text().replace("vgpt2", "vgpt3"))
    fails(results, "leaderboard", "--check", says=str(path))


def test_limited_runs_stay_off_the_leaderboard(results, phantom):
    before = list(results.glob("scores/*/*.json"))
    status, _, err = call(results, "eval", "most-frequent", "--dataset", "phantom", "--root", phantom, "--limit", 2)
    assert status == 0, err
    assert list(results.glob("scores/*/*.json")) == before


def test_run_folder_can_be_scored_again(results, phantom):
    status, _, err = call(results, "generate", "most-frequent", "--dataset", "phantom", "--root", phantom)
    assert status == 0, err
    folder = Path(err.strip().splitlines()[-1].removeprefix("Run: "))
    assert not (folder / "scores.json").exists()
    status, _, err = call(results, "score", folder)
    assert status == 0, err
    assert (folder / "scores.json").exists()


def test_loose_pictures(results, tmp_path):
    for name, mode in (("a.png", "L"), ("b.jpg", "RGB")):
        Image.new(mode, (70, 50), 90 if mode == "L" else (9, 9, 9)).save(tmp_path / name)
    (tmp_path / "c.png").write_text("not a picture")
    out = tmp_path / "out.jsonl"
    status, _, err = call(results, "generate", "vgpt2", "--images", tmp_path, "--out", out)
    assert status == FINISHED_WITH_PROBLEMS
    assert "c.png" in err
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    assert [line["study_id"] for line in lines] == ["a.png", "b.jpg", "c.png"]
    assert lines[2]["text"] == "" and lines[2]["error"]


def test_score_counts_empty_hypotheses(results, tmp_path):
    write_jsonl(tmp_path / "h.jsonl", {"a": "the lungs are clear", "b": "", "c": "no effusion"})
    write_jsonl(tmp_path / "r.jsonl", {"c": "no pleural effusion", "b": "heart is large", "a": "the lungs are clear"})
    out = tmp_path / "scores.json"
    status, _, err = call(results, "score", tmp_path / "h.jsonl", "--references", tmp_path / "r.jsonl", "--json", out)
    assert status == 0, err
    metrics = json.loads(out.read_text())["metrics"]
    keys = {"bleu_1", "bleu_2", "bleu_3", "bleu_4", "meteor", "rouge_l", "rouge_l_coco", "cider", "bertscore_f1"}
    assert keys <= set(metrics)
    assert all(metrics[key]["n_scored"] == 3 and metrics[key]["value"] >= 0 for key in keys)


@pytest.mark.parametrize("command", ["models", "datasets", "metrics", "doctor"])
def test_listings_take_json(results, command):
    status, out, err = call(results, command, "--json")
    assert status == 0, err
    assert json.loads(out)


def test_models_tells_about_one(results):
    status, out, _ = call(results, "models", "vgpt2", "--json")
    assert status == 0
    assert {"paper", "tiny"} <= set(json.loads(out)["presets"])


# Bad input ------------------------------------------------------------------------------------------------------------


def write_jsonl(path, texts):
    path.write_text("".join(json.dumps({"study_id": k, "text": v}) + "\n" for k, v in texts.items()))


def test_unknown_names(results, phantom):
    fails(results, "train", "vgpt3", says=["Unknown model 'vgpt3'", "vgpt2"])
    fails(results, "eval", "vgpt2", "--dataset", "fantom", says=["Unknown data set", "phantom"])
    fails(results, "eval", "vgpt2", "--dataset", "phantom", "--root", phantom, "--split", "vall", says=["split", "val"])
    fails(results, "train", "vgpt2", "--dataset", "phantom", "--root", phantom, "--preset", "tyni", says="tiny")
    fails(results, "train", "vgpt2", "--dataset", "phantom", "--root", phantom, "--set", "epoch=1", says="epochs")
    fails(results, "train", "vgpt2", "--dataset", "phantom", "--root", phantom, "--set", "epochs=many", says="epochs")
    fails(results, "eval", "vgpt2", "--dataset", "phantom", "--root", phantom, "--control", "shufle", says="shuffle")


def test_options_that_would_do_nothing(results, phantom, tmp_path):
    fails(results, "train", "vgpt2", "--space", tmp_path / "none.toml", says="--search")
    fails(results, "generate", "vgpt2", "--out", tmp_path / "a.jsonl", says="--images")
    fails(results, "generate", "vgpt2", "--images", tmp_path, "--dataset", "phantom", says="without --dataset")
    fails(results, "generate", "vgpt2", "--images", tmp_path, "--tokenizer", "nix", says="with --checkpoint")
    (tmp_path / "run.json").write_text("{}")
    fails(results, "score", tmp_path, says="no record of a run: it has no data_options")
    fails(results, "score", tmp_path, "--references", tmp_path / "a.jsonl", says="against its own data set")
    fails(results, "eval", "vgpt2", "--temperature", 0.7, "--beams", 3, says="exclude one another")


def test_what_was_mistyped_is_said_before_data_are_made(tmp_path):
    for arguments, says in (
        (("train", "vgpt2", "--preset", "nope"), "tiny"), (("train", "vgpt2", "--set", "epoch=1"), "epochs"),
        (("train", "vgpt2", "--device", "warp"), "warp"), (("train", "vgpt2", "--config", "nix.toml"), "nix.toml"),
        (("train", "vgpt2", "--seed", "-1"), "seed"), (("eval", "vgpt2"), "bench train vgpt2"),
        (("eval", "vgpt2", "--control", "foo"), "shuffle"), (("sweep", "vgpt2", "nope"), "Unknown model"),
        (("sweep", "vgpt2", "--set", "epoch=1"), "epochs"), (("eval", "r2gen", "--beams", 9999), "at most"),
        (("eval", "vgpt2", "--temperature", "nan"), "above 0"),
    ):  # fmt: skip
        fails(tmp_path, *arguments, says=says)
        assert not (tmp_path / "data").exists()


def test_roots(results, tmp_path):
    fails(results, "eval", "vgpt2", "--dataset", "mimic-cxr", "--root", tmp_path / "none", says="No such folder")
    fails(results, "eval", "vgpt2", "--dataset", "mimic-cxr", "--root", tmp_path, says=["split.csv", str(tmp_path)])
    fails(results, "eval", "vgpt2", "--dataset", "mimic-cxr", says="MIMIC_CXR_ROOT")


def test_checkpoints(results, phantom, tmp_path):
    data = ("--dataset", "phantom", "--root", phantom)
    fails(tmp_path, "eval", "vgpt2", *data, says="bench train vgpt2")
    call(results, "generate", "most-frequent", *data)  # trains it, where no test of this process has
    (baseline,) = [path.parent for path in results.glob("checkpoints/most-frequent/*/card.json")]
    fails(results, "eval", "vgpt2", *data, "--checkpoint", baseline, says="checkpoint of most-frequent, not of vgpt2")
    fails(results, "eval", "vgpt2", *data, "--checkpoint", tmp_path, says="no card.json")


def test_device_that_is_not_here(results, phantom):
    fails(results, "eval", "vgpt2", "--dataset", "phantom", "--root", phantom, "--device", "cuda:7", says="not here")


@pytest.mark.parametrize("content", [b"", b"<html>Login required</html>", None], ids=["empty", "text", "truncated"])
def test_damaged_image_is_an_empty_report_and_a_status(results, phantom, tmp_path, content):
    root = damaged(phantom, tmp_path)
    dataset = DATASETS.load("phantom")(root)
    victim = dataset.studies("validate")[0]
    path = victim.views[0].path
    path.write_bytes(path.read_bytes()[:300] if content is None else content)
    status, _, err = call(results, "generate", "vgpt2", "--dataset", "phantom", "--root", root)
    assert status == FINISHED_WITH_PROBLEMS, err
    assert victim.study_id in err and path.name in err
    folder = Path(next(line for line in err.splitlines() if line.startswith("Run: ")).removeprefix("Run: "))
    lines = [json.loads(line) for line in (folder / "predictions.jsonl").read_text().splitlines()]
    assert len(lines) == SIZES["n_validate"]
    assert [line["study_id"] for line in lines if line["error"]] == [victim.study_id]


def test_missing_report_is_counted(results, phantom, tmp_path):
    root = damaged(phantom, tmp_path)
    victim = DATASETS.load("phantom")(root).studies("validate")[0].study_id
    next(root.glob(f"files/*/*/s{victim}.txt")).unlink()
    status, _, err = call(results, "generate", "most-frequent", "--dataset", "phantom", "--root", root)
    assert status == FINISHED_WITH_PROBLEMS, err
    assert "1 × report file missing" in err and victim in err


def test_empty_split(results, phantom, tmp_path):
    root = damaged(phantom, tmp_path)
    for study in DATASETS.load("phantom")(root).studies("test"):
        next(root.glob(f"files/*/*/s{study.study_id}.txt")).unlink()
    fails(results, "eval", "vgpt2", "--dataset", "phantom", "--root", root, "--split", "test", says="no usable study")


def test_text_files(results, tmp_path):
    good, bad = tmp_path / "good.jsonl", tmp_path / "bad.jsonl"
    write_jsonl(good, {"a": "clear", "b": "effusion"})
    for content, says in (
        ('{"study_id": "a", "text": "x"}\nnot json\n', "line 2"),
        ('{"study_id": "a", "text": "x"}\n{"study_id": "a", "text": "y"}\n', "twice"),
        ('{"study_id": "a", "text": "x"}\n', "no hypothesis"),
        ('{"study_id": "a", "text": "x"}\n{"study_id": "c", "text": "y"}\n', "no hypothesis"),
        ('{"study_id": "a", "text": NaN}\n', "not a text"),
        ('{"text": "x"}\n', "study_id"),
        ("", "empty"),
    ):
        bad.write_text(content)
        fails(results, "score", bad, "--references", good, says=says)
    bad.write_bytes(b'{"study_id": "a", "text": "\xff\xfe"}\n')
    fails(results, "score", bad, "--references", good, says="UTF-8")
    fails(results, "score", tmp_path / "none.jsonl", "--references", good, says="No such file")
    fails(results, "score", good, says="--references")
    fails(results, "score", tmp_path, says="run.json")


def test_a_second_evaluation_of_the_same_run(results, phantom):
    from benchmark.store import exclusive

    options = ("generate", "random-train", "--dataset", "phantom", "--root", phantom, "--seed", "5")
    assert call(results, *options)[0] == 0
    (folder,) = results.glob("runs/*/val/random-train/*")
    code = f"from benchmark.store import exclusive; from pathlib import Path; import sys, time\n\
with exclusive(Path({str(folder)!r}), 'evaluating'):\n    print('held', flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, cwd=folder) as other:
        assert other.stdout.readline() == b"held\n"
        fails(results, *options, says="Another process is evaluating")
        other.kill()
    with exclusive(folder, "evaluating"):
        pass


def test_full_disk(results, phantom, monkeypatch):
    """A file-size limit of the kernel stands for the full disk: both are an OSError while writing."""
    code = (
        "import resource, signal, sys\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "from benchmark import cli\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (200, 200))\n"
        "cli.main()\n"
    )
    command = [sys.executable, "-c", code, "generate", "random-train", "--dataset", "phantom", "--root", str(phantom)]
    done = subprocess.run(
        [*command, "--seed", "9"],
        env={**os.environ, "BENCH_RESULTS": str(results)},
        capture_output=True,
        text=True,
        cwd=results,
    )
    assert done.returncode == 1
    assert os.strerror(errno.EFBIG) in done.stderr
    assert "Traceback" not in done.stderr
    assert call(results, "generate", "random-train", "--dataset", "phantom", "--root", phantom, "--seed", "9")[0] == 0


@pytest.mark.parametrize(
    ("number", "path", "says"),
    [
        ("ENOSPC", None, "Error: {reason}. Free some space (results go to {results})"),
        ("EDQUOT", "a", "Error: {reason}: a. Your quota is used up. Free some space (results go to {results})"),
        ("EPERM", "a", "Error: {reason}: a. Ask for the right to write there"),
        ("ENOENT", "a", "Error: {reason}: a. Look whether the path is right; for results, BENCH_RESULTS"),
        ("ENOTDIR", "a", "Error: {reason}: a. A file stands where a folder should"),
        ("EEXIST", "a", "Error: {reason}: a. A file stands where a folder should"),
    ],
)
def test_what_the_system_refuses_comes_with_what_to_do(number, path, says, call_bench, tmp_path, monkeypatch):
    code = getattr(errno, number)

    def refuse():
        raise OSError(code, os.strerror(code), path)

    monkeypatch.setattr(cli, "app", refuse)
    status, _, err = call_bench(tmp_path, "train")
    assert status == 1 and err.startswith(says.format(reason=os.strerror(code), results=tmp_path))


def test_interrupted_by_ctrl_c(phantom, tmp_path, ctrl_c):
    """A training interrupted says so, and the same command goes on."""
    arguments = ["train", "vgpt2", "--dataset", "phantom", "--root", str(phantom), *TINY, "--set", "epochs=400"]
    env = {**os.environ, "BENCH_RESULTS": str(tmp_path)}
    with subprocess.Popen(
        [str(BENCH), *arguments], stderr=subprocess.PIPE, text=True, env=env, cwd=tmp_path
    ) as running:
        deadline = time.monotonic() + 120
        while not list(tmp_path.glob("checkpoints/vgpt2/*/trainer/*")) and time.monotonic() < deadline:
            time.sleep(0.1)
        running.send_signal(signal.SIGINT)
        err = running.communicate(timeout=60)[1]
    assert running.returncode == 130, err
    assert "Interrupted" in err and "Traceback" not in err


def test_running_as_a_module_from_the_repository_root(tmp_path):
    """`python -m` puts the root, and so our datasets/, on the path; Hugging Face's package must stay reachable."""
    root = Path(__file__).parents[2]
    env = {**os.environ, "BENCH_RESULTS": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-m", "benchmark", "models"], cwd=root, env=env, capture_output=True, text=True
    )
    assert done.returncode == 0 and "vgpt2" in done.stdout, done.stderr
    done = subprocess.run([sys.executable, "-c", "import datasets"], cwd=root, capture_output=True, text=True)
    assert done.returncode != 0
    assert "Hugging Face" in done.stderr.strip().splitlines()[-1]
