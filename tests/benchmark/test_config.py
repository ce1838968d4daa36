"""Where things lie: command line before environment before bench.toml."""

from pathlib import Path

import pytest

from benchmark import config
from benchmark.errors import UserError


@pytest.fixture(autouse=True)
def nothing_said(monkeypatch, tmp_path):
    """No variable of the machine, no file of the user."""
    for name in ("BENCH_RESULTS", "MIMIC_CXR_ROOT", "MIMIC_CXR_REPORTS_ROOT", "PHANTOM_ROOT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(config, "FILES", (Path("bench.toml"), tmp_path / "home" / "bench.toml"))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def folders(tmp_path):
    made = [tmp_path / name for name in ("given", "environment", "here", "home")]
    for folder in made:
        folder.mkdir()
    return made


def test_nothing_is_known_by_default():
    assert config.results_folder() == Path("results")
    assert config.data_root("mimic-cxr") is None


def test_order_of_the_sources(tmp_path, monkeypatch, folders):
    given, environment, here, home = folders
    (home / "bench.toml").write_text(f'results = "r-home"\n[mimic-cxr]\nroot = "{home}"\n')
    assert config.data_root("mimic-cxr") == home
    assert config.results_folder() == Path("r-home")
    (tmp_path / "bench.toml").write_text(f'results = "r-here"\n[mimic-cxr]\nroot = "{here}"\nreports_root = "{home}"\n')
    assert config.data_root("mimic-cxr") == here
    assert config.data_root("mimic-cxr", kind="reports_root") == home
    assert config.results_folder() == Path("r-here")
    monkeypatch.setenv("MIMIC_CXR_ROOT", str(environment))
    monkeypatch.setenv("BENCH_RESULTS", "r-environment")
    assert config.data_root("mimic-cxr") == environment
    assert config.results_folder() == Path("r-environment")
    assert config.data_root("mimic-cxr", given) == given
    assert config.data_root("phantom") is None


def test_kinds_have_variables_of_their_own(monkeypatch, folders):
    monkeypatch.setenv("MIMIC_CXR_REPORTS_ROOT", str(folders[0]))
    assert config.data_root("mimic-cxr") is None
    assert config.data_root("mimic-cxr", kind="reports_root") == folders[0]


def test_an_empty_variable_says_nothing(monkeypatch):
    monkeypatch.setenv("MIMIC_CXR_ROOT", "")
    monkeypatch.setenv("BENCH_RESULTS", "")
    assert config.data_root("mimic-cxr") is None
    assert config.results_folder() == Path("results")


def test_roots_are_absolute_and_know_the_home_folder(monkeypatch, tmp_path, folders):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert config.data_root("phantom", Path("given")) == tmp_path / "given"
    assert config.data_root("phantom", Path("~/given")) == tmp_path / "given"
    monkeypatch.setenv("BENCH_RESULTS", "~/results")
    assert config.results_folder() == tmp_path / "results"


def test_a_folder_that_is_not_there_is_an_error_that_names_its_source(monkeypatch, tmp_path):
    with pytest.raises(UserError, match="No such folder: .*missing"):
        config.data_root("mimic-cxr", tmp_path / "missing")
    (tmp_path / "bench.toml").write_text('[mimic-cxr]\nroot = "/missing/c"\n')
    with pytest.raises(UserError, match=r"bench\.toml.*/missing/c"):
        config.data_root("mimic-cxr")
    monkeypatch.setenv("MIMIC_CXR_ROOT", "/missing/e")
    with pytest.raises(UserError, match=r"MIMIC_CXR_ROOT.*/missing/e"):
        config.data_root("mimic-cxr")


@pytest.mark.parametrize("content", [b"results = ", b"\xff\xfe"])
def test_a_file_that_is_no_toml_is_named(tmp_path, content):
    (tmp_path / "bench.toml").write_bytes(content)
    with pytest.raises(UserError, match=r"bench\.toml is not a TOML file"):
        config.results_folder()


@pytest.mark.parametrize(
    ("content", "ask"),
    [
        ("results = 5", config.results_folder),
        ("[mimic-cxr]\nroot = 5", lambda: config.data_root("mimic-cxr")),
        ("[mimic-cxr]\nroot = ['/a']", lambda: config.data_root("mimic-cxr")),
    ],
)
def test_a_path_that_is_no_text_is_a_sentence(tmp_path, content, ask):
    (tmp_path / "bench.toml").write_text(content)
    with pytest.raises(UserError, match=r"bench\.toml: .* path in quotes"):
        ask()


def test_what_else_stands_in_a_section_is_an_option(tmp_path):
    assert config.data_options("mimic-cxr") == {}
    (tmp_path / "bench.toml").write_text('[mimic-cxr]\nroot = "/data"\nlayout = "kaggle"\npairing = "order"\n')
    assert config.data_options("mimic-cxr") == {"layout": "kaggle", "pairing": "order"}
    assert config.data_options("iu-xray") == {}
    (tmp_path / "bench.toml").write_text("[mimic-cxr]\npairing = 1\n")
    with pytest.raises(UserError, match=r"\[mimic-cxr\] pairing takes a value in quotes, not 1"):
        config.data_options("mimic-cxr")
    (tmp_path / "bench.toml").write_text('mimic-cxr = "/data"\n')
    with pytest.raises(UserError, match="mimic-cxr is a section"):
        config.data_options("mimic-cxr")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ('resutls = "x"', r"key of bench\.toml 'resutls'\. Did you mean results"),
        ("[mimic-xcr]\nroot = '/a'", "'mimic-xcr'. Did you mean mimic-cxr"),
        ("[mimic-cxr]\nrot = '/a'", r"key of \[mimic-cxr\] in bench\.toml 'rot'\. Did you mean root"),
        ("[mimic-cxr]\nlayuot = 'jpg'", "'layuot'. Did you mean layout"),
    ],
)
def test_a_key_that_means_nothing_is_refused(tmp_path, content, says):
    """Else the commands would run on the phantom without a word."""
    (tmp_path / "bench.toml").write_text(content)
    with pytest.raises(UserError, match=says):
        config.data_root("mimic-cxr")
