"""The parts of `bench demo` without a browser; tests/browser/test_demo.py sees the whole."""

import base64
import contextlib
import io
import json
import re
import socket
import string
import threading
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from PIL import Image

from benchmark import registry, train
from benchmark.api import LoadedModel
from benchmark.contracts import Looks
from benchmark.demo import heat, markup, nearest, pictures, serve, shelf, writing
from benchmark.demo.words import LANGUAGES, WORDS
from benchmark.errors import ImageKind, UserError
from benchmark.schema import LABEL_VALUES, LABELS, Prediction, Reference

HARM = '<script>alert(1)</script> "it\'s" & more.'


@pytest.mark.parametrize("language", LANGUAGES)
def test_both_languages_say_the_same_things(language):
    english, words = WORDS["en"], WORDS[language]
    assert words.keys() == english.keys() and all(words.values())
    used = {*LABELS, *LABEL_VALUES.values(), *writing.METHODS, *writing.ALWAYS, *markup.SECTIONS}
    assert used | {key for keys in writing.METHODS.values() for key in keys} <= words.keys()
    for key, text in words.items():
        assert _fields(text) == _fields(english[key]), key


def _fields(text):
    return {field for _, field, _, _ in string.Formatter().parse(text) if field}


def test_every_word_that_the_page_asks_for_is_there():
    source = "".join(path.read_text("utf-8") for path in Path(serve.__file__).parent.glob("*.py"))
    asked = set(re.findall(r"""words\[f?["'](\w+)["']\]""", source))
    assert {"title", "notice", "write"} <= asked <= WORDS["en"].keys()


def test_sentences_are_found_again_in_the_text():
    findings, impression = "Clear lungs. Nodule of 3.5 mm. Clear lungs.", "Clear lungs."
    text = f"Findings: {findings} Impression: {impression}"
    assert list(heat.sentences(findings)) == ["Clear lungs.", "Nodule of 3.5 mm.", "Clear lungs."]
    spans = [(match.start(), match.end()) for match in re.finditer(r"\S+", text)]
    maps = np.zeros((len(spans), 2, 2))
    maps[2:4, 0, 1] = 1.0  # while it wrote the second "lungs." and the like, the upper right
    maps[-1, 1, 0] = 1.0
    both = heat.sections(text, findings, impression, Looks(spans, maps, True), (100, 100))
    assert [[each.text for each in section] for section in both] == [list(heat.sentences(findings)), ["Clear lungs."]]
    assert brightest(both[1][0].heat) == ("bottom", "left")
    assert heat.sections(text, findings, impression, None, (100, 100))[0][0].heat == ""


@pytest.mark.parametrize("keep_aspect", [True, False])
def test_the_map_lies_as_the_picture_does(keep_aspect):
    """A wide picture lies in the middle of its square: what was looked at above it is not on the picture."""
    maps = np.zeros((1, 4, 4))
    maps[0, 0] = 1.0  # the uppermost quarter
    drawn = alpha(heat.heat(Looks([(0, 5)], maps, keep_aspect), 0, 5, (200, 100)))
    assert drawn.shape == ((60, 120) if keep_aspect else (120, 120))
    if not keep_aspect:
        assert drawn[0].min() > 200 and drawn[60:].max() < 50


def alpha(uri):
    assert uri.startswith("data:image/png;base64,")
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))))[..., 3]


def brightest(uri):
    values = alpha(uri)
    row, column = np.unravel_index(values.argmax(), values.shape)
    return ("top" if row < values.shape[0] / 2 else "bottom"), ("left" if column < values.shape[1] / 2 else "right")


def written(text=HARM, **changes):
    sentences = [heat.Sentence(text, "data:image/png;base64,AAAA")]
    values = {
        "model": text,
        "checkpoint": {"name": text, "hash": "0" * 64, "preset": "tiny", "dataset": text},
        "settings": {"method": "sampling", "temperature": 0.7},
        "image": text,
        "picture": "key",
        "time": "2026-11-25T12:00:00Z",
        "prediction": Prediction("image", f"Findings: {text} Impression: {text}", text, text, n_tokens=9),
        "findings": sentences,
        "impression": sentences,
        "has_looks": True,
    }
    return writing.Written(**{**values, **changes})


@pytest.mark.parametrize("language", LANGUAGES)
def test_nothing_that_a_model_or_a_user_writes_is_html(language):
    words = WORDS[language]
    picture = pictures.Picture("key", HARM, b"", (10, 10), "data:image/jpeg;base64,AAAA")
    reference = Reference("s", "p", HARM, HARM)
    each = written()
    pieces = [
        markup.line("problem", HARM),
        markup.films(picture, [each], words),
        markup.maker(HARM, HARM),
        markup.growing(f"Findings: {HARM} Impression: {HARM}", words),
        markup.report(each, 0, words),
        markup.labels(each, words),
        markup.reference(reference, words),
        markup.nearest(nearest.Nearest(HARM, "data:image/jpeg;base64,AAAA", 0.5, reference), words),
    ]
    for piece in pieces:
        assert "<script" not in piece
    assert all("&lt;script&gt;" in pieces[i] for i in (0, 1, 2, 3, 4, 6, 7))


def test_the_files_say_how_the_report_came_to_be():
    each = written("Small left pleural effusion.", model="vgpt2")
    about = json.loads(each.as_json())
    assert about["labels"] == {"Pleural Effusion": 1} and about["time"] == each.time
    assert about["settings"] == {"method": "sampling", "temperature": 0.7} and about["checkpoint"]["hash"] == "0" * 64
    for words in WORDS.values():
        text = each.as_txt(words)
        assert each.prediction.text in text and words["notice"] in text and "temperature=0.7" in text
    assert each.file_name("txt") == "report-vgpt2-20261125120000.txt"


def test_only_what_counts_for_the_method_is_kept():
    values = {key: 1 for keys in writing.METHODS.values() for key in keys} | dict.fromkeys(writing.ALWAYS, 2)
    assert writing.chosen({**values, "method": "greedy"}).keys() == {"method", *writing.ALWAYS}
    assert "seed" in writing.chosen({**values, "method": "sampling"})


def test_an_upload_is_read_without_a_file_on_disk(tmp_path, monkeypatch):
    monkeypatch.setattr(pictures.tempfile, "tempdir", str(tmp_path))
    held = io.BytesIO()
    Image.fromarray(np.arange(64, dtype=np.uint16).reshape(8, 8) * 1000).save(held, "PNG")
    picture = pictures.open_upload("key", "chest.png", held.getvalue())
    assert picture.size == (8, 8) and picture.shown.startswith("data:image/jpeg;base64,")
    with picture.file() as path:
        assert path.read_bytes() == held.getvalue()
        assert pictures.IN_MEMORY and not list(tmp_path.iterdir())
    monkeypatch.setattr(pictures, "IN_MEMORY", False)
    with picture.file() as path:
        assert path.read_bytes() == held.getvalue() and tmp_path in path.parents
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("in_memory", [True, False])
def test_what_is_no_image_is_told_by_its_own_name(monkeypatch, in_memory):
    monkeypatch.setattr(pictures, "IN_MEMORY", in_memory)
    whole = io.BytesIO()
    Image.new("L", (64, 64)).save(whole, "PNG")
    contents = {
        "empty": b"",
        "text": b"words",
        "markup": b"<html>",
        "unknown": b"\0\1\2",
        "damaged": whole.getvalue()[:60],
    }
    with contextlib.suppress(ImportError):
        import pydicom.data

        contents["no_picture"] = Path(pydicom.data.get_testdata_file("rtplan.dcm")).read_bytes()
    for kind, content in contents.items():
        with pytest.raises(pictures.NoPicture) as found:
            pictures.open_upload("key", "chest.png", content)
        assert (found.value.name, found.value.kind) == ("chest.png", kind)


def test_every_kind_of_unreadable_image_has_its_sentence():
    for words in WORDS.values():
        assert {f"image_{kind}" for kind in get_args(ImageKind)} <= words.keys()


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Results with a nearest-report over a phantom, and the phantom."""
    here = tmp_path_factory.mktemp("trained")
    plugin = registry.DATASETS.load("phantom")
    plugin.provide(here / "phantom", n_train=5, n_validate=1, n_test=1, long_side=64)
    recipe = train.Recipe("nearest-report", "random", "phantom", 0, {"encoder": "test_resnet", "image_size": 32})
    phantom = plugin(here / "phantom")
    train.train(registry.MODELS.load("nearest-report"), recipe, phantom, here / "results", device="cpu")
    return here / "results", phantom


def test_a_study_is_the_nearest_to_itself(trained, monkeypatch):
    results, phantom = trained
    (checkpoint,) = shelf.look(results).models["nearest-report"]
    shared = shelf.open_shared(checkpoint)
    study = phantom.studies("train")[3]
    shares = []
    monkeypatch.setattr(nearest, "AT_A_TIME", 2)
    found = nearest.find(shared, pictures.open_file("x", study.views[0].path), phantom, results, shares.append)
    assert found.study_id == found.reference.study_id == study.study_id and found.similarity == pytest.approx(1)
    assert shares == sorted(shares) and shares[-1] == 1
    shares.clear()  # kept for the next time
    nearest.find(shared, pictures.open_file("x", study.views[0].path), phantom, results, shares.append)
    assert not shares


def test_one_at_a_time_is_written(trained):
    """Whoever comes while a report is written is told to wait, and then gets their own."""
    results, phantom = trained
    (checkpoint,) = shelf.look(results).models["nearest-report"]
    shared = shelf.open_shared(checkpoint)
    study, reference = phantom.studies("train")[0], phantom.references("train")[0]
    settings = {"method": "greedy", "max_new_tokens": 60, "repetition_penalty": 1.0}
    waited, got = threading.Event(), []

    def ask():
        picture = pictures.open_file("x", study.views[0].path)
        got.append(writing.write(shared, picture, settings, lambda text: None, waited.set))

    with shared.lock:
        visitor = threading.Thread(target=ask)
        visitor.start()
        assert waited.wait(30) and not got
    visitor.join(30)
    assert got[0].prediction.findings == " ".join(reference.findings.split())
    assert isinstance(shared.model, LoadedModel) and not shared.lock.locked()


def test_the_shelf_holds_models_that_read_images_and_names_torn_cards(trained, tmp_path):
    for model in ("most-frequent", "vgpt2"):
        folder = tmp_path / "checkpoints" / model / "a"
        folder.mkdir(parents=True)
        (folder / "card.json").write_text('{"date": "2026"}' if model == "most-frequent" else "{")
    found = shelf.look(tmp_path)
    assert not found.models and len(found.problems) == 1 and "card.json is not a JSON file" in found.problems[0]
    assert list(shelf.look(trained[0]).models) == ["nearest-report"]


def test_what_is_missing_is_said_before_anything_starts(trained, call_bench, tmp_path, monkeypatch):
    status, _, said = call_bench(tmp_path, "demo")
    assert status == 1 and "No model that reads images has been trained" in said and "bench train vgpt2" in said
    with socket.create_server(("localhost", 0)) as taken:
        status, _, said = call_bench(trained[0], "demo", "--port", taken.getsockname()[1])
    assert status == 1 and "choose another --port" in said
    monkeypatch.setattr(serve.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=re.escape("pip install 'cxr-report-bench[app]'")):
        serve.serve(trained[0], "localhost", 8501)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Findin", ["", ""]),
        ("Findings: The heart", ["The heart", ""]),
        ("Findings: The heart is large. Impres", ["The heart is large.", ""]),
        ("Findings: The heart is large. Impression: Car", ["The heart is large.", "Car"]),
        ("The heart", ["The heart", ""]),
    ],
)
def test_half_a_heading_is_not_shown_as_text(text, shown):
    found = re.findall(r"<p>(.*?)</p>", markup.growing(text, WORDS["en"]))
    assert [re.sub("<.*?>", "", each).strip() for each in found] == shown
