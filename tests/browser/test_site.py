"""`bench site` in a browser: 60 runs, two protocols, and a model that writes HTML."""

import json
import shutil
from pathlib import Path

import pytest

from benchmark import aggregates, store
from benchmark.site import build as site
from benchmark.speed.site import enlarge

ROOT = Path(__file__).parents[2]
BOARD, PROTOCOL, RUNS = "phantom-val", "r2gen-mimic", 60
BAD = "</script><script>document.title = 'taken'</script><img src=x onerror=\"document.title = 'taken'\">"
PHONE, DESK = {"width": 390, "height": 844}, {"width": 1280, "height": 900}


@pytest.fixture(scope="module")
def folder(tmp_path_factory, call_bench):
    """A site of the committed aggregates, again and again, and of a small phantom with studies."""
    base = tmp_path_factory.mktemp("site")
    results, data = base / "results", base / "data"
    boards = base / "boards"  # without the runs that a quick start leaves beside them
    shutil.copytree(ROOT / "results" / "scores" / BOARD, boards / "scores" / BOARD)
    enlarge(boards, BOARD, results, RUNS, tested=5)
    for path in (results / "scores" / BOARD).glob("0*.json"):
        entry = store.read_json(path)
        compact = {name: aggregates.compact(entry["sections"][name]) for name in ("findings", "impression")}
        compact["findings"]["metrics"]["cider"] |= {"value": 7.0 - int(entry["run_id"][:4]) / 10}
        note = BAD if path.name.startswith("0000") else entry["note"]
        store.write_json(path, {**entry, "note": note, "protocols": {PROTOCOL: compact}})
    sizes = ("--train", 6, "--validate", 6, "--test", 1, "--size", 64)
    assert call_bench(results, "data", "make", "phantom", "--root", data, *sizes)[0] == 0
    assert call_bench(results, "generate", "most-frequent", "--dataset", "phantom", "--root", data)[0] == 0
    (predictions,) = (results / "runs").glob("*/*/most-frequent/*/predictions.jsonl")
    lines = [{"study_id": line["study_id"], "text": f"Findings: {BAD} clear lungs."} for _, line in
             store.read_jsonl(predictions)]  # fmt: skip
    written = base / "written.jsonl"
    written.write_text("\n".join(map(json.dumps, lines)))
    status, _, said = call_bench(
        results, "submit", written, "--name", "html", "--dataset", "phantom", "--root", data, "--split", "val"
    )
    assert status == 0, said
    return site.build(results, base / "site").folder


@pytest.fixture
def visit(browser, folder):
    """Opens a page of the site; when the test ends, nothing may have gone wrong or outside."""
    wrong, contexts = [], []

    def look(request):
        if not request.url.startswith((folder.as_uri(), "data:")):
            wrong.append(f"asked for {request.url}")

    def open_page(path, size=DESK):
        contexts.append(browser.new_context(viewport=size))
        page = contexts[-1].new_page()
        page.on("request", look)
        page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.set_default_timeout(120_000)  # a busy machine is slow, not wrong
        page.goto((folder / path).as_uri())
        if page.locator("#studies").count():
            page.locator(".study .report").first.wait_for()
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert wrong == []


def studies(folder):
    (path,) = folder.glob("*/studies.html")
    return path.relative_to(folder)


def a_pair(folder):
    return next((folder / BOARD / "pairs").glob("*.html")).relative_to(folder)


def a_model(folder):
    return next((folder / BOARD).glob("vgpt2-*.html")).relative_to(folder)


PAGES = {
    "first": lambda folder: "index.html",
    "board": lambda folder: f"{BOARD}/index.html",
    "protocol": lambda folder: f"{BOARD}/protocol-{PROTOCOL}.html",
    "model": a_model,
    "pair": a_pair,
    "studies": studies,
}


def column(page, name):
    """The cells of the visible table's column."""
    table = page.locator("section.section:not([hidden]) table")
    heads = [text.strip() for text in table.locator("thead th").all_text_contents()]
    rows = table.locator("tbody tr:not([hidden])")
    return rows.locator(f":scope > :nth-child({heads.index(name) + 1})").all_text_contents()


def head(page, name):
    return page.get_by_role("button", name=name, exact=True)


@pytest.mark.parametrize("name", PAGES)
def test_no_page_has_a_serious_finding_of_axe(visit, folder, name):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed")
    page = visit(PAGES[name](folder))
    page.evaluate("for (const each of document.querySelectorAll('details')) each.open = true")
    found = axe.Axe().run(page, options={"preload": False, "resultTypes": ["violations"]}).response["violations"]
    grave = {each["id"]: each["nodes"][0]["html"] for each in found if each["impact"] in ("serious", "critical")}
    assert grave == {}


@pytest.mark.parametrize("name", PAGES)
def test_on_a_phone_the_page_does_not_scroll_sideways(visit, folder, name):
    page = visit(PAGES[name](folder), PHONE)
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]


def test_a_column_is_sorted_both_ways(visit):
    page = visit(f"{BOARD}/index.html")
    for name in ("BLEU-4", "n"):
        head(page, name).click()
        values = [float(text) for text in column(page, name)]
        assert len(values) == RUNS and values == sorted(values, reverse=True)
        head(page, name).click()
        assert [float(text) for text in column(page, name)] == sorted(values)
    head(page, "model").click()
    names = column(page, "model")
    assert names == sorted(names) and names[0].startswith("best-constant")
    assert page.locator("th[aria-sort]:visible").all_text_contents() == ["model"]


def test_rows_are_filtered_by_words(visit):
    page = visit(f"{BOARD}/index.html")
    page.get_by_label("Filter").fill("vgpt2 tiny")
    names = column(page, "model")
    assert names and all(name.startswith("vgpt2") for name in names)
    assert page.get_by_role("status").text_content() == f"{len(names)} of {RUNS} runs"
    page.get_by_label("Filter").fill("no such model")
    assert column(page, "model") == []


def test_a_section_is_chosen(visit):
    page = visit(f"{BOARD}/index.html")
    whole = column(page, "CIDEr")
    page.get_by_label("Section").select_option("impression")
    assert page.get_by_role("heading", level=2).locator("visible=true").first.text_content() == "Impression"
    assert column(page, "CIDEr") != whole


def test_a_protocol_is_chosen_and_the_section_goes_along(visit):
    page = visit(f"{BOARD}/index.html")
    page.get_by_label("Section").select_option("findings")
    page.get_by_label("Protocol").select_option(PROTOCOL)
    page.wait_for_url(f"**/protocol-{PROTOCOL}.html#findings")
    assert PROTOCOL in page.get_by_role("heading", level=1).text_content()
    values = [float(text) for text in column(page, "CIDEr")]
    assert values == [pytest.approx(7 - i / 10) for i in range(RUNS)]
    page.get_by_label("Protocol").select_option("default")
    page.wait_for_url(f"**/{BOARD}/index.html#findings")
    assert column(page, "CIDEr")[0] < "3"


def test_html_in_a_note_or_a_report_is_text(visit, folder):
    page = visit(f"{BOARD}/index.html")
    assert page.get_by_text(BAD, exact=False).first.text_content().startswith(BAD)
    assert page.title() == BOARD
    page = visit(studies(folder))
    assert page.locator(".report", has_text="document.title").count() == 6
    assert page.locator("#studies script, #studies img[src='x']").count() == 0
    assert page.title().startswith("Studies of")


def test_studies_are_put_in_order_and_filtered(visit, folder):
    page = visit(studies(folder))
    ids = page.locator(".study h2").all_text_contents()
    assert ids == sorted(ids) and len(ids) == 6
    page.get_by_label("Study", exact=True).fill(ids[3])
    assert page.locator(".study h2").all_text_contents() == [ids[3]]
    page.get_by_label("Study", exact=True).fill("")
    page.get_by_label("Order").select_option("worst bertscore_f1")
    page.locator(".study .small", has_text="BERTScore").first.wait_for()
    scores = [float(text.rpartition("BERTScore ")[2]) for text in page.locator(".report .small").all_text_contents()]
    assert len(scores) >= 5 and scores == sorted(scores)
    assert all(
        page.locator(".study img").evaluate_all("images => images.map(one => one.complete && one.naturalWidth > 0)")
    )
