"""Every command shown in the README and the guides: run on a small phantom, or named below with the reason why not.

The commands of a section are run in its order, as its reader would, in a folder that holds what the pages speak of and
what the README's first commands leave. What is not run is parsed by the program that it calls, so that an option that
is not there fails.
"""

import csv
import importlib.util
import itertools
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

import pytest
import typer
from PIL import Image

from benchmark.cli import app
from benchmark.registry import DATASETS

ROOT = Path(__file__).parents[2]
BENCH = Path(sys.executable).with_name("bench")
PAGES = [ROOT / "README.md", ROOT / "README.tr.md", *sorted((ROOT / "docs").glob("*.md"))]
IDS = [str(page.relative_to(ROOT)) for page in PAGES]
PROGRAMS = ("bench", "export", "git", "hf", "make", "pip", "pre-commit", "pytest", "python3", "source", "torchrun")
COMMAND = re.compile(rf"(?:srun |\w+=\S+ )*(?:\.venv/bin/)?((?:{'|'.join(PROGRAMS)})\s.*)")

NOT_RUN = {
    r"make |pytest |pre-commit |\.ci/run": "what they run is run by `.ci/run`, these tests among it",
    r"source |git ": "concern the reader's own shell and commits",
    r"pip |python3 -m pip ": "download packages",
    r"hf |bench fetch (?!--list)": "download from the hub",
    r"bench quickstart": "minutes of training; tests/test_packaging.py runs the small one from the wheel",
    r"bench demo": "serves until it is stopped; tests/browser/test_demo.py drives it",
    r"bench sweep ": "twelve trainings; tests/benchmark/test_sweep.py runs small ones",
    r"bench speed ": "measure for minutes on a machine of their own; tests/benchmark/test_speed*.py run each on little",
    r"torchrun .*(--nnodes|SLURM)": "several machines",
    r'bench (train|eval) "\$model"': "an array of jobs, run as a script by test_the_sweep",
    r"bench eval hub-vlm .*Qwen": "the same as the line above it, with another checkpoint",
}
"""By a pattern of the command: why it is not run here."""

SMALLER = {
    "--nproc 4": "--nproc 2",
    "--nproc-per-node 4": "--nproc-per-node 2",
    "--search 20": "--search 2",
    "hub_id=google/medgemma-4b-it": "hub_id=medgemma",
    "/data/": "data/",
    "s50414267": "STUDY",
    "results/runs/phantom/val/vgpt2/RUN": "RUN",
}
"""What stands in for what is too large for a test, or cannot be had: a small hub checkpoint, the phantom, …"""

WITHOUT_HUB = {"bench train vgpt2": "tiny", "bench train nearest-report": "trained"}
"""The presets of trainings on MIMIC-CXR that name none: the default ones begin with weights of the hub."""

QUICK = ("data", "label", "protocols")
"""Commands that take a second or two."""


@dataclass(frozen=True)
class Command:
    """One line of a page."""

    text: str
    """As it stands there, continued lines joined, without its comment."""
    section: int
    """Which of the page's sections (`##`) it stands in."""

    @property
    def words(self):
        return self.text.split(" ", 1)[0], shlex.split(self.text)[1:]

    @property
    def reason(self):
        """Why it is not run; empty where it is."""
        return next((reason for pattern, reason in NOT_RUN.items() if re.match(pattern, self.text)), "")

    @property
    def quick(self):
        program, arguments = self.words
        return program == "bench" and arguments[0] in QUICK


def shell_lines(text):
    """Lines of the blocks that are fenced without a language, or with a shell's, or indented; continued ones joined.

    Each comes with the number of its section.
    """
    fence, blank, indented, section = None, True, False, 0
    for line in text.replace("\\\n", " ").splitlines():
        if line.startswith("```"):
            fence = line.strip("`") if fence is None else None
        elif fence is not None:
            yield from [(section, line)] if fence in ("", "bash", "console", "sh", "shell") else []
        else:
            section += line.startswith("## ")
            indented = line.startswith("    ") and (indented or blank)
            blank = not line.strip()
            yield from [(section, line[4:])] if indented else []


def commands(page):
    """The commands of a page in its order."""
    found = []
    for section, line in shell_lines(page.read_text("utf-8")):
        match = COMMAND.match(line.replace('"$(which bench)"', "bench").replace("$(which bench)", "bench"))
        if match:
            found.append(Command(re.sub(r"\s+", " ", match[1].partition(" #")[0]).strip(), section))
    return found


every_page = pytest.mark.parametrize("page", PAGES, ids=IDS)


# --- what is not run exists all the same ------------------------------------------------------------------------


def parse(application, words):
    """What a typer or click application makes of the words; raises what it raises at a wrong one."""
    command = application if hasattr(application, "make_context") else typer.main.get_command(application)
    context = command.make_context("program", list(words))
    while hasattr(command, "resolve_command"):
        name, command, rest = command.resolve_command(context, [*context._protected_args, *context.args])
        context = command.make_context(name, rest, parent=context)
    return context.params


def check_bench(arguments):
    variables = {"$seed": "0"}
    parse(app, [variables.get(word, word) for word in arguments])


def check_make(arguments):
    targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    assert set(arguments) <= set(targets)


def check_pip(arguments):
    from pip._internal.commands import create_command

    _, wanted = create_command(arguments[0]).parse_args(arguments[1:])
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
    for given in wanted:
        named = re.fullmatch(r"(?:\.|cxr-report-bench)\[(.*)\]", given)
        assert set(named[1].split(",")) <= set(extras) if named else given


def check_python(arguments):
    assert arguments[:2] == ["-m", "pip"], "people call bench, never python -m"
    check_pip(arguments[2:])


def check_torchrun(arguments):
    from torch.distributed.run import get_args_parser

    given = get_args_parser().parse_args([re.sub(r"^\$SLURM_\w+$", "2", word) for word in arguments])
    assert given.training_script == "bench"
    check_bench(given.training_script_args)


def check_hf(arguments):
    from huggingface_hub.cli.hf import app as hub

    parse(hub, arguments)


def check_pytest(arguments):
    assert all((ROOT / word).exists() for word in arguments if word.startswith("tests/"))


CHECKS = {
    "bench": check_bench, "hf": check_hf, "make": check_make, "pip": check_pip, "pytest": check_pytest,
    "python3": check_python, "torchrun": check_torchrun,
}  # fmt: skip


@every_page
def test_every_command_is_one_that_its_program_takes(page):
    for command in commands(page):
        program, arguments = command.words
        try:
            CHECKS.get(program, lambda words: None)(arguments)
        except (Exception, SystemExit) as error:
            pytest.fail(f"{command.text}: {error}")


def test_an_option_that_is_not_there_is_found():
    with pytest.raises(Exception, match="No such option"):
        check_bench(["train", "vgpt2", "--presett", "tiny"])
    with pytest.raises(Exception, match="No such command"):
        check_bench(["trane", "vgpt2"])
    with pytest.raises(SystemExit):
        check_torchrun(["--nodes", "2", "bench", "train", "vgpt2"])
    with pytest.raises(AssertionError):
        check_make(["quick"])
    with pytest.raises(AssertionError):
        check_pip(["install", "cxr-report-bench[clinic]"])


def test_commands_are_found_in_every_form(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(
        "Text\n\n    export A=b\n    bench train vgpt2 \\\n        --seed 1   # a comment\n"
        "    .venv/bin/pytest tests\n\n"
        '```python\nbench = 1\n```\n\n```bash\nA=b srun torchrun --nnodes $N "$(which bench)" train vgpt2\n```\n'
        "\n    benchmark/   a folder\n\n    bench score 'a b'"
    )
    found = [command.text for command in commands(page)]
    assert found == [
        "export A=b",
        "bench train vgpt2 --seed 1",
        "pytest tests",
        "torchrun --nnodes $N bench train vgpt2",
        "bench score 'a b'",
    ]


def test_the_tables_hold_nothing_that_no_page_shows():
    shown = [command.text for page in PAGES for command in commands(page)]
    assert len(shown) > 100
    for pattern in NOT_RUN:
        assert any(re.match(pattern, text) for text in shown), pattern
    for part in SMALLER:
        assert any(part in text for text in shown), part


def test_both_readmes_show_the_same_commands():
    english, turkish = PAGES[:2]
    assert [each.text for each in commands(english)] == [each.text for each in commands(turkish)]


SPANS = re.compile(r"(?<!`)`([^`\n]+(?:\n[^`\n]+)?)`(?!`)")


@every_page
def test_commands_and_options_in_the_text_exist(page):
    text = re.sub(r"^```.*?^```$", "", page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    bench = typer.main.get_command(app)
    everywhere = {*_options(bench), "--max-restarts", "--no-deps"}
    for span in SPANS.findall(text):
        words, command = span.split(), bench
        if words[0] == "bench":
            words = words[1:]
            while words and hasattr(command, "commands") and not words[0].startswith("-"):
                assert words[0] in command.commands, span
                command, words = command.commands[words[0]], words[1:]
        known = everywhere if hasattr(command, "commands") else _options(command)
        for word in words:
            if word.startswith("--") and span.split()[0] in ("bench", word):
                assert word.rstrip(",").partition("=")[0] in known, span


def _options(command):
    own = {option for each in command.params for option in [*each.opts, *each.secondary_opts]} | {"--help"}
    return own.union(*(_options(each) for each in getattr(command, "commands", {}).values()))


# --- the reader's desk ------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def phantom(tmp_path_factory):
    root = tmp_path_factory.mktemp("data") / "phantom"
    DATASETS.load("phantom").provide(root, n_train=24, n_validate=14, n_test=14, long_side=64)
    return root


def of_the_tests(name):
    """A module of tests/models."""
    spec = importlib.util.spec_from_file_location(name, ROOT / f"tests/models/{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def lay_out_weights(desk):
    """A small image-text-to-text checkpoint, and small weights in the original's form with a tokenizer: all random."""
    import torch

    from benchmark.models._tokenizer import train_tokenizer

    of_the_tests("hub_checkpoints").make("llava", desk / "medgemma")
    original = of_the_tests("test_vgpt2_original")
    torch.save(original.Plain(n_positions=256).state_dict(), desk / "best_vgpt2.pt")
    words = train_tokenizer(["Findings: The heart is large. Impression: Cardiomegaly."], original.WORDS)
    words.save_pretrained(desk / "gpt2-tokenizer")


def lay_out(desk, phantom):
    """What the pages speak of, made of the phantom: tables and texts of your own, films, MIMIC-CXR, IU X-Ray."""
    data = DATASETS.load("phantom")(phantom)
    for place in ("data/mimic-cxr-jpg/2.1.0", "data/mimic-cxr-reports"):
        (desk / place).parent.mkdir(parents=True, exist_ok=True)
        (desk / place).symlink_to(phantom)
    own, iu, films = desk / "my-data", desk / "iu-xray", desk / "films"
    for folder in (own / "images", iu / "images", films):
        folder.mkdir(parents=True)
    rows, entries, texts = [], {"train": [], "val": [], "test": []}, {"own": [], "iu": [], "phantom": []}
    for split, short in (("train", "train"), ("validate", "val"), ("test", "test")):
        pairs = zip(data.studies(split), data.references(split), strict=True)
        for number, (study, reference) in enumerate(pairs):
            name = f"{short}{number}"
            shutil.copy(study.views[0].path, own / "images" / f"{name}.jpg")
            row = {"study_id": "a1" if name == "test0" else name, "patient_id": study.patient_id, "split": short}
            row |= {"image": f"images/{name}.jpg", "view": "PA", "findings": reference.findings}
            rows.append({**row, "impression": reference.impression, "sex": "FM"[number % 2]})
            uid = f"CXR{len(rows)}_IM-{len(rows):04d}"
            images = [f"{uid}/{at}.png" for at in (0, 1)]
            entries[short].append({"id": uid, "report": reference.findings, "image_path": images, "split": short})
            (iu / "images" / uid).mkdir()
            for at, image in enumerate(images):
                Image.new("L", (24, 32), 40 * at + number).save(iu / "images" / image)
            text = f"Findings: {reference.findings} Impression: {reference.impression}"
            if split == "test":
                shutil.copy(study.views[0].path, films)
                texts["own"].append({"study_id": row["study_id"], "text": text})
                texts["iu"].append({"study_id": uid, "text": reference.findings})
            if split == "validate":
                texts["phantom"].append({"study_id": study.study_id, "text": text})
    with (own / "studies.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    (iu / "annotation.json").write_text(json.dumps(entries))
    (desk / "settings.toml").write_text("epochs = 1\n")
    (desk / "space.toml").write_text("[learning_rate]\ntimes = [0.2, 5.0]\nlog = true\n")
    for name, of in (("references", "own"), ("hypotheses", "own"), ("reports", "own"), ("their-reports", "phantom")):
        write_lines(desk / f"{name}.jsonl", texts[of])
    write_lines(desk / "hypotheses-iu-xray.jsonl", texts["iu"])
    return data.studies("test")[0].study_id


def write_lines(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.fixture
def desk(phantom, tmp_path, monkeypatch):
    """The folder that a reader works in; gives how what the pages show is written there."""
    study = lay_out(tmp_path, phantom)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PHANTOM_ROOT", str(phantom))
    for name in ("MIMIC_CXR_ROOT", "MIMIC_CXR_REPORTS_ROOT", "HF_HOME", "PIP_NO_INDEX", "PIP_FIND_LINKS"):
        monkeypatch.setenv(name, "")  # put back afterwards, whatever a page exports
        monkeypatch.delenv(name)
    monkeypatch.setenv("PATH", str(BENCH.parent), prepend=os.pathsep)

    def here(text):
        for shown, instead in SMALLER.items():
            text = text.replace(shown, instead)
        if "RUN" in text:
            (run,) = (path.parent for path in tmp_path.glob("results/runs/*/val/vgpt2/*/run.json") if _is_plain(path))
            text = text.replace("RUN", str(run))
        if "--dataset iu-xray" in text:
            text = text.replace("hypotheses.jsonl", "hypotheses-iu-xray.jsonl")
        if os.environ.get("MIMIC_CXR_ROOT") or Path("bench.toml").exists():
            preset = next((preset for begin, preset in WITHOUT_HUB.items() if text.startswith(begin)), "")
            text += f" --preset {preset}" if preset and "--preset" not in text else ""
        return text.replace("STUDY", study)

    return here


def _is_plain(record):
    return not json.loads(record.read_text())["control"]


def run(text, call_bench):
    """Run a command of a page; its status and all that it printed."""
    program, *arguments = shlex.split(text)
    if program == "export":
        os.environ.update(dict(word.split("=", 1) for word in arguments))
        return 0, ""
    if program == "bench" and "--nproc" not in arguments:
        status, out, err = call_bench("results", *arguments)
        return status, out + err
    environment = {**os.environ, "BENCH_RESULTS": "results", "OMP_NUM_THREADS": "1"}
    programs = {"bench": [str(BENCH)], "torchrun": [sys.executable, "-m", "torch.distributed.run"]}
    words = [part for word in (program, *arguments) for part in programs.get(word, [word])]
    done = subprocess.run(words, env=environment, capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


def follow(page, desk, call_bench, chosen, results=None):
    """Run those of a page's commands that are chosen, and what it exports; each section begins with `results`."""
    for _, section in itertools.groupby(commands(page), lambda command: command.section):
        section = list(section)
        if not any(not command.reason and chosen(command) for command in section):
            continue
        if results is not None:
            shutil.rmtree("results", ignore_errors=True)
            shutil.copytree(results, "results")
        before = dict(os.environ)
        for command in section:
            if command.text.startswith("export ") or (not command.reason and chosen(command)):
                text = desk(command.text)
                status, printed = run(text, call_bench)
                assert status == 0, f"{command.text}\n(run as: {text})\n{printed}"
                assert "Traceback" not in printed
        os.environ.clear()
        os.environ.update(before)


def lay_out_settings(page, desk, snippets):
    """The bench.toml that a page shows."""
    for _, code in snippets(page, "toml"):
        if "[mimic-cxr]" in code:
            (desk / "bench.toml").write_text(code.replace("/data/", "data/"))


@every_page
def test_quick_commands_run(page, desk, snippets, call_bench, tmp_path):
    lay_out_settings(page, tmp_path, snippets)
    if page.name != "README.tr.md":  # its commands are those of README.md
        follow(page, desk, call_bench, lambda command: command.quick)


@pytest.fixture(scope="session")
def first_results(phantom, tmp_path_factory, call_bench):
    """What the first commands of the README leave, and a baseline beside it."""
    folder = tmp_path_factory.mktemp("first")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PHANTOM_ROOT", str(phantom))
        patch.delenv("MIMIC_CXR_ROOT", raising=False)
        for words in ("train vgpt2", "eval vgpt2 --split val", "eval best-constant"):
            status, out, err = call_bench(folder / "results", *words.split())
            assert status == 0, out + err
    return folder / "results"


def is_slow(command):
    return not command.quick and not command.reason and command.words[0] != "export"


SLOW = [page for page in PAGES if page.name != "README.tr.md" and any(map(is_slow, commands(page)))]


@pytest.mark.slow
@pytest.mark.parametrize("page", SLOW, ids=[page.name for page in SLOW])
def test_slow_commands_run(page, desk, snippets, put_in_place, call_bench, first_results, tmp_path):
    lay_out_settings(page, tmp_path, snippets)
    lay_out_weights(tmp_path)
    for site in ("lyon-scores", "graz-scores"):
        shutil.copytree(first_results / "scores", tmp_path / site)
    if page.name == "own-model.md":
        put_in_place(page)
    follow(page, desk, call_bench, is_slow, first_results)


@pytest.mark.slow
def test_the_sweep_is_a_script_that_runs(desk, first_results, tmp_path):
    """One job of the array of docs/several-machines.md."""
    shutil.copytree(first_results, tmp_path / "results")
    lines = [line for _, line in shell_lines((ROOT / "docs/several-machines.md").read_text("utf-8"))]
    begin = next(at for at, line in enumerate(lines) if "--array" in line)
    end = next(at for at, line in enumerate(lines) if line.startswith("bench eval") and at > begin)
    script = "\n".join(lines[begin : end + 1]).replace("/shared/results", str(tmp_path / "results"))
    environment = {**os.environ, "SLURM_ARRAY_TASK_ID": "0"}
    done = subprocess.run(["bash", "-e", "-c", script], env=environment, capture_output=True, text=True)
    assert done.returncode == 0 and "val/vgpt2" in done.stderr, done.stderr
