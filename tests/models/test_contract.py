"""What every model must do, run on all of them. A new model that needs images adds its small settings to SMALL."""

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import timm

from benchmark import contracts, provenance, registry
from benchmark.contracts import Example, TrainingJob
from benchmark.errors import UserError
from benchmark.models import nearest_report
from benchmark.schema import GenerationSettings, Report, View
from benchmark.sections import join_output

# Each epoch sees both studies 40 times.
STILL = {"degrees": 0.0, "shift": 0.0, "scale": 0.0, "contrast": 0.0}
BY_HEART = {**STILL, "epochs": 3, "batch_size": 2, "learning_rate": 1e-2, "save_every": 1000, "encoder_args": {},
            "word_loss": 1.0}  # fmt: skip
SHORT = {"epochs": 2, "batch_size": 4}
WORDS = {"encoder": "test_resnet", "encoder_args": {}, "width": 32, "threshold": 1, "image_size": 32}
SIZES = {
    "vgpt2": {"encoder": "test_resnet", "layers": 1, "width": 32, "heads": 2, "vocabulary": 300, "image_size": 32},
    "r2gen": {**WORDS, "layers": 1, "inner": 32, "heads": 2, "memory_heads": 2},
    "r2gen-cmn": {**WORDS, "layers": 1, "inner": 32, "heads": 2, "memory": 16, "responses": 4},
    "show-attend-tell": {**WORDS, "word_width": 32, "attention_width": 16},
}
OF_THE_HUB = {
    "size": {"workers": 0},
    "train": {**SHORT, "accumulation": 1},
    "overfit": {**STILL, "epochs": 3, "batch_size": 2, "accumulation": 1, "learning_rate": 3e-3},
}
SMALL = {
    **{name: {"preset": "tiny", "size": size, "train": SHORT, "overfit": BY_HEART} for name, size in SIZES.items()},
    "hub-seq2seq": {**OF_THE_HUB, "preset": "full", "hub": "vit-gpt2"},
    "hub-vlm": {**OF_THE_HUB, "preset": "lora", "hub": "qwen2-vl", "size": {"workers": 0, "image_size": 32}},
    "nearest-report": {
        "preset": "random", "retrieves": True, "size": {"encoder": "test_resnet", "image_size": 32},
        "train": {"batch_size": 4}, "overfit": {}, "kept": "parts/0-4.safetensors",
    },
}  # fmt: skip
"""Models that need images: settings with which they train in a second, and learn two short reports by heart. `hub`: the
kind of the hub checkpoint that they start from (see hub_checkpoints.py). `retrieves`: whether they write no token of
their own, so that there is none to sample, and take no step. `kept`: the file that says what is done of a training,
where `fit` does not write it."""

NAMES = registry.MODELS.names()
IGNORING_IMAGES = [name for name in NAMES if name not in SMALL]
SETTINGS = GenerationSettings(max_new_tokens=24)


@pytest.fixture(scope="session", autouse=True)
def made_on_the_spot(hub_folder):
    for small in SMALL.values():
        if "hub" in small:
            small["size"]["hub_id"] = str(hub_folder(small["hub"]))


class Interrupted(Exception):
    """Raised in the middle of a training."""


class Until:
    """Does as `call`, up to the `last` time, when it raises Interrupted."""

    def __init__(self, last, call=lambda _: None):
        self.left = last
        self.call = call

    def __call__(self, given):
        self.left -= 1
        if not self.left:
            raise Interrupted
        return self.call(given)


def examples(dataset, split):
    return [Example(*pair) for pair in zip(dataset.studies(split), dataset.references(split), strict=True)]


def train(name, dataset, output, kind="train", options=None, **changes):
    plugin, small = registry.MODELS.load(name), SMALL.get(name, {})
    preset = small.get("preset") or plugin.default_preset(dataset)
    job = TrainingJob(
        train=examples(dataset, "train"),
        validation=examples(dataset, "validate"),
        second_readings={
            study: text for split in dataset.SPLITS for study, text in dataset.second_readings(split).items()
        },
        preset=preset,
        options={**plugin.PRESETS[preset], **small.get("size", {}), **small.get(kind, {}), **(options or {})},
        seed=0,
        device="cpu",
        output=output,
        tokenize=lambda texts: [text.lower().split() for text in texts],
        report=lambda line: None,
    )
    output.mkdir(parents=True, exist_ok=True)
    plugin.train(replace(job, **changes))


@pytest.fixture(scope="session")
def checkpoint(phantom, tmp_path_factory):
    """Folder of a trained model by name; each is trained once and must not be changed."""
    made = {}

    def of(name):
        if name not in made:
            made[name] = tmp_path_factory.mktemp("checkpoint") / name
            train(name, phantom, made[name])
        return made[name]

    return of


@pytest.fixture(scope="session")
def written(checkpoint, phantom):
    """What a model writes about the test studies, by name; once for each."""
    made = {}

    def of(name):
        if name not in made:
            made[name] = write(checkpoint(name), name, phantom.studies("test"))
        return made[name]

    return of


def write(folder, name, studies, settings=SETTINGS, seeds=None):
    model = registry.MODELS.load(name).load(folder, "cpu")
    return model.generate(studies, settings, list(range(len(studies))) if seeds is None else seeds)


# --- what it says of itself -------------------------------------------------------------------------------------


def test_small_settings_are_there_for_all_that_need_images():
    assert set(SMALL) == {name for name in NAMES if registry.MODELS.load(name).NEEDS_IMAGES}


@pytest.mark.parametrize("name", NAMES)
def test_declares_what_the_contract_asks(name, phantom):
    plugin = registry.MODELS.load(name)
    assert issubclass(plugin, contracts.Model) and not plugin.__abstractmethods__
    for flag in ("CAN_TRAIN", "INSTANT", "NEEDS_IMAGES"):
        assert isinstance(getattr(plugin, flag), bool)
    assert isinstance(plugin.ZERO_SHOT, frozenset) and set(plugin.PRESETS) >= plugin.ZERO_SHOT
    assert isinstance(plugin.NOTE, str) and isinstance(plugin.PAPER, str)
    assert not plugin.INSTANT or plugin.CAN_TRAIN
    assert plugin.NEEDS_IMAGES or plugin.NOTE, "a leaderboard must say that a model ignores the images"
    assert plugin.PRESETS and json.loads(json.dumps(plugin.PRESETS)) == plugin.PRESETS
    assert all(isinstance(preset, str) and preset for preset in plugin.PRESETS)
    assert len({frozenset(values) for values in plugin.PRESETS.values()}) == 1, "presets must have the same settings"
    assert plugin.default_preset(phantom) in plugin.PRESETS
    assert isinstance(plugin.skip(phantom), str)
    assert registry.MODELS.name_of(plugin) == name


@pytest.mark.parametrize("name", NAMES)
def test_what_its_presets_begin_with_is_declared(name):
    plugin = registry.MODELS.load(name)
    for preset, options in plugin.PRESETS.items():
        if options.get("encoder_pretrained") and not options["encoder"].startswith("checkpoint:"):
            assert timm.get_pretrained_cfg(options["encoder"]).hf_hub_id in plugin.WEIGHTS[preset]
    assert set(plugin.PRETRAINED) == {hub_id for hub_ids in plugin.WEIGHTS.values() for hub_id in hub_ids}


@pytest.mark.parametrize("name", NAMES)
def test_its_docstring_begins_with_one_sentence(name):
    summary = registry.MODELS.summary(name)
    assert summary.endswith(".") and 10 < len(summary) <= 120


# --- training ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_training_twice_with_a_seed_gives_the_same_bytes(name, checkpoint, phantom, tmp_path):
    train(name, phantom, tmp_path / "again")
    assert provenance.checkpoint_hash(tmp_path / "again") == provenance.checkpoint_hash(checkpoint(name))


@pytest.mark.parametrize("name", NAMES)
def test_an_interrupted_training_ends_as_an_undisturbed_one(name, checkpoint, phantom, tmp_path, monkeypatch):
    """Interrupted in the last of four steps, or where there are none at the fifth image of six."""
    monkeypatch.setattr(nearest_report, "BATCHES_A_PART", 1)
    small = SMALL.get(name, {})
    try:
        if small.get("retrieves"):
            train(name, phantom, tmp_path, images=lambda *opened: Until(5, contracts.read_files(*opened)))
        else:
            train(name, phantom, tmp_path, options={"save_every": 1}, on_step=Until(4))
        interrupted = False
    except Interrupted:
        interrupted = True
    assert interrupted == (name in SMALL), "only what trains in an instant cannot be interrupted"
    if interrupted:
        assert (tmp_path / small.get("kept", "trainer/checkpoint-3/history.json")).exists()
    train(name, phantom, tmp_path)
    assert provenance.checkpoint_hash(tmp_path) == provenance.checkpoint_hash(checkpoint(name))


@pytest.mark.parametrize("name", NAMES)
def test_a_finished_training_called_again_changes_nothing(name, checkpoint, phantom, tmp_path):
    copy = shutil.copytree(checkpoint(name), tmp_path / "copy")
    train(name, phantom, copy)
    assert provenance.checkpoint_hash(copy) == provenance.checkpoint_hash(checkpoint(name))


def words(text):
    """A vocabulary may do without case and punctuation."""
    return re.findall(r"\w+", text.lower())


@pytest.mark.parametrize("name", SMALL)
def test_overfits_two_studies(name, phantom, tmp_path):
    texts = [("The lungs are clear.", "Normal."), ("Large left effusion.", "Pleural effusion on the left.")]
    two = [
        Example(e.study, replace(e.reference, findings=findings, impression=impression))
        for e, (findings, impression) in zip(examples(phantom, "train"), texts, strict=False)
    ]
    train(name, phantom, tmp_path, "overfit", train=two * 40, validation=two)
    found = write(tmp_path, name, [example.study for example in two])
    assert [words(report.text) for report in found] == [words(join_output(*pair)) for pair in texts]
    written_by_tokens = not SMALL[name].get("retrieves", False)
    assert all((report.n_tokens > 0) == written_by_tokens and not report.truncated for report in found)


# --- writing ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_writes_one_report_a_study(name, written):
    found = written(name)
    assert [type(report) for report in found] == [Report, Report]
    assert all(isinstance(report.text, str) and report.error == "" for report in found)
    assert all(0 <= report.n_tokens <= SETTINGS.max_new_tokens for report in found)
    assert all(report.n_tokens == SETTINGS.max_new_tokens for report in found if report.truncated)


@pytest.mark.parametrize("name", NAMES)
def test_loaded_again_it_writes_the_same(name, checkpoint, written, phantom, tmp_path):
    moved = shutil.copytree(checkpoint(name), tmp_path / "elsewhere")
    assert write(moved, name, phantom.studies("test")) == written(name)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("sample", [False, True])
def test_a_study_keeps_its_report_with_its_seed(name, checkpoint, phantom, sample):
    settings = replace(SETTINGS, do_sample=sample)
    studies, seeds = list(phantom.studies("train")), [11, 12, 13, 14, 15, 16]
    first = write(checkpoint(name), name, studies, settings, seeds)
    assert write(checkpoint(name), name, studies, settings, seeds) == first
    assert write(checkpoint(name), name, studies[::-1], settings, seeds[::-1]) == first[::-1]


@pytest.mark.parametrize("name", SMALL)
def test_sampling_follows_the_seed_and_greedy_decoding_does_not(name, checkpoint, phantom):
    studies = phantom.studies("test")

    def texts(sample, seeds):
        return [r.text for r in write(checkpoint(name), name, studies, replace(SETTINGS, do_sample=sample), seeds)]

    assert texts(False, [1, 2]) == texts(False, [3, 4])
    differs = [a != b for a, b in zip(texts(True, [1, 2]), texts(True, [3, 4]), strict=True)]
    assert differs == [not SMALL[name].get("retrieves", False)] * 2


@pytest.mark.parametrize("name", SMALL)
def test_an_image_that_cannot_be_read_costs_its_own_report_alone(name, checkpoint, phantom, tmp_path):
    torn = tmp_path / "torn.jpg"
    torn.write_bytes(b"\xff\xd8\xff")
    good, other = phantom.studies("test")
    bad = [replace(good, views=(View(path, "PA"),)) for path in (torn, tmp_path / "missing.jpg")]
    found = write(checkpoint(name), name, [bad[0], good, bad[1], other])
    assert [bool(report.error) for report in found] == [True, False, True, False]
    assert "torn.jpg" in found[0].error and "missing.jpg" in found[2].error
    assert found[0].text == found[2].text == ""
    assert [r.error != "" for r in write(checkpoint(name), name, bad)] == [True, True]


@pytest.mark.parametrize("name", IGNORING_IMAGES)
def test_what_ignores_images_needs_none(name, checkpoint, written, phantom):
    studies = [replace(study, views=(View(Path("/missing.jpg")),)) for study in phantom.studies("test")]
    assert write(checkpoint(name), name, studies) == written(name)


@pytest.mark.parametrize("name", NAMES)
def test_its_card_is_json(name, checkpoint):
    card = registry.MODELS.load(name).load(checkpoint(name), "cpu").card()
    assert json.loads(json.dumps(card, allow_nan=False)) == card


# --- bad checkpoints --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_a_folder_that_is_no_checkpoint_is_refused(name, tmp_path):
    plugin = registry.MODELS.load(name)
    for folder in (tmp_path, tmp_path / "missing"):
        with pytest.raises(UserError, match=str(folder)):
            plugin.load(folder, "cpu")


@pytest.mark.parametrize("name", NAMES)
def test_a_file_is_refused_under_the_model_s_own_name(name, tmp_path):
    plugin = registry.MODELS.load(name)
    if not plugin.RELEASED:
        with pytest.raises(UserError, match=f"is a file; {name} loads checkpoint folders only"):
            plugin.load_released(tmp_path / "file", "cpu")


@pytest.mark.parametrize("name", NAMES)
def test_the_checkpoint_of_another_model_is_refused(name, checkpoint):
    other = next(each for each in ("most-frequent", "random-train") if each != name)
    with pytest.raises(UserError):
        registry.MODELS.load(name).load(checkpoint(other), "cpu")


@pytest.mark.parametrize("damage", ["missing", "empty", "cut short", "of another kind"])
@pytest.mark.parametrize("name", NAMES)
def test_a_damaged_file_is_refused_or_makes_no_difference(name, damage, checkpoint, written, phantom, tmp_path):
    refused = 0
    for file in sorted(path.name for path in checkpoint(name).iterdir() if path.is_file()):
        if file in provenance.NOT_WEIGHTS:
            continue
        copy = shutil.copytree(checkpoint(name), tmp_path / file)
        content = (copy / file).read_bytes()
        (copy / file).unlink()
        if damage != "missing":
            broken = {"empty": b"", "cut short": content[: len(content) // 2], "of another kind": b"[1, 2]"}[damage]
            (copy / file).write_bytes(broken)
        try:
            found = write(copy, name, phantom.studies("test"))
        except UserError as error:
            assert str(copy) in str(error)
            refused += 1
        else:
            assert found == written(name), f"{file} ({damage}) is not noticed"
    assert refused > 0


# --- for those who watch ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_a_text_is_told_as_it_grows(name, checkpoint, phantom):
    model = registry.MODELS.load(name).load(checkpoint(name), "cpu")
    study = phantom.studies("test")[0]
    for settings in (SETTINGS, replace(SETTINGS, do_sample=True), replace(SETTINGS, num_beams=2)):
        told = []
        report = model.stream(study, settings, 3, told.append)
        assert report == model.generate([study], settings, [3])[0]
        assert len(told) >= report.n_tokens  # of models that write no tokens, nothing
        if settings.num_beams == 1:  # the best beam may change
            assert all(report.text.startswith(text.rstrip("\ufffd")) for text in told)


@pytest.mark.parametrize("name", NAMES)
def test_what_a_listener_raises_ends_the_writing(name, checkpoint, phantom):
    model = registry.MODELS.load(name).load(checkpoint(name), "cpu")

    def leave(text):
        raise Interrupted

    if model.generate(phantom.studies("test")[:1], SETTINGS, [0])[0].n_tokens:
        with pytest.raises(Interrupted):
            model.stream(phantom.studies("test")[0], SETTINGS, 0, leave)


@pytest.mark.parametrize("name", NAMES)
def test_where_it_looks_is_told_for_each_token(name, checkpoint, phantom):
    model = registry.MODELS.load(name).load(checkpoint(name), "cpu")
    study, text = phantom.studies("test")[0], "Findings: The heart is normal."
    before = model.generate([study], SETTINGS, [0])
    looks = model.looks(study, text)
    assert model.generate([study], SETTINGS, [0]) == before
    if looks is not None:
        assert len(looks.maps) == len(looks.spans) and looks.maps.shape[1] == looks.maps.shape[2]
        assert looks.maps.sum(axis=(1, 2)) == pytest.approx(1, abs=1e-4) and looks.maps.min() >= 0
        assert {text[begin:end].strip() for begin, end in looks.spans} <= {*_pieces(text)}
        with pytest.raises(UserError, match="gone.png"):
            model.looks(replace(study, views=(View(phantom.root / "gone.png"),)), text)
    assert (looks is not None) == (name in ("vgpt2", "show-attend-tell"))


def _pieces(text):
    return (text[begin:end] for begin in range(len(text)) for end in range(begin, len(text) + 1))


@pytest.mark.parametrize("name", NAMES)
def test_features_tell_images_apart(name, checkpoint, phantom):
    model = registry.MODELS.load(name).load(checkpoint(name), "cpu")
    first, second = phantom.studies("test")[:2]
    features = model.features([first, second, replace(first, views=(View(phantom.root / "gone.png"),))])
    if features is not None:
        assert features.shape[0] == 3 and features.dtype == "float32"
        assert features[0] == pytest.approx(model.features([first])[0], abs=1e-4)
        assert abs(features[0] - features[1]).max() > 0 and not features[2].any()
