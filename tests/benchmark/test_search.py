"""Search for hyper-parameters, and choosing checkpoints by a metric."""

from __future__ import annotations

import csv
import importlib.util
import json
import math
from pathlib import Path

import pytest

from benchmark import search, train, validation
from benchmark.contracts import Example, Unavailable
from benchmark.errors import Diverged, UserError
from benchmark.schema import Reference, Study

pytest.importorskip("optuna")
_spec = importlib.util.spec_from_file_location("train_helpers", Path(__file__).with_name("test_train.py"))
t = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(t)

SPACE = {"lr": {"low": 1e-3, "high": 1.0, "log": True}, "epochs": {"low": 1, "high": 4}}


class Valley(t.Scribe):
    """Its validation loss is the distance of the learning rate from 0.03; beyond 0.3 it diverges."""

    PRESETS = {"small": {"epochs": 2, "lr": 0.1}}
    SEARCH = SPACE
    killed_at = math.inf

    @classmethod
    def train(cls, job):
        cls.jobs.append(job)
        if len(cls.jobs) == cls.killed_at:
            raise KeyboardInterrupt
        if job.options["lr"] > 0.3:
            raise Diverged("The loss is nan at step 3 of 9")
        loss = abs(math.log(job.options["lr"] / 0.03))
        (job.output / "history.csv").write_text(f"epoch,validation_loss\n1,{loss}\n2,{loss + 1}\n")


@pytest.fixture(autouse=True)
def forgotten(monkeypatch):
    monkeypatch.setattr(t.Scribe, "jobs", [])


def run(results, trials=6, space=None, **more):
    options = {"trials": trials, "space_file": space, "device": "cpu", **more}
    return search.search(Valley, t.recipe(model="valley"), t.Data(), results, **options)


def settings(found):
    return [(trial.number, dict(trial.settings), trial.value) for trial in found.trials]


def test_trials_are_trainings_ordered_by_what_they_came_to(tmp_path):
    found = run(tmp_path)
    values = [trial.value for trial in found.trials if trial.value is not None]
    assert len(found.trials) == 6 and values == sorted(values) and found.measure == "validation_loss"
    assert sum(trial.value is None for trial in found.trials) == sum(t["lr"] > 0.3 for _, t, _ in settings(found)) > 0
    best = found.trials[0]
    assert best.value == pytest.approx(abs(math.log(best.settings["lr"] / 0.03)))
    card = json.loads((best.checkpoint / "card.json").read_text())
    assert card["options"] == {"epochs": best.settings["epochs"], "lr": best.settings["lr"]}
    with (found.folder / "trials.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows[0]["checkpoint"] == best.checkpoint.name and float(rows[0]["lr"]) == best.settings["lr"]


def test_a_killed_search_goes_on_to_the_same_end(tmp_path, monkeypatch):
    whole = run(tmp_path / "whole")
    monkeypatch.setattr(t.Scribe, "jobs", [])
    monkeypatch.setattr(Valley, "killed_at", 4)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "killed")
    again = run(tmp_path / "killed")
    assert settings(again) == settings(whole)
    assert len(Valley.jobs) == 7, "only what was killed is trained twice"
    more = run(tmp_path / "killed", trials=8)
    assert len(more.trials) == 8 and len(Valley.jobs) == 9


def test_what_a_trial_suggests_goes_before_what_was_set(tmp_path):
    file = tmp_path / "space.json"
    file.write_text('{"epochs": {"choices": [2]}}')
    recipe = t.recipe(model="valley", overrides={"epochs": 9})
    (trial,) = search.search(Valley, recipe, t.Data(), tmp_path, trials=1, space_file=file, device="cpu").trials
    assert trial.settings == {"epochs": 2}
    assert json.loads((trial.checkpoint / "card.json").read_text())["options"]["epochs"] == 2


def test_a_space_of_one_s_own(tmp_path):
    file = tmp_path / "space.toml"
    file.write_text("[epochs]\nchoices = [1, 3]\n[lr]\ntimes = [0.1, 1.0]\n")
    found = run(tmp_path, trials=3, space=file)
    assert all(trial.settings["epochs"] in (1, 3) and 0.01 <= trial.settings["lr"] <= 0.1 for trial in found.trials)


@pytest.mark.parametrize(
    ("space", "said"),
    [({}, "empty"), ({"lrr": {}}, "Did you mean lr"), ({"lr": {"low": 1.0}}, "low and high"), ({"lr": 3}, "low and"),
     ({"lr": {"low": 1.0, "high": 0.5}}, "low and high"), ({"epochs": {"choices": ["many"]}}, "value like 2"),
     ({"lr": {"low": 0.1, "high": 0.2, "loq": True}}, "low and high")],
)  # fmt: skip
def test_impossible_spaces(space, said):
    with pytest.raises(UserError, match=said):
        search.read_space(space, Valley.PRESETS["small"])


def test_values_from_a_file(tmp_path):
    toml, other = tmp_path / "a.toml", tmp_path / "a.json"
    toml.write_text("epochs = 7\nlr = 1\n")
    other.write_text('{"epochs": 7}')
    assert train.check_overrides(Valley.PRESETS["small"], train.read_values(toml)) == {"epochs": 7, "lr": 1.0}
    assert train.read_values(other) == {"epochs": 7}
    other.write_text("[1]")
    for path, said in ((other, "object"), (tmp_path / "none.toml", "No such file")):
        with pytest.raises(UserError, match=said):
            train.read_values(path)
    toml.write_text("epochs =")
    with pytest.raises(UserError, match="no TOML file"):
        train.read_values(toml)


# --- the judge ------------------------------------------------------------------------------------------------------


def examples():
    texts = [("The heart is large.", "Cardiomegaly."), ("Lungs are clear.", "Normal."), ("", "Left effusion.")]
    return [Example(Study(f"s{i}", "p", "val", ()), Reference(f"s{i}", "p", *both)) for i, both in enumerate(texts)]


def test_the_judge_gives_the_protocol_s_value():
    judge = validation.ValidationJudge("rouge_l", examples())
    right = [
        "Findings: The heart is large. Impression: Cardiomegaly.",
        "Findings: Lungs are clear. Impression: Normal.",
        "",
    ]
    assert judge.higher_is_better and judge(right) == pytest.approx(1.0)
    assert judge(["", "", ""]) == 0.0


def test_the_judge_takes_the_section_that_there_is_or_that_a_model_writes():
    alone = [Example(each.study, Reference("s", "p", each.reference.findings)) for each in examples()]
    findings = ["The heart is large.", "Findings: Lungs are clear.", ""]
    assert validation.ValidationJudge("rouge_l", alone)(findings) == pytest.approx(1.0)
    assert validation.ValidationJudge("rouge_l", examples())(findings) < 1
    assert validation.ValidationJudge("rouge_l", examples(), "findings")(findings) == pytest.approx(1.0)


def test_values_that_are_unknown_or_not_to_be_had(monkeypatch):
    with pytest.raises(UserError, match="Did you mean cider"):
        validation.ValidationJudge("cidr", examples())
    with pytest.raises(UserError, match=r"Did you mean bleu_2 or bleu_4 or bleu_3\?$"):  # two metrics have a bleu_2
        validation.metric_of("bleu2")
    with pytest.raises(UserError, match=r"'foo'\. Take loss, or .* `bench metrics` lists the metrics\.$"):
        validation.metric_of("foo")
    metric = validation.metric_of("rouge_l")

    def missing(*_: object):
        raise ModuleNotFoundError("No module named 'rouge_score'", name="rouge_score")

    def unavailable(*_: object):
        raise Unavailable("There is no Java.")

    for broken, said in ((missing, "package rouge_score is not installed"), (unavailable, "There is no Java. Or take")):
        monkeypatch.setattr(metric, "rows", broken)
        with pytest.raises(UserError, match=said):
            validation.ValidationJudge("rouge_l", examples())
