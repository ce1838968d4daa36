"""What the README and the guides hold besides commands: links, snippets of Python, tables that must be whole."""

import re
import subprocess
import tomllib
from pathlib import Path

import pytest
from PIL import Image

from benchmark import fetch, leaderboard, protocols, registry
from benchmark.submit import Card

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "README.tr.md", *sorted(DOCS.glob("*.md"))]
IDS = [str(page.relative_to(ROOT)) for page in PAGES]
every_page = pytest.mark.parametrize("page", PAGES, ids=IDS)


def text_of(page):
    """Without what stands in fenced blocks."""
    return re.sub(r"^```.*?^```$", "", page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)


def anchor(heading):
    """As GitHub makes it: lower case, hyphens for spaces, letters and digits kept."""
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


@every_page
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", text_of(page)):
        if target.startswith("https://"):
            continue
        path, _, part = target.partition("#")
        there = (page.parent / path).resolve() if path else page
        assert there.exists(), target
        if part:
            assert part in map(anchor, re.findall(r"^#+ (.*)$", text_of(there), re.MULTILINE)), target


def test_the_index_has_every_guide_and_the_readme_leads_to_each():
    guides = {page.name for page in DOCS.glob("*.md")} - {"README.md"}
    assert guides == set(re.findall(r"\]\(([\w-]+\.md)\)", (DOCS / "README.md").read_text("utf-8")))
    for readme in PAGES[:2]:
        assert guides <= set(re.findall(r"docs/([\w-]+\.md)\)", readme.read_text("utf-8")))


def tables(readme):
    """The lines of the leaderboard and of the table over seeds."""
    text = readme.read_text("utf-8")
    return [
        re.search(rf"<!-- {name} -->\n(.*)\n<!-- /{name} -->", text, re.DOTALL)[1].splitlines()
        for name in ("table", "seeds")
    ]


def test_both_readmes_hold_the_same_python_and_tables(snippets):
    english, turkish = ([code for _, code in snippets(page, "python")] for page in PAGES[:2])
    assert english == turkish
    assert tables(PAGES[0]) == tables(PAGES[1])


def test_the_figures_of_the_readme_are_those_of_the_leaderboard():
    # Of the committed one: `make quickstart` adds the run of this machine to the one that lies here.
    committed = subprocess.run(["git", "show", "HEAD:results/phantom-val.md"], cwd=ROOT, capture_output=True)
    if committed.returncode:
        pytest.skip("not in a clone of the repository")
    _, board = committed.stdout.decode().split("\n## report\n")
    for shown in tables(PAGES[0]):
        assert len(shown) > 5 and set(shown) <= set(board.splitlines())


# --- tables that must be whole ----------------------------------------------------------------------------------


def named_in(page):
    return set(re.findall(r"`([^`\n]+)`", (DOCS / page).read_text("utf-8")))


def test_every_column_of_the_leaderboard_is_explained():
    every = {*leaderboard.BEFORE_METRICS, *leaderboard.METRICS, *leaderboard.AFTER_METRICS}
    columns = {re.sub(r"^.*(?=_(mean|deviation)$)", "<metric>", column) for column in every}
    assert columns - named_in("leaderboard.md") == set()


def test_every_column_of_your_own_table_is_explained():
    from benchmark.datasets._own_columns import NAMES

    assert {name for names in NAMES.values() for name in names} - named_in("own-data.md") == set()
    options = registry.DATASETS.load("own").OPTIONS
    assert {name.partition("=")[0] for name in named_in("own-data.md")} >= set(options)


def test_every_form_of_mimic_cxr_is_explained():
    from benchmark.datasets.mimic_cxr import LAYOUTS

    assert set(LAYOUTS) - named_in("mimic-cxr.md") == set()


def test_every_protocol_and_field_of_the_card_is_named():
    assert set(protocols.names()) - named_in("scoring.md") == set()
    options = {f"--{field.replace('_', '-')}" for field in Card.__dataclass_fields__}
    assert options - named_in("own-model.md") == set()


def test_what_is_to_be_fetched_is_there_to_be_fetched():
    shown = re.findall(r"bench fetch ((?!-)[^#\n`]+)", (DOCS / "closed-networks.md").read_text("utf-8"))
    assert fetch.choose(" ".join(shown).split())


# --- snippets ---------------------------------------------------------------------------------------------------


@every_page
def test_snippets_are_sound(page, snippets):
    """They compile and parse; what they do is tested below and, of the README's example, in test_api.py."""
    for name, code in snippets(page, "python"):
        compile(code, name or page.name, "exec")
    for _, code in snippets(page, "toml"):
        tomllib.loads(code)


def test_the_model_of_the_page_can_move_into_a_package(snippets):
    page = (DOCS / "own-model.md").read_text("utf-8")
    full, near = re.search(r"`(from benchmark\.models.*?)` in place\s+of `(.*?)`", page).groups()
    (code,) = (code for name, code in snippets(DOCS / "own-model.md", "python") if name == "models/brightness.py")
    assert near in code
    module = {"__name__": "their_package.my_model", "__package__": "their_package"}
    exec(code.replace(near, full), module)
    assert module["Model"].PRESETS


def test_the_table_of_your_own_data_is_read(snippets, tmp_path, call_bench):
    ((name, content),) = snippets(DOCS / "own-data.md", "csv")
    assert name == "my-data/studies.csv"
    (tmp_path / "my-data" / "images").mkdir(parents=True)
    (tmp_path / name).write_text(content)
    for number, image in enumerate(("a1", "a2", "a2-side", "a3")):
        Image.new("L", (24, 32), 40 * number).save(tmp_path / f"my-data/images/{image}.png")
    status, _, err = call_bench(tmp_path / "results", "data", "check", "own", "--root", tmp_path / "my-data")
    assert status == 0, err
    data = registry.DATASETS.load("own")(tmp_path / "my-data")
    (study,) = data.studies("test")
    assert [view.position for view in study.views] == ["PA", "LATERAL"] and study.attributes["sex"] == "M"


def test_the_mapping_is_read(snippets, tmp_path):
    from benchmark.datasets._mimic_mapped import Mapped

    mapping, _ = sorted(
        (code for _, code in snippets(DOCS / "mimic-cxr.md", "toml")), key=lambda code: "images" not in code
    )
    (tmp_path / "mapping.toml").write_text(mapping)
    form = Mapped(tmp_path)
    assert form.suffix == "-mimic-512" and form.mapping["reports"] == "reports/s{study_id}.txt"


@pytest.mark.slow
def test_the_examples_of_plugins_do_what_the_pages_say(put_in_place, tmp_path, call_bench):
    put_in_place(ROOT / "README.md")
    modules = put_in_place(DOCS / "own-model.md")
    assert [module.rpartition(".")[2] for module in modules] == ["coin", "our_hospital", "coverage", "brightness"]
    root = tmp_path / "hospital"
    registry.DATASETS.load("phantom").provide(root, n_train=8, n_validate=24, n_test=3, long_side=64)
    source = ("--dataset", "our-hospital", "--root", root)
    for words in (("eval", "coin"), ("train", "brightness"), ("eval", "brightness")):
        status, out, err = call_bench(tmp_path / "results", *words, *source)
        assert status == 0, err
    (board,) = leaderboard.boards(tmp_path / "results")
    assert board.name == "our-hospital-val"
    assert {row["model"] for row in board.rows} == {"coin", "brightness"}
    assert all(row["coverage"] is not None for row in board.rows if row["section"] == "findings")
