"""Vision-GPT2 in a size that trains in seconds."""

from __future__ import annotations

import csv
import dataclasses
import functools
import hashlib
import json
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from benchmark import cache
from benchmark.contracts import Example, TrainingJob
from benchmark.errors import UserError
from benchmark.images import Geometry
from benchmark.models import _data, _history, _text, _vision_gpt2
from benchmark.models.vgpt2 import Model
from benchmark.schema import GenerationSettings, Reference, Study, View

SETTINGS = GenerationSettings(max_new_tokens=60)
SAMPLING = dataclasses.replace(SETTINGS, do_sample=True, temperature=1.5, top_k=50, top_p=0.95)
SMALL = {
    "encoder": "test_resnet.r160_in1k",
    "layers": 1,
    "width": 32,
    "heads": 2,
    "vocabulary": 300,
    "dropout": 0.0,
    "image_size": 32,
    "max_tokens": 64,
    "learning_rate": 1e-2,
    "batch_size": 2,
    "epochs": 60,
    "degrees": 0.0,
    "shift": 0.0,
    "scale": 0.0,
    "contrast": 0.0,
}
REPORTS = (
    ("The heart is large.\nNo effusion.", "Cardiomegaly."),
    ("Lungs are clear.", "Normal chest."),
    ("", "Left effusion."),
    ("Right nodule.", ""),
)
TEXTS = (
    "Findings: The heart is large. No effusion. Impression: Cardiomegaly.",
    "Findings: Lungs are clear. Impression: Normal chest.",
)


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def make_examples(folder: Path, n: int) -> list[Example]:
    """Studies of blocky noise, each image another."""
    folder.mkdir(parents=True, exist_ok=True)
    examples = []
    for i in range(n):
        noise = np.random.default_rng(i).integers(0, 256, (4, 4), dtype=np.uint8)
        path = folder / f"{i}.png"
        Image.fromarray(noise).resize((40, 32), Image.Resampling.NEAREST).save(path)
        findings, impression = REPORTS[i % len(REPORTS)]
        study = Study(f"s{i}", f"p{i}", "train", (View(path),))
        examples.append(Example(study, Reference(f"s{i}", f"p{i}", findings, impression)))
    return examples


def make_job(output: Path, examples: list[Example], seed: int = 1, **options: object) -> TrainingJob:
    output.mkdir(parents=True, exist_ok=True)
    values = {**Model.PRESETS["tiny"], **SMALL, **options}
    assert values.keys() == Model.PRESETS["tiny"].keys()
    return TrainingJob(examples, examples, {}, "tiny", values, seed, "cpu", output, lambda texts: [], lambda line: None)


def weights_hash(output: Path) -> str:
    return hashlib.sha256((output / "model.safetensors").read_bytes()).hexdigest()


def history(output: Path) -> list[dict[str, str]]:
    with (output / "history.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> tuple[Path, list[Study]]:
    """A checkpoint that knows two studies by heart, and the studies."""
    folder = tmp_path_factory.mktemp("vgpt2")
    examples = make_examples(folder / "images", 2)
    Model.train(make_job(folder / "checkpoint", examples))
    return folder / "checkpoint", [e.study for e in examples]


def test_two_studies_are_learned_by_heart_and_the_texts_end(trained):
    checkpoint, studies = trained
    model = Model.load(checkpoint, "cpu")
    reports = model.generate(studies, SETTINGS, [0, 1])
    assert [r.text for r in reports] == list(TEXTS)
    assert not any(r.truncated or r.error for r in reports)
    assert [r.n_tokens for r in reports] == [len(model.tokenizer.encode(text)) for text in TEXTS]


def test_a_text_that_is_cut_off_says_so(trained):
    checkpoint, studies = trained
    short = dataclasses.replace(SETTINGS, max_new_tokens=3)
    reports = Model.load(checkpoint, "cpu").generate(studies, short, [0, 1])
    assert all(r.truncated and r.n_tokens == 3 for r in reports)


def test_beams_agree_with_greedy_on_what_is_certain(trained):
    checkpoint, studies = trained
    beams = dataclasses.replace(SETTINGS, num_beams=3)
    assert [r.text for r in Model.load(checkpoint, "cpu").generate(studies, beams, [0, 1])] == list(TEXTS)


def test_samples_depend_on_the_study_s_seed_alone(trained):
    checkpoint, (first, second) = trained
    model = Model.load(checkpoint, "cpu")
    hot = dataclasses.replace(SAMPLING, temperature=3.0)
    alone = model.generate([first], hot, [7])[0]
    assert model.generate([second, first, first], hot, [5, 7, 8])[1] == alone
    assert model.generate([first], hot, [8])[0] != alone


def test_sampling_with_beams_is_refused(trained):
    checkpoint, studies = trained
    with pytest.raises(UserError, match="exclude"):
        Model.load(checkpoint, "cpu").generate(studies, dataclasses.replace(SAMPLING, num_beams=2), [0, 1])


def test_the_image_decides(trained):
    checkpoint, studies = trained
    reports = Model.load(checkpoint, "cpu").generate(studies[::-1], SETTINGS, [0, 1])
    assert [r.text for r in reports] == list(TEXTS[::-1])


def test_an_unreadable_image_is_an_error_of_its_study_alone(trained, tmp_path):
    checkpoint, studies = trained
    (tmp_path / "x.jpg").write_text("<html>")
    broken = dataclasses.replace(studies[0], views=(View(tmp_path / "x.jpg"),))
    blind = dataclasses.replace(studies[0], views=())
    model = Model.load(checkpoint, "cpu")
    reports = model.generate([broken, studies[1], blind], SETTINGS, [0, 1, 2])
    assert reports[1].text == TEXTS[1]
    assert "web page" in reports[0].error and reports[0].text == ""
    assert "no image" in reports[2].error
    assert model.generate([broken], SETTINGS, [0])[0].error


def test_with_beams_the_encoder_runs_once_and_the_cache_is_used(trained):
    checkpoint, studies = trained
    model = Model.load(checkpoint, "cpu")
    calls: list[int] = []
    lengths: list[int] = []
    model.model.enc.register_forward_hook(lambda *_: calls.append(1))
    model.model.gpt2.transformer.wte.register_forward_hook(lambda _, inputs, __: lengths.append(inputs[0].shape[1]))
    cross = model.model.gpt2.transformer.h[0].crossattention.c_attn
    keys: list[int] = []
    cross.register_forward_hook(lambda *_: keys.append(1))
    model.generate(studies, dataclasses.replace(SETTINGS, num_beams=2), [0, 1])
    assert len(calls) == 1 and set(lengths) == {1} and len(keys) == 1


def test_the_checkpoint_loads_as_a_transformers_model(trained):
    checkpoint, _ = trained
    model = _vision_gpt2.VisionGPT2.from_pretrained(checkpoint)
    assert model.gpt2.lm_head.weight is model.gpt2.transformer.wte.weight
    roots = {".".join(key.split(".")[:2]) for key in model.state_dict()}
    assert roots == {"gpt2.transformer", "gpt2.lm_head", "enc.backbone", "enc.proj", "words.weight", "words.bias"}


def test_card(trained):
    card = Model.load(trained[0], "cpu").card()
    assert card["parameters"] > 300_000 and card["preset"] == "tiny" and card["image_size"] == 32


def test_what_training_leaves(trained):
    checkpoint, _ = trained
    names = {path.name for path in checkpoint.iterdir()}
    assert {"model.safetensors", "config.json", "tokenizer.json", "tokenizer_config.json", "history.csv"} <= names
    assert "trainer" not in names
    rows = history(checkpoint)
    assert tuple(rows[0]) == _history.COLUMNS
    assert [int(row["epoch"]) for row in rows] == list(range(1, 61))
    assert float(rows[-1]["train_loss"]) < 0.5 < float(rows[0]["train_loss"])
    assert float(rows[-1]["learning_rate"]) < float(rows[10]["learning_rate"])


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(tmp_path):
    examples = make_examples(tmp_path / "images", 4)
    moving = {"epochs": 2, "dropout": 0.1, "degrees": 5.0, "shift": 0.1, "scale": 0.1, "contrast": 0.2}
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        Model.train(make_job(tmp_path / name, examples, seed, **moving))
    assert weights_hash(tmp_path / "a") == weights_hash(tmp_path / "b") != weights_hash(tmp_path / "c")


def test_the_best_epoch_is_kept(tmp_path):
    examples = make_examples(tmp_path / "images", 4)
    job = make_job(tmp_path / "a", examples[:2], epochs=40)
    Model.train(dataclasses.replace(job, validation=examples[2:]))
    losses = [float(row["validation_loss"]) for row in history(tmp_path / "a")]
    assert losses.index(min(losses)) < 39, "no epoch after the best one: the test shows nothing"
    model = Model.load(tmp_path / "a", "cpu")
    assert validation_loss(model, examples[2:]) == pytest.approx(min(losses), abs=1e-4)


def validation_loss(model: Model, examples: list[Example]) -> float:
    """Mean over all targets, one study at a time: no batch, no padding."""
    total, count = 0.0, 0
    for example in examples:
        end = model.tokenizer.eos_token_id
        ids = torch.tensor([[end, *model.tokenizer.encode(_text.report_text(example)), end]])
        images = _data.study_pictures(example.study, 1, Geometry(32).read).images
        states = _vision_gpt2.pixels(torch.stack(images), model.model.config.mean, model.model.config.std)
        logits = model.model(pixel_values=states, input_ids=ids).logits.detach()
        total += float(torch.nn.functional.cross_entropy(logits[0, :-1], ids[0, 1:], reduction="sum"))
        count += ids.shape[1] - 1
    return total / count


SCRIPT = """
    import sys, torch
    torch.set_num_threads(1)
    sys.path.insert(0, {folder!r})
    from pathlib import Path
    import test_vgpt2 as t
    examples = t.make_examples(Path({images!r}), 10)
    t.Model.train(t.make_job(Path({output!r}), examples, **t.RESUMED))
"""
RESUMED = {"epochs": 6, "save_every": 2, "dropout": 0.1, "degrees": 5.0, "contrast": 0.2, "accumulation": 2}


def start_training(output: Path, images: Path) -> subprocess.Popen:
    values = {"folder": str(Path(__file__).parent), "images": str(images), "output": str(output)}
    return subprocess.Popen([sys.executable, "-c", textwrap.dedent(SCRIPT.format(**values))], cwd=output.parent)


def test_killed_twice_and_resumed_is_bit_for_bit_the_same(tmp_path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    # 3 steps an epoch: step 4 is in the middle of the second, step 12 is an epoch's end.
    for name in ("checkpoint-4", "checkpoint-12"):
        process = start_training(killed, tmp_path / "images")
        deadline = time.monotonic() + 120
        while not (killed / "trainer" / name).exists():
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert not (killed / "model.safetensors").exists()
    for output in (killed, whole):
        Model.train(make_job(output, make_examples(tmp_path / "images", 10), **RESUMED))
    assert weights_hash(killed) == weights_hash(whole)
    columns = [name for name in _history.COLUMNS if name != "seconds"]
    rows = [[[row[name] for name in columns] for row in history(output)] for output in (whole, killed)]
    assert rows[0] == rows[1] and len(rows[0]) == 6
    assert not (killed / "trainer").exists()


def test_worker_processes_change_nothing(tmp_path):
    examples = make_examples(tmp_path / "images", 4)
    for workers in (0, 1):
        options = {"epochs": 3, "workers": workers, "degrees": 5.0, "contrast": 0.2}
        Model.train(make_job(tmp_path / str(workers), examples, **options))
    assert weights_hash(tmp_path / "0") == weights_hash(tmp_path / "1")


@pytest.mark.parametrize("installed", [True, False])
def test_tensorboard_events_where_it_is_installed(tmp_path, monkeypatch, installed):
    if installed:
        pytest.importorskip("tensorboard")
    else:
        monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    Model.train(make_job(tmp_path / "a", make_examples(tmp_path / "images", 2), epochs=1))
    assert (tmp_path / "a" / "tensorboard").exists() == installed
    assert (tmp_path / "a" / "model.safetensors").exists()


def test_a_finished_training_is_left_alone(trained):
    checkpoint, _ = trained
    before = (checkpoint / "model.safetensors").stat().st_mtime_ns
    Model.train(make_job(checkpoint, make_examples(checkpoint.parent / "images", 2)))
    assert (checkpoint / "model.safetensors").stat().st_mtime_ns == before


def test_a_loss_that_is_no_number_stops_training(tmp_path):
    with pytest.raises(UserError, match=r"step \d+ of"):
        Model.train(make_job(tmp_path / "a", make_examples(tmp_path / "images", 8), learning_rate=1e30, epochs=2))


def test_a_disk_that_is_too_small(tmp_path, monkeypatch):
    usage = type("Usage", (), {"free": 1000})
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage)
    with pytest.raises(UserError, match="GB free"):
        Model.train(make_job(tmp_path / "a", make_examples(tmp_path / "images", 2)))


def test_unreadable_training_images_are_left_out_and_told(tmp_path):
    examples = make_examples(tmp_path / "images", 4)
    examples[3].study.views[0].path.write_bytes(b"")
    lines: list[str] = []
    job = make_job(tmp_path / "a", examples, epochs=2, image_size=64)
    Model.train(dataclasses.replace(job, report=lines.append))
    assert sum("3.png is empty" in line for line in lines) == 1
    assert any("Epoch 2" in line for line in lines)


def test_the_cache_changes_nothing(tmp_path):
    """What `benchmark.train` passes as a job's images gives the weights that reading the files gives."""
    examples = make_examples(tmp_path / "images", 4)
    job = make_job(tmp_path / "files", examples, epochs=2, degrees=5.0)
    Model.train(job)
    lines: list[str] = []
    images = functools.partial(cache.open_images, tmp_path / "cache", report=lines.append)
    (tmp_path / "cached").mkdir()
    Model.train(dataclasses.replace(job, output=tmp_path / "cached", images=images))
    assert weights_hash(tmp_path / "cached") == weights_hash(tmp_path / "files")
    assert len(lines) == 1 and "4 of 32 × 32" in lines[0]


def test_no_readable_image_or_no_text_is_an_error(tmp_path):
    examples = make_examples(tmp_path / "images", 2)
    job = make_job(tmp_path / "a", examples)
    silent = [Example(e.study, Reference(e.study.study_id, "p")) for e in examples]
    with pytest.raises(UserError, match="findings or an impression"):
        Model.train(dataclasses.replace(job, train=silent))
    others = make_examples(tmp_path / "others", 1)
    for example in examples:
        example.study.views[0].path.unlink()
    with pytest.raises(UserError, match="No image of the first 4 training studies"):
        Model.train(job)
    with pytest.raises(UserError, match=r"No image of 2 studies can be read.*0\.png"):
        Model.train(dataclasses.replace(job, train=others))


def copy(checkpoint: Path, to: Path) -> Path:
    to.mkdir()
    for path in checkpoint.iterdir():
        if path.is_file():
            (to / path.name).write_bytes(path.read_bytes())
    return to


def _truncate(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1000])


def _edit_config(**changes: object):
    def edit(folder: Path) -> None:
        path = folder / "config.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))

    return edit


def _edit_decoder(**changes: object):
    def edit(folder: Path) -> None:
        path = folder / "config.json"
        config = json.loads(path.read_text())
        config["text_config"].update(changes)
        path.write_text(json.dumps(config))

    return edit


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (_truncate, "weights"),
        (lambda folder: (folder / "model.safetensors").write_bytes(b""), "weights"),
        (lambda folder: (folder / "model.safetensors").unlink(), "weights"),
        (lambda folder: (folder / "config.json").unlink(), "no config.json"),
        (lambda folder: (folder / "config.json").write_text("{"), "damaged"),
        (lambda folder: (folder / "tokenizer.json").write_text("{"), "tokenizer"),
        (lambda folder: (folder / "tokenizer.json").unlink(), "tokenizer"),
        (_edit_config(model_type="bert"), "checkpoint of bert"),
        (_edit_config(encoder="no_such_net"), "no_such_net"),
        (_edit_decoder(n_layer=2), "lack"),
        (_edit_decoder(n_layer=0), "unknown"),
        (_edit_decoder(n_positions=32), "another shape"),
        (_edit_decoder(vocab_size=100), "weights|tokenizer"),
    ],
)
def test_a_bad_checkpoint_is_refused(trained, tmp_path, damage, words):
    folder = copy(trained[0], tmp_path / "copy")
    damage(folder)
    with pytest.raises(UserError, match=words):
        Model.load(folder, "cpu")


def test_pretrained_parts_that_are_not_here(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    examples = make_examples(tmp_path / "images", 2)
    with pytest.raises(UserError, match="hf download"):
        Model.train(make_job(tmp_path / "a", examples, decoder=str(tmp_path / "gpt2")))
    with pytest.raises(UserError, match="hf download timm/"):
        Model.train(make_job(tmp_path / "b", examples, encoder_pretrained=True))


def test_a_local_gpt2_is_taken_as_decoder(trained, tmp_path):
    from transformers import GPT2Config, GPT2LMHeadModel

    from benchmark.models._tokenizer import load_tokenizer

    tokenizer = load_tokenizer(trained[0])
    sizes = {"vocab_size": len(tokenizer), "n_positions": 64, "n_embd": 16, "n_layer": 1, "n_head": 2}
    GPT2LMHeadModel(GPT2Config(bos_token_id=0, eos_token_id=0, **sizes)).save_pretrained(tmp_path / "gpt2")
    tokenizer.save_pretrained(tmp_path / "gpt2")
    job = make_job(tmp_path / "a", make_examples(tmp_path / "images", 2), decoder=str(tmp_path / "gpt2"), epochs=1)
    Model.train(job)
    assert Model.load(tmp_path / "a", "cpu").model.config.text_config.n_embd == 16
