"""`bench demo` as people use it: the real server and the real command, in a real browser."""

import csv
import json
import os
import re
import socket
import struct
import subprocess
import sys
import time
import urllib.error
import urllib.request

import numpy as np
import pytest
from PIL import Image

from benchmark import load_model, registry, train

pytest.importorskip("streamlit", reason="streamlit is not installed (extra app)")

SMALL = {
    "encoder": "test_resnet", "encoder_args": {}, "layers": 2, "width": 64, "heads": 2, "vocabulary": 300,
    "image_size": 32, "epochs": 4, "batch_size": 4, "learning_rate": 5e-3, "save_every": 10_000, "degrees": 0.0,
    "shift": 0.0, "scale": 0.0, "word_loss": 1.0,
}  # fmt: skip
"""With these a vgpt2 learns four reports by heart in seconds."""
REPORTS = (
    ("The heart is large. There is no pleural effusion or pneumothorax. The lungs are clear, without focal "
     "consolidation, and the bony structures are intact.", "Cardiomegaly."),
    ("A small left pleural effusion is seen, with overlying atelectasis. The heart is of normal size. There is no "
     "pneumothorax on either side.", "Small left pleural effusion."),
    ("The lungs are well aerated and clear. Heart and mediastinum are normal. No acute bony abnormality is found "
     "anywhere on this view.", "Normal chest."),
    ("A nodule of 12 mm lies in the right upper lobe. No effusion and no pneumothorax. The heart is not enlarged. "
     "Follow-up is advised.", "Right upper lobe nodule."),
)  # fmt: skip
SLOWLY = "slowly"
SERVER = f"""
import os, time
from benchmark import generate
from benchmark.cli import main

stream = generate.stream

def slowly(plugin, study, settings, seed, on_text):
    pause = 0.02 if os.path.exists("{SLOWLY}") else 0.0
    return stream(plugin, study, settings, seed, lambda text: (on_text(text), time.sleep(pause)))

generate.stream = slowly
main()
"""
"""The command, with a pause after each token while there is a file of that name: a model of this size is done before a
busy browser has had a turn."""
HARM = '<script>document.title = "harm"</script><img src="x" onerror="document.title = \'harm\'"> **bold** Clear lungs.'
GROWTH = """() => {
    window.seen = [];
    new MutationObserver(() => {
        const writing = document.querySelector(".caret"), box = document.querySelector(".box.findings p");
        const text = writing && box ? box.innerText.trim() : "";
        if (text && seen.at(-1) !== text) seen.push(text);
    }).observe(document.body, {subtree: true, childList: true, characterData: true});
}"""
"""Notes what stands in the box of findings, as often as it changes while a report is written."""


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    """A working folder with a vgpt2 that knows four reports, a model that writes HTML, and one of a phantom."""
    here = tmp_path_factory.mktemp("demo")
    learn("vgpt2", "tiny", own_data(here / "own", REPORTS, copies=40), here, **SMALL)
    random = {"encoder": "test_resnet", "image_size": 32}
    learn("nearest-report", "random", own_data(here / "harm", [(HARM, "<b>Normal</b>")] * 2), here, **random)
    plugin = registry.DATASETS.load("phantom")
    plugin.provide(here / "phantom", n_train=4, n_validate=1, n_test=3, long_side=64)
    learn("nearest-report", "random", plugin(here / "phantom"), here, **random)
    return here


def own_data(folder, reports, copies=1):
    """Pictures of noise with these reports: for validation, and the same, so often, for training."""
    folder.mkdir()
    with (folder / "studies.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(("study_id", "patient_id", "split", "image", "findings", "impression"))
        for i, report in enumerate(reports):
            picture(folder / f"{i}.png", seed=i)
            for name in ("validate", *(f"train{copy}" for copy in range(copies))):
                table.writerow((f"{name}-{i}", f"{name}-{i}", name.rstrip("0123456789"), f"{i}.png", *report))
    return registry.DATASETS.load("own")(folder)


def learn(name, preset, dataset, here, **changes):
    recipe = train.Recipe(name, preset, dataset.name, 0, changes)
    train.train(registry.MODELS.load(name), recipe, dataset, here / "results", device="cpu")


def picture(path, seed=0, kind=np.uint8):
    highest = np.iinfo(kind).max
    values = np.random.default_rng(seed).integers(0, highest, (4, 5)).astype(kind)
    Image.fromarray(values.repeat(16, axis=0).repeat(16, axis=1)).save(path)
    return path


@pytest.fixture(scope="module")
def address(here):
    """Of a running demo."""
    with socket.create_server(("localhost", 0)) as free:
        port = free.getsockname()[1]
    environment = {**os.environ, "BENCH_RESULTS": str(here / "results"), "PHANTOM_ROOT": str(here / "phantom")}
    command = [sys.executable, "-P", "-c", SERVER, "demo", "--port", str(port)]
    with (here / "log").open("w") as log:
        server = subprocess.Popen(command, cwd=here, env=environment, stdout=log, stderr=log)
    try:
        while not answers(f"http://localhost:{port}/_stcore/health"):
            assert server.poll() is None, (here / "log").read_text()
            time.sleep(0.1)
        yield f"http://localhost:{port}"
    finally:
        server.terminate()
        server.wait(timeout=30)


def answers(url):
    try:
        return urllib.request.urlopen(url, timeout=5).status == 200
    except (urllib.error.URLError, TimeoutError):
        return False


@pytest.fixture(scope="module")
def profile(browser):
    """One profile of the browser for all visitors: Streamlit knows them by their connection, and the scripts that it
    sends, megabytes of them, are read and compiled once."""
    context = browser.new_context(viewport={"width": 1280, "height": 900}, locale="en-GB")
    yield context
    context.close()


@pytest.fixture
def visit(profile, address):
    """Opens the demo as a visitor of their own; errors of their console are errors of the test."""
    errors = []

    def open_page(context=profile):
        page = context.new_page()
        page.set_default_timeout(120_000)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("request", lambda request: outside(request.url, address, errors))
        page.goto(address)
        page.get_by_test_id("stFileUploader").wait_for()
        return page

    yield open_page
    for page in profile.pages:
        page.close()
    assert not errors


def outside(url, address, errors):
    if not url.startswith((address, address.replace("http", "ws"), "data:", "blob:")):
        errors.append(f"asked for {url}")


def upload(page, path):
    page.locator("input[type=file]").set_input_files(path)


def write(page, n=1):
    """Have reports written; gives what the boxes of findings and impression hold, report by report."""
    page.get_by_role("button", name=re.compile("Write the report|Raporu yaz")).click()
    page.get_by_test_id("stDownloadButton").nth(2 * n - 1).wait_for()
    sections = [page.locator(f".box.{kind} p").all_text_contents() for kind in ("findings", "impression")]
    return list(zip(*(texts[:n] for texts in sections), strict=True))


def clear(page):
    page.get_by_role("button", name="Clear").click()
    page.wait_for_function("() => !document.querySelector('.film, [role=alert]')")
    page.get_by_text("Choose a radiograph to begin").wait_for()


def choose(page, box, option):
    page.get_by_role("combobox", name=box, exact=True).click()
    page.get_by_role("option", name=option).click()


def slide(page, server, name, key, value):
    """Move a slider to its end, and wait until its value is on the way: Streamlit sends it once the slider has rested.

    A slider that is set anew just then forgets the key, so it is pressed again; at the end that changes nothing.
    """
    sent = []
    server.on("framesent", lambda frame: sent.append(frame) if struct.pack("<d", value) in bytes(frame) else None)
    for _ in range(60):
        page.get_by_role("slider", name=name).press(key)
        page.wait_for_timeout(2000)
        if sent:
            return
    raise AssertionError(f"The slider '{name}' sent no {value}.")


def downloaded(page, name):
    page.locator("[data-test-script-state=notRunning]").wait_for()  # until then the button may be the last report's
    with page.expect_download() as waiting:
        page.get_by_role("button", name=name).click()
    return waiting.value.path().read_text("utf-8")


def test_from_the_upload_to_the_files_and_back(visit, here):
    page = visit()
    with page.expect_websocket() as connected:
        page.reload()
    image = here / "own/0.png"
    upload(page, image)
    page.locator(".film").wait_for()
    page.evaluate(GROWTH)
    (here / SLOWLY).touch()
    ((findings, impression),) = write(page)
    (here / SLOWLY).unlink()
    (checkpoint,) = (here / "results/checkpoints/vgpt2").iterdir()
    expected = load_model(checkpoint).generate(image, max_new_tokens=160)
    assert (findings, impression) == (expected.findings, expected.impression)
    findings = " ".join(findings.split())  # as the page sets it
    seen = [text for text in page.evaluate("seen") if len(text) < len(findings)]
    assert len(seen) >= 2 and all(findings.startswith(text) for text in seen)  # it grew before it was there
    assert seen == sorted(seen, key=len)

    sentence = page.locator(".box.findings .sentence").first
    heat = page.locator(".of-s-0-findings-0")
    assert heat.evaluate("map => getComputedStyle(map).opacity") == "0"
    sentence.hover()
    page.wait_for_function("map => getComputedStyle(map).opacity === '1'", arg=heat.element_handle())

    page.get_by_text("Raw output").click()
    assert page.get_by_test_id("stCode").inner_text().strip() == expected.text
    about = json.loads(downloaded(page, "Download JSON"))
    assert (about["text"], about["findings"]) == (expected.text, expected.findings)
    assert about["model"] == "vgpt2" and about["checkpoint"]["name"] == checkpoint.name
    assert about["settings"] == {"method": "greedy", "max_new_tokens": 160, "repetition_penalty": 1.0}
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", about["time"])
    text = downloaded(page, "Download TXT")
    assert all(part in text for part in (expected.text, expected.findings, "vgpt2", checkpoint.name, about["time"]))

    page.get_by_text("Sampling").click()
    page.get_by_role("slider", name="Temperature").wait_for()
    page.locator("[data-test-script-state=notRunning]").wait_for()  # a slider that is set anew forgets what it was told
    slide(page, connected.value, "Maximum new tokens", "Home", 60)
    slide(page, connected.value, "Temperature", "End", 1.5)
    page.locator(".hint", has_text="Greedy").wait_for()  # what was written keeps its settings
    page.get_by_role("button", name="Write the report").click()
    page.locator(".hint", has_text="Sampling, Maximum new tokens 60").wait_for()
    about = json.loads(downloaded(page, "Download JSON"))
    assert about["settings"]["temperature"] == 1.5 and about["n_tokens"] <= 60 and about["text"] != expected.text

    clear(page)
    assert page.locator(".box").count() == page.locator(".film").count() == 0


def test_two_models_in_two_languages_and_one_of_them_writes_html(visit, browser):
    page = visit()
    title = page.title()
    page.get_by_text("Take a phantom").click()
    page.locator(".film").wait_for()
    page.get_by_text("Compare with a second model").click()
    page.get_by_text("Second checkpoint").wait_for()
    choose(page, "Second checkpoint", re.compile("harm"))
    page.locator(".hint", has_text="trained on own-harm").wait_for()
    first, second = write(page, 2)
    assert first[0] and second == (HARM, "<b>Normal</b>")
    assert page.title() == title and page.locator(".box script, .box img, .box b, .box strong").count() == 0
    page.get_by_text("What the phantom's reader wrote").click()
    page.locator(".box").nth(4).wait_for()

    page.get_by_text("Türkçe").click()
    page.get_by_role("heading", name="Göğüs röntgeni raporları").wait_for()
    page.get_by_text("Klinik kullanım için değildir").wait_for()
    assert page.locator(".box.findings p").first.inner_text() == first[0]
    page.locator(".box.findings h3", has_text="Bulgular").first.wait_for()
    turkish = browser.new_context(locale="tr-TR")
    assert visit(turkish).get_by_role("heading", name="Göğüs röntgeni raporları").is_visible()
    turkish.close()


def test_the_nearest_training_phantom(visit, here):
    page = visit()
    study = registry.DATASETS.load("phantom")(here / "phantom").studies("train")[2]
    upload(page, study.views[0].path)
    choose(page, "Model", "nearest-report")
    page.locator(".hint", has_text="trained on phantom").wait_for()
    write(page)
    page.get_by_text("This model does not show where it looks").wait_for()
    page.get_by_role("button", name="Find the nearest training phantom").click()
    assert study.study_id in page.locator(".near").inner_text()  # an image is the most like itself


def test_files_that_are_no_radiographs(visit, tmp_path):
    page = visit()
    (tmp_path / "text.png").write_text("no picture")
    (tmp_path / "empty.png").write_bytes(b"")
    Image.new("1", (10_000, 10_000)).save(tmp_path / "huge.png")
    (tmp_path / "<img src=x>.png").write_text("no picture")
    for name, says in (
        ("text.png", "text.png is text instead of an image."),
        ("empty.png", "empty.png is empty (0 bytes)."),
        ("huge.png", "huge.png claims more pixels than is plausible."),
        ("<img src=x>.png", "<img src=x>.png is text instead of an image."),
    ):
        upload(page, tmp_path / name)
        page.get_by_role("alert").filter(has_text=says).wait_for()
        assert page.get_by_role("alert").count() == 1
        clear(page)
    upload(page, picture(tmp_path / "16 bits.png", kind=np.uint16))
    page.get_by_text("Radiograph: 16 bits.png").wait_for()
    assert write(page)
    clear(page)
    pydicom = pytest.importorskip("pydicom")
    upload(page, pydicom.data.get_testdata_file("CT_small.dcm"))
    page.get_by_text("Radiograph: CT_small.dcm").wait_for()
    assert write(page)


def test_ten_visitors_at_once_get_their_own_reports(visit, here, tmp_path):
    (checkpoint,) = (here / "results/checkpoints/vgpt2").iterdir()
    model = load_model(checkpoint)
    images = [picture(tmp_path / f"{i}.png", seed=i) for i in range(10)]
    expected = [model.generate(image, max_new_tokens=160).findings for image in images]
    assert len(set(expected)) >= 4
    pages = [visit() for _ in images]
    for page, image in zip(pages, images, strict=True):
        upload(page, image)
    for page in pages:
        page.locator(".film").wait_for()
    for page in pages:
        page.get_by_role("button", name="Write the report").click(no_wait_after=True)
    for page in pages:
        page.get_by_test_id("stDownloadButton").nth(1).wait_for()
    assert [page.locator(".box.findings p").text_content() for page in pages] == expected
