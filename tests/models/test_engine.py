"""What `_training.fit` promises beyond a plain training: memory, divergence, precision, choice of the best epoch."""

from __future__ import annotations

import dataclasses
import functools
import importlib.util
import json
import multiprocessing
import signal
from pathlib import Path

import pytest
import torch

from benchmark import registry
from benchmark.errors import Diverged, OutOfMemory, UserError
from benchmark.models import _training, _vision_gpt2
from benchmark.models._batches import BatchPlan
from benchmark.models._options import DEFAULTS, arguments
from benchmark.models.vgpt2 import Model
from benchmark.schema import GenerationSettings

_spec = importlib.util.spec_from_file_location("vgpt2_helpers", Path(__file__).with_name("test_vgpt2.py"))
t = importlib.util.module_from_spec(_spec)  # the small network and its data
_spec.loader.exec_module(t)

one_thread = t.one_thread
STEADY = {"epochs": 2, "freeze_batch_norm": True, "batch_size": 4, "accumulation": 1}


def make_job(output: Path, examples, **options):
    """As test_vgpt2's, with options of the engine."""
    engine = {key: options.pop(key) for key in list(options) if key in DEFAULTS}
    job = t.make_job(output, examples, **options)
    return dataclasses.replace(job, options={**job.options, **engine})


CAPTIONERS = {
    "r2gen": {"layers": 1, "inner": 32, "heads": 2, "memory_heads": 2},
    "r2gen-cmn": {"layers": 1, "inner": 32, "heads": 2, "memory": 16, "responses": 4},
    "show-attend-tell": {"word_width": 32, "attention_width": 16},
}


def train(name: str, output: Path, examples, **options):
    """Two epochs of any model that has this engine; returns what it says."""
    if name == "vgpt2":
        model, job = Model, make_job(output, examples, **{**STEADY, **options})
    else:
        model, job = registry.MODELS.load(name), t.make_job(output, examples)
        small = {key: t.SMALL[key] for key in ("encoder", "image_size", "width", "max_tokens")}
        values = {**model.PRESETS["tiny"], **small, **CAPTIONERS[name], "encoder_args": {}, "threshold": 1}
        job = dataclasses.replace(job, options={**values, **STEADY, **options})
    said: list[str] = []
    model.train(dataclasses.replace(job, report=said.append))
    return said


def losses(output: Path) -> list[float]:
    return [float(row[key]) for row in t.history(output) for key in ("train_loss", "validation_loss")]


def test_full_memory_halves_the_batch_and_keeps_the_step(tmp_path, monkeypatch):
    examples = t.make_examples(tmp_path / "images", 8)
    Model.train(make_job(tmp_path / "roomy", examples, **STEADY))
    forward = _vision_gpt2.VisionGPT2.forward

    @functools.wraps(forward)
    def narrow(self, pixel_values=None, **kwargs):
        if pixel_values is not None and len(pixel_values) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return forward(self, pixel_values=pixel_values, **kwargs)

    monkeypatch.setattr(_vision_gpt2.VisionGPT2, "forward", narrow)
    job = make_job(tmp_path / "narrow", examples, **STEADY)
    for said in ("4 studies at a time. Going on with 2 and 2 passes", "2 studies at a time. Going on with 1 and 4"):
        with pytest.raises(OutOfMemory, match=said):
            Model.train(job)
    Model.train(job)
    assert losses(tmp_path / "narrow") == pytest.approx(losses(tmp_path / "roomy"), abs=1e-4)


def test_several_processes_that_run_out_of_memory_halve_the_batch_once(tmp_path):
    plan = BatchPlan.of(8, 1, 2)
    for _ in range(plan.processes):
        with (
            pytest.raises(OutOfMemory, match="4 studies at a time. Going on with 2"),
            _training._failures({"batch_size": 8, "accumulation": 1}, plan, tmp_path, halvings=1),
        ):
            raise MemoryError
    assert _training._halvings(tmp_path) == 1


@pytest.mark.parametrize("already", [False, True])
def test_memory_that_does_not_hold_one_study(tmp_path, monkeypatch, already):
    def none(*_: object, **__: object):
        raise MemoryError

    monkeypatch.setattr(_vision_gpt2.Encoder, "forward", none)
    examples = t.make_examples(tmp_path / "images", 2)
    with pytest.raises(UserError, match="a smaller image_size") as error:
        train("vgpt2", tmp_path / "a", examples, batch_size=1, gradient_checkpointing=already)
    assert ("gradient_checkpointing" in str(error.value)) == (not already)


@pytest.mark.parametrize("name", ["vgpt2", *CAPTIONERS])
def test_a_batch_without_an_image_counts_for_nothing(tmp_path, name):
    """Here it is all of a step."""
    examples = t.make_examples(tmp_path / "images", 4)
    examples[1].study.views[0].path.write_bytes(b"")
    said = train(name, tmp_path / "a", examples, batch_size=1)
    assert sum("1.png is empty" in line for line in said) == 1
    assert all(0 < loss < 10 for loss in losses(tmp_path / "a"))


def test_divergence_keeps_the_last_good_checkpoint_and_says_where(tmp_path, monkeypatch):
    examples = t.make_examples(tmp_path / "images", 8)
    forward = _vision_gpt2.VisionGPT2.forward
    calls: list[int] = []

    @functools.wraps(forward)
    def poisoned(self, *arguments, **kwargs):
        calls.append(self.training)
        output = forward(self, *arguments, **kwargs)
        if sum(calls) == 4:
            output.loss = output.text_loss = output.loss * float("nan")
        return output

    monkeypatch.setattr(_vision_gpt2.VisionGPT2, "forward", poisoned)
    with pytest.raises(Diverged, match=r"step 4 of 4 \(epoch 2\).*checkpoint-3, is kept.*learning_rate=0.003"):
        Model.train(make_job(tmp_path / "a", examples, **{**STEADY, "save_every": 1}))
    kept = [path.name for path in (tmp_path / "a" / "trainer").glob("checkpoint-*")]
    assert kept == ["checkpoint-3"]
    monkeypatch.undo()
    Model.train(make_job(tmp_path / "a", examples, **{**STEADY, "save_every": 1}))
    assert len(t.history(tmp_path / "a")) == 2


class Dropped:
    """Ctrl-C while an object is destroyed, where Python drops the exception."""

    def __del__(self):
        signal.raise_signal(signal.SIGINT)


def ctrl_c_and_another_error():
    try:
        signal.raise_signal(signal.SIGINT)
    except KeyboardInterrupt:
        raise RuntimeError("unexpected position in the file") from None


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("happens", [Dropped, ctrl_c_and_another_error])
def test_an_interruption_is_not_lost(tmp_path, monkeypatch, ctrl_c, happens):
    forward = _vision_gpt2.VisionGPT2.forward
    calls: list[None] = []

    @functools.wraps(forward)
    def interrupted(self, *arguments, **kwargs):
        calls.append(None)
        if len(calls) == 2:
            happens()
        return forward(self, *arguments, **kwargs)

    monkeypatch.setattr(_vision_gpt2.VisionGPT2, "forward", interrupted)
    job = make_job(tmp_path / "a", t.make_examples(tmp_path / "images", 8), **{**STEADY, "save_every": 1})
    with pytest.raises(KeyboardInterrupt):
        Model.train(job)
    assert len(calls) == 2
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    Model.train(job)
    assert len(t.history(tmp_path / "a")) == 2


def test_weights_that_are_no_numbers_are_not_saved(tmp_path, monkeypatch):
    """A finite loss may have gradients that are not."""
    forward = _vision_gpt2.VisionGPT2.forward

    @functools.wraps(forward)
    def steep(self, *arguments, **kwargs):
        output = forward(self, *arguments, **kwargs)
        if output.loss is not None:
            bias = self.enc.proj.bias
            output.loss = output.loss + torch.sqrt((bias - bias.detach()).abs().sum())  # 0, with an infinite slope
        return output

    monkeypatch.setattr(_vision_gpt2.VisionGPT2, "forward", steep)
    with pytest.raises(Diverged, match="There is no checkpoint yet"):
        examples = t.make_examples(tmp_path / "images", 8)
        Model.train(make_job(tmp_path / "a", examples, **{**STEADY, "save_every": 1}))
    assert not list((tmp_path / "a" / "trainer").glob("checkpoint-*/history.json"))


class ShortIsGood:
    higher_is_better = True

    def __init__(self):
        self.given: list[list[str]] = []

    def __call__(self, texts):
        self.given.append(list(texts))
        return [1.0, 3.0, 2.0, 0.0, 0.0][len(self.given) - 1]


def test_the_best_epoch_by_what_is_written_and_early_stopping(tmp_path):
    examples, judge = t.make_examples(tmp_path / "images", 6), ShortIsGood()
    options = {**STEADY, "epochs": 5, "select_by": "cider", "patience": 2}
    job = dataclasses.replace(make_job(tmp_path / "a", examples, **options), judge=lambda name: judge)
    Model.train(dataclasses.replace(job, validation=examples[:5]))
    rows = t.history(tmp_path / "a")
    assert [float(row["validation_cider"]) for row in rows] == [1.0, 3.0, 2.0, 0.0], "stopped two epochs after the best"
    assert [len(texts) for texts in judge.given] == [5] * 4
    model = Model.load(tmp_path / "a", "cpu")
    written = model.generate([e.study for e in examples[:5]], GenerationSettings(), [0] * 5)
    assert [report.text for report in written] == judge.given[1], "the weights are those of the second epoch"


def test_a_model_that_cannot_be_chosen_by_a_metric_says_so(tmp_path):
    job = make_job(tmp_path / "a", t.make_examples(tmp_path / "images", 2), select_by="cider", epochs=1)
    with pytest.raises(UserError, match="only by loss"):
        Model.train(job)


@pytest.mark.parametrize(
    "options",
    [{"precision": "bf16"}, {"gradient_checkpointing": True}, {"channels_last": False}, {"length_buckets": True}],
)
def test_ways_of_computing_give_nearly_the_same(tmp_path, options):
    examples = t.make_examples(tmp_path / "images", 8)
    for name, more in (("plain", {}), ("other", options)):
        Model.train(make_job(tmp_path / name, examples, **STEADY, **more))
    assert losses(tmp_path / "other") == pytest.approx(losses(tmp_path / "plain"), rel=0.02)


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("vgpt2", {"precision": "fp16"}, "fp16 needs a CUDA GPU"),
        ("vgpt2", {"precision": "half"}, "auto, bf16, fp16 or fp32"),
        ("vgpt2", {"fsdp": True}, "several processes"),
        ("vgpt2", {"fsdp": True, "select_by": "cider"}, "set select_by=loss"),
        ("vgpt2", {"epochs": 0}, "epochs is 0, and must be at least 1"),
        ("vgpt2", {"save_every": 0}, "save_every is 0, and"),
        ("vgpt2", {"workers": -1}, "workers is -1, and must be at least 0"),
        ("vgpt2", {"learning_rate": -1e-3}, "learning_rate is -0.001, and"),
        ("vgpt2", {"label_smoothing": 2.0}, "label_smoothing is 2.0, and must be from 0 to 1"),
        ("vgpt2", {"image_size": 0}, "image_size is 0"),
        ("vgpt2", {"max_tokens": 1}, "max_tokens is 1"),
        ("vgpt2", {"heads": 5}, "5 heads do not divide the width of 32"),
        ("vgpt2", {"width": 30, "position_code": True}, "a multiple of 4 channels, not 30"),
        ("r2gen", {"optimizer": "step-adam", "decay_epochs": 0}, "decay_epochs is 0"),
        ("r2gen", {"memory_heads": 5}, "5 memory_heads do not divide the width of 32"),
        ("r2gen-cmn", {"responses": 17}, "17 responses do not come from a memory of 16"),
        ("show-attend-tell", {"level": 9}, "level is 9, and test_resnet.r160_in1k has maps 0 to 4"),
        ("show-attend-tell", {"encoder": "dla46_c", "gradient_checkpointing": True}, "No part of this network"),
    ],
)
def test_what_cannot_be_is_refused(tmp_path, name, options, said):
    with pytest.raises(UserError, match=said):
        train(name, tmp_path / "a", t.make_examples(tmp_path / "images", 2), **options)


def test_weights_are_divided_among_gpus_alone(tmp_path):
    job, plan = make_job(tmp_path, [], fsdp=True), BatchPlan.of(8, 1, 2)
    with pytest.raises(UserError, match="fsdp divides a model among the GPUs"):
        arguments(job, {**DEFAULTS, **job.options}, plan, 8, tmp_path, [])


def test_an_odd_width_is_possible_where_a_head_takes_it(tmp_path):
    train("r2gen", tmp_path, t.make_examples(tmp_path / "images", 2), width=33, heads=3, memory_heads=3, epochs=1)


@pytest.mark.parametrize("name", CAPTIONERS)
def test_an_encoder_is_computed_twice_where_the_rest_cannot_be(tmp_path, name):
    examples = t.make_examples(tmp_path / "images", 4)
    for output, twice in (("plain", False), ("twice", True)):
        train(name, tmp_path / output, examples, gradient_checkpointing=twice, epochs=1)
    assert losses(tmp_path / "twice") == pytest.approx(losses(tmp_path / "plain"), rel=0.02)


def test_rates_fall_in_steps_where_they_are_to(tmp_path):
    examples = t.make_examples(tmp_path / "images", 4)
    options = {"optimizer": "step-adam", "learning_rate": 1e-3, "decay": 0.5, "decay_epochs": 1, "epochs": 3}
    train("r2gen", tmp_path / "a", examples, **options)
    assert [float(row["learning_rate"]) for row in t.history(tmp_path / "a")] == [5e-4, 2.5e-4, 1.25e-4]


def test_several_loader_workers_and_a_stop_in_the_middle_of_an_epoch(tmp_path):
    """The kill itself is tested in test_vgpt2; here the batches that workers had fetched ahead are lost with it."""
    examples = t.make_examples(tmp_path / "images", 10)
    options = {**t.RESUMED, "workers": 2, "save_every": 1, "epochs": 2}
    Model.train(make_job(tmp_path / "whole", examples, **options))
    assert not multiprocessing.active_children(), "workers were left behind"

    def stop(step: int) -> None:
        if step == 5 and not (tmp_path / "stopped").exists():
            (tmp_path / "stopped").touch()
            raise KeyboardInterrupt

    job = dataclasses.replace(make_job(tmp_path / "halves", examples, **options), on_step=stop)
    with pytest.raises(KeyboardInterrupt):
        Model.train(job)
    assert not multiprocessing.active_children()
    state = json.loads((tmp_path / "halves" / "trainer" / "checkpoint-4" / "trainer_state.json").read_text())
    assert state["global_step"] == 4 and 1 < state["epoch"] < 2
    Model.train(job)
    assert t.weights_hash(tmp_path / "halves") == t.weights_hash(tmp_path / "whole")
