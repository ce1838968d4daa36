"""What is told of a model before it is used, read from its source."""

import json

import pytest

from benchmark import cards, contracts
from benchmark.plugin_source import class_variables
from benchmark.registry import MODELS
from benchmark.train import all_options

PLUGIN = '''
"""A model."""
import torch_that_is_not_here
from ._shared import Base as Shared, PRESETS, SIZE

class Local(Shared):
    TAKES_PROMPT: bool = True
    NEEDS_IMAGES = False

class Model(Local, Elsewhere):
    PAPER, NOTE = "A. 2020", "n"
    PRESETS = PRESETS
    PARAMETERS = {"one": SIZE, "two": 3}
    WEIGHTS = {**PRESETS, "x": f(1)}
    PACKAGES = tuple(["made", "up"])
    LICENCE: str
    NEEDS_IMAGES = True
'''
SHARED = """
from ._far import Far
SIZE = 12
BASE = {"a": 1}
PRESETS = {"one": BASE, "two": {**BASE, "b": 2}}
class Base(Far):
    INSTANT = True
"""


def test_class_variables_are_read_without_importing(tmp_path):
    (tmp_path / "plugin.py").write_text(PLUGIN)
    (tmp_path / "_shared.py").write_text(SHARED)
    (tmp_path / "_far.py").write_text("class Far:\n    CAN_TRAIN = False\n    INSTANT = False\n")
    assert class_variables(tmp_path / "plugin.py", "Model") == {
        "CAN_TRAIN": False,
        "INSTANT": True,
        "TAKES_PROMPT": True,
        "NEEDS_IMAGES": True,
        "PAPER": "A. 2020",
        "NOTE": "n",
        "PRESETS": {"one": None, "two": None},
        "PARAMETERS": {"one": None, "two": None},
        "WEIGHTS": {"x": None},
    }
    assert class_variables(tmp_path / "plugin.py", "Missing") == class_variables(tmp_path / "none.py", "Model") == {}


@pytest.mark.parametrize("name", MODELS.names())
def test_what_the_list_reads_is_what_the_model_says(name):
    outline, card = cards.outline(name), cards.card(name)
    assert outline == {key: card[key] for key in outline} | {"presets": list(card["presets"])}
    assert json.loads(json.dumps(card)) == card
    plugin = MODELS.load(name)
    assert card["presets"] == {preset: all_options(plugin, preset) for preset in plugin.PRESETS}
    assert card["summary"] and card["licence"] and card["presets"] and card["trains_here"]


def test_vgpt2_names_what_it_needs(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    outline = cards.outline("vgpt2")
    assert outline["parameters"] == 160_547_712 and "paper" in outline["presets"]
    assert outline["needs"] == ["images", "training reports", "hub: gpt2", "hub: timm/densenet121.ra_in1k"]
    assert outline["trains_here"].startswith("tiny now; the other presets")
    for hub_id in ("gpt2", "timm/densenet121.ra_in1k"):
        (tmp_path / f"models--{hub_id.replace('/', '--')}" / "snapshots" / "abc" / "x").mkdir(parents=True)
    assert cards.outline("vgpt2")["trains_here"].startswith("paper, frozen, lora, tiny now")


def test_a_hub_model_names_the_checkpoint_and_asks_no_training_reports_of_its_first_preset():
    for name in ("hub-vlm", "hub-seq2seq"):
        assert cards.outline(name)["needs"] == [
            "images", "a checkpoint: --set hub_id=…", "training reports for lora and full"
        ]  # fmt: skip


def test_what_cannot_be_trained_here_says_why():
    facts = {**vars(contracts.Model), "PACKAGES": ("not_installed_anywhere",)}
    assert cards._trains_here(facts, ["default"]) == "not without not_installed_anywhere"
    assert cards._trains_here({**facts, "CAN_TRAIN": False}, ["default"]) == "no"
    assert cards._trains_here(vars(contracts.Model), ["default"]) == "yes"
