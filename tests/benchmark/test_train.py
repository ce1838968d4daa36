"""Studies to a checkpoint with a card."""

import contextlib
import json
from pathlib import Path

import pytest

from benchmark import evaluate, provenance, train
from benchmark.contracts import Dataset, Model
from benchmark.errors import UserError
from benchmark.schema import Reference, Study, View
from benchmark.train import Recipe


class Data(Dataset):
    VERSION = "7"
    LICENCE = "MIT"
    SPLITS = ("train", "validate", "test")
    MAY_LEAVE = frozenset()
    SECOND_READER = True
    name = "data"

    def __init__(self, sizes=(3, 2, 1), text="Clear."):
        super().__init__(Path("/"))
        self.sizes = dict(zip(self.SPLITS, sizes, strict=True))
        self.text = text

    def check(self):
        return []

    def studies(self, split):
        ids = [f"{split}{i}" for i in range(self.sizes[split])]
        return [Study(i, f"p{i}", split, (View(Path(f"/img/{i}.jpg"), "PA", i),)) for i in ids]

    listed = studies

    def references(self, split):
        return [Reference(study.study_id, study.patient_id, self.text, "Normal.") for study in self.studies(split)]

    def left_out(self, split):
        return {"report file missing": ["x1", "x2"]} if split == "train" else {}

    def second_readings(self, split):
        return {study.study_id: f"second {split}" for study in self.studies(split)}


class Scribe(Model):
    """Writes down its job."""

    PRESETS = {
        "small": {"epochs": 2, "lr": 0.1, "encoder": "resnet", "flip": False, "extra": None},
        "large": {"epochs": 20, "lr": 0.01, "encoder": "resnet", "flip": False, "extra": None},
    }
    jobs: list = []
    interrupted = False

    @classmethod
    def default_preset(cls, dataset):
        return "small" if dataset.SCRATCH else "large"

    @classmethod
    def train(cls, job):
        cls.jobs.append(job)
        (job.output / "logs").mkdir(exist_ok=True)
        (job.output / "state").write_text("half")
        if cls.interrupted:
            raise KeyboardInterrupt
        (job.output / "state").unlink()
        (job.output / "weights").write_text(json.dumps([job.seed, dict(job.options)]))

    @classmethod
    def load(cls, checkpoint, device):
        return cls()

    def generate(self, studies, settings, seeds):
        return []


@pytest.fixture(autouse=True)
def forgotten(monkeypatch):
    monkeypatch.setattr(Scribe, "jobs", [])
    monkeypatch.setattr(Scribe, "interrupted", False)


def recipe(**changes):
    fields = {"model": "scribe", "preset": "small", "dataset": "data", "seed": 0, "overrides": {}}
    return Recipe(**{**fields, **changes})


def make(results, data=None, plugin=Scribe, fresh=False, **changes):
    return train.train(plugin, recipe(**changes), data or Data(), results, device="cpu", fresh=fresh)


# --- recipes and overrides --------------------------------------------------------------------------------------


def test_every_part_of_a_recipe_decides_the_folder(tmp_path):
    assert recipe().folder(tmp_path) == tmp_path / "checkpoints" / "scribe" / "small-data-0"
    digest = provenance.digest({"lr": 0.2})[:8]
    assert recipe(overrides={"lr": 0.2}).folder(tmp_path).name == f"small-data-0-{digest}"
    changes = ({}, {"model": "m"}, {"preset": "large"}, {"dataset": "d"}, {"seed": 1}, {"overrides": {"lr": 0.2}},
               {"overrides": {"lr": 0.3}}, {"overrides": {"epochs": 3}})  # fmt: skip
    assert len({recipe(**change).folder(tmp_path) for change in changes}) == len(changes)


def test_the_order_of_overrides_does_not_matter(tmp_path):
    one, other = {"lr": 0.2, "epochs": 3}, {"epochs": 3, "lr": 0.2}
    assert recipe(overrides=one).folder(tmp_path) == recipe(overrides=other).folder(tmp_path)


def test_preset_named_or_what_fits_the_data():
    data = Data()
    assert train.choose_preset(Scribe, data, None) == "large"
    data.SCRATCH = True
    assert train.choose_preset(Scribe, data, None) == "small"
    assert train.choose_preset(Scribe, data, "large") == "large"
    with pytest.raises(UserError, match="Unknown preset 'smal'. Did you mean small"):
        train.choose_preset(Scribe, data, "smal")


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ("epochs=3", {"epochs": 3}),
        ("lr=1", {"lr": 1.0}),
        ("lr=1e-4", {"lr": 1e-4}),
        ("encoder=densenet121", {"encoder": "densenet121"}),
        ("encoder=a=b", {"encoder": "a=b"}),
        ("flip=true", {"flip": True}),
        ("extra=5", {"extra": 5}),
        ("extra=word", {"extra": "word"}),
        ("epochs=2", {"epochs": 2}),
    ],
)
def test_overrides_take_the_types_of_the_preset(setting, expected):
    found = train.parse_overrides(Scribe.PRESETS["small"], [setting])
    assert found == expected
    assert [type(value) for value in found.values()] == [type(value) for value in expected.values()]


def test_the_last_of_two_settings_counts():
    assert train.parse_overrides(Scribe.PRESETS["small"], ["epochs=3", "lr=0.2", "epochs=4"]) == {
        "epochs": 4,
        "lr": 0.2,
    }
    assert train.parse_overrides(Scribe.PRESETS["small"], ["epochs=3", "epochs=2"]) == {"epochs": 2}


def test_the_preset_s_own_values_make_no_other_recipe_but_go_before_others():
    preset, named = Scribe.PRESETS["small"], ("scribe", Scribe, "small", "data", 0)
    given = train.check_overrides(preset, {"epochs": 9, "lr": 1}) | train.parse_overrides(preset, ["epochs=2"])
    assert train.make_recipe(*named, given) == recipe(overrides={"lr": 1.0})
    assert train.make_recipe(*named, train.parse_overrides(preset, ["flip=false", "lr=0.1"])) == recipe()


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("epochs", "key=value"),
        ("epoch=3", "Unknown setting 'epoch'. Did you mean epochs"),
        ("epochs=1.5", "'epochs' takes a value like 2, not 1.5"),
        ("epochs=many", "'epochs' takes a value like 2"),
        ("epochs=true", "'epochs' takes a value like 2"),
        ("lr=true", "'lr' takes a value like 0.1"),
        ("lr=fast", "'lr' takes a value like 0.1"),
        ("lr=NaN", "'lr' takes a value like 0.1"),
        ("lr=-Infinity", "'lr' takes a value like 0.1"),
        ("extra=NaN", "'extra' takes"),
        ("encoder=5", "'encoder' takes a value like \"resnet\""),
        ("flip=1", "'flip' takes a value like false"),
    ],
)
def test_impossible_overrides_are_refused_in_a_sentence(setting, said):
    with pytest.raises(UserError, match=said):
        train.parse_overrides(Scribe.PRESETS["small"], [setting])


# --- training ---------------------------------------------------------------------------------------------------


def test_the_model_is_given_all_it_may_see(tmp_path):
    output = make(tmp_path, overrides={"lr": 0.5}, seed=4)
    (job,) = Scribe.jobs
    assert [example.study.study_id for example in job.train] == ["train0", "train1", "train2"]
    assert [example.reference.study_id for example in job.validation] == ["validate0", "validate1"]
    assert (job.preset, job.seed, job.device, job.output) == ("small", 4, "cpu", output)
    assert job.options == {"epochs": 2, "lr": 0.5, "encoder": "resnet", "flip": False, "extra": None}
    assert len(job.second_readings) == 6 and job.second_readings["test0"] == "second test"
    assert Scribe.PRESETS["small"]["lr"] == 0.1


def test_the_card_says_what_the_checkpoint_is(tmp_path):
    output = make(tmp_path, overrides={"lr": 0.5}, seed=4)
    card = json.loads((output / "card.json").read_text())
    data = Data()
    expected = {
        "model": "scribe",
        "preset": "small",
        "seed": 4,
        "options": {"epochs": 2, "lr": 0.5, "encoder": "resnet", "flip": False, "extra": None},
        "dataset": {"name": "data", "version": "7", "licence": "MIT"},
        "n": {"train": 3, "validate": 2},
        "dropped": {"train": {"report file missing": 2}, "validate": {}},
        "fingerprint": {
            split: provenance.fingerprint(data.studies(split), data.references(split))
            for split in ("train", "validate")
        },
        "hash": provenance.checkpoint_hash(output),
        "device": "cpu",
    }
    assert {key: card[key] for key in expected} == expected
    assert train.open_checkpoint(output, "scribe").card == card


def test_a_complete_checkpoint_is_left_alone(tmp_path):
    output = make(tmp_path)
    before = {path: path.stat().st_mtime_ns for path in output.iterdir()}
    assert make(tmp_path) == output
    assert len(Scribe.jobs) == 1
    assert {path: path.stat().st_mtime_ns for path in output.iterdir()} == before


def test_an_interrupted_training_goes_on_with_what_is_there(tmp_path, monkeypatch):
    monkeypatch.setattr(Scribe, "interrupted", True)
    with pytest.raises(KeyboardInterrupt):
        make(tmp_path)
    output = recipe().folder(tmp_path)
    assert not (output / "card.json").exists() and (output / "state").exists()
    with pytest.raises(UserError, match="not finished"):
        train.open_checkpoint(output, "scribe")
    monkeypatch.setattr(Scribe, "interrupted", False)
    make(tmp_path)
    assert len(Scribe.jobs) == 2
    assert train.open_checkpoint(output, "scribe").path == output


@pytest.mark.parametrize("finished", [True, False])
@pytest.mark.parametrize(
    ("data", "said"),
    [
        (Data(sizes=(4, 2, 1)), "another fingerprint, n than"),
        (Data(text="Hazy."), "another fingerprint than"),
    ],
)
def test_training_begun_with_other_data_is_not_gone_on_with(tmp_path, monkeypatch, finished, data, said):
    monkeypatch.setattr(Scribe, "interrupted", not finished)
    with contextlib.nullcontext() if finished else pytest.raises(KeyboardInterrupt):
        make(tmp_path)
    with pytest.raises(UserError, match=said) as error:
        make(tmp_path, data)
    assert "--fresh" in str(error.value)
    assert len(Scribe.jobs) == 1


def test_training_begun_with_other_options_is_not_gone_on_with(tmp_path, monkeypatch):
    make(tmp_path)
    changed = {**Scribe.PRESETS, "small": {**Scribe.PRESETS["small"], "lr": 0.7}}
    monkeypatch.setattr(Scribe, "PRESETS", changed)
    with pytest.raises(UserError, match="another options than"):
        make(tmp_path)


def test_fresh_deletes_what_is_there_and_trains_anew(tmp_path):
    output = make(tmp_path)
    (output / "leftover").write_text("x")
    (output / "logs" / "events").write_text("x")
    make(tmp_path, Data(text="Hazy."), fresh=True)
    assert len(Scribe.jobs) == 2
    assert sorted(path.name for path in output.iterdir() if path.name != ".lock") == [
        "card.json",
        "job.json",
        "logs",
        "training-texts.npz",
        "weights",
    ]
    assert not (output / "logs" / "events").exists()
    train.open_checkpoint(output, "scribe")


def test_fresh_deletes_nothing_where_it_cannot_train(tmp_path):
    output = make(tmp_path)
    with pytest.raises(UserError, match="no usable study"):
        make(tmp_path, Data(sizes=(0, 2, 1)), fresh=True)
    train.open_checkpoint(output, "scribe")


@pytest.mark.parametrize(("sizes", "split"), [((0, 2, 1), "train"), ((3, 0, 1), "validate")])
def test_an_empty_split_is_refused_with_the_reasons(tmp_path, sizes, split):
    with pytest.raises(UserError, match=f"The split '{split}' of data has no usable study") as error:
        make(tmp_path, Data(sizes=sizes))
    assert ("2 × report file missing" in str(error.value)) == (split == "train")


def test_models_that_do_not_fit_are_refused_with_the_reason(tmp_path):
    class Untrained(Scribe):
        CAN_TRAIN = False

    class Misfit(Scribe):
        @classmethod
        def skip(cls, dataset):
            return "it has no lateral views"

    with pytest.raises(UserError, match="cannot be trained"):
        make(tmp_path, plugin=Untrained)
    with pytest.raises(UserError, match="does not fit data: it has no lateral views"):
        make(tmp_path, plugin=Misfit)


# --- checkpoints ------------------------------------------------------------------------------------------------


def test_a_folder_that_is_no_checkpoint_is_refused(tmp_path):
    with pytest.raises(UserError, match="No such checkpoint folder"):
        train.open_checkpoint(tmp_path / "missing", "scribe")
    with pytest.raises(UserError, match="has no card.json"):
        train.open_checkpoint(tmp_path, "scribe")


def test_a_checkpoint_of_another_model_is_refused(tmp_path):
    with pytest.raises(UserError, match="is a checkpoint of scribe, not of vgpt2"):
        train.open_checkpoint(make(tmp_path), "vgpt2")


@pytest.mark.parametrize("damage", ["changed", "missing", "added"])
def test_a_checkpoint_that_was_changed_is_refused(tmp_path, damage):
    output = make(tmp_path)
    if damage == "changed":
        (output / "weights").write_text("[")
    elif damage == "missing":
        (output / "weights").unlink()
    else:
        (output / "adapter").write_text("x")
    with pytest.raises(UserError, match="not those that its card was written for"):
        train.open_checkpoint(output, "scribe")


def test_data_without_a_split_to_choose_on_are_said_before_training(tmp_path):
    data = Data()
    data.SPLITS = ("train", "test")
    with pytest.raises(UserError, match=r"data in / has no val split \(only train, test\): models learn from train"):
        make(tmp_path, data=data)
    assert Scribe.jobs == []


@pytest.mark.parametrize(
    ("preset", "values", "said"),
    [("smal", {}, "Did you mean small"), (None, {"epoch": 1}, "epochs"), (None, {"epochs": "many"}, "a value like"),
     ("large", {"lr": "fast"}, "a value like 0.01")],
)  # fmt: skip
def test_what_cannot_be_is_said_without_data(preset, values, said):
    train.check_asked(Scribe, "large", {"epochs": 3, "flip": True})
    with pytest.raises(UserError, match=said):
        train.check_asked(Scribe, preset, values)


def redate(output, date):
    card = json.loads((output / "card.json").read_text())
    (output / "card.json").write_text(json.dumps({**card, "date": date}))
    return output


def test_the_newest_checkpoint_that_fits(tmp_path):
    assert train.newest_checkpoint(tmp_path, "scribe", None, None) is None
    old = redate(make(tmp_path, seed=9), "2026-01-01T00:00:00Z")
    large = redate(make(tmp_path, preset="large"), "2026-03-01T00:00:00Z")
    new = redate(make(tmp_path, seed=1), "2026-02-01T00:00:00Z")
    interrupted = make(tmp_path, seed=2)
    (interrupted / "card.json").unlink()

    def newest(dataset=None, preset=None):
        found = train.newest_checkpoint(tmp_path, "scribe", dataset, preset)
        return found and found.path

    assert newest() == newest("data") == large
    assert newest(preset="small") == newest("data", "small") == new != old
    assert newest("phantom") is None
    assert newest(preset="huge") is None
    assert train.newest_checkpoint(tmp_path, "vgpt2", None, None) is None


def test_a_preset_s_own_value_chooses_among_checkpoints_too(tmp_path):
    usual = redate(make(tmp_path), "2026-01-01T00:00:00Z")
    redate(make(tmp_path, overrides={"epochs": 9}), "2026-02-01T00:00:00Z")
    found = evaluate.find_checkpoint("scribe", Scribe, Data(), None, "small", tmp_path, changes=["epochs=2"])
    assert found.path == usual
