"""Vision-GPT2 with several views of a study."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from benchmark.contracts import Example, TrainingJob
from benchmark.errors import UserError
from benchmark.models import _vision_gpt2
from benchmark.models.vgpt2 import Model
from benchmark.schema import GenerationSettings, Reference, Study, View

SETTINGS = GenerationSettings(max_new_tokens=40)
REPORTS = ("Clear lungs.", "Large left effusion.", "Rib fracture.")
OPTIONS = {
    "encoder": "test_resnet.r160_in1k", "layers": 1, "width": 32, "heads": 2, "vocabulary": 300, "image_size": 32,
    "max_tokens": 64, "learning_rate": 1e-2, "batch_size": 3, "epochs": 60, "degrees": 0.0, "shift": 0.0, "scale": 0.0,
    "encoder_args": {}, "word_loss": 1.0, "save_every": 1000, "views": 2,
}  # fmt: skip


def picture(folder: Path, seed: int) -> View:
    noise = np.random.default_rng(seed).integers(0, 256, (4, 4), dtype=np.uint8)
    Image.fromarray(noise).resize((32, 32), Image.Resampling.NEAREST).save(folder / f"{seed}.png")
    return View(folder / f"{seed}.png")


def job(output: Path, examples: list[Example], **options: object) -> TrainingJob:
    output.mkdir()
    values = {**Model.PRESETS["tiny"], **OPTIONS, **options}
    return TrainingJob(examples, examples, {}, "tiny", values, 1, "cpu", output, lambda texts: [], lambda line: None)


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> tuple[Model, list[Study]]:
    """A model that knows three studies by heart, and the studies.

    The first has one view; the others have the same first view, so that only the second tells them apart, and a third
    that no one looks at.
    """
    folder = tmp_path_factory.mktemp("views")
    one, same, left, rib, spare = (picture(folder, seed) for seed in range(5))
    views = [(one,), (same, left, spare), (same, rib, spare)]
    studies = [Study(f"s{i}", "p", "train", shown) for i, shown in enumerate(views)]
    examples = [
        Example(study, Reference(study.study_id, "p", text)) for study, text in zip(studies, REPORTS, strict=True)
    ]
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    Model.train(job(folder / "checkpoint", examples))
    torch.set_num_threads(threads)
    return Model.load(folder / "checkpoint", "cpu"), studies


def texts(model: Model, studies: list[Study], **settings: object) -> list[str]:
    reports = model.generate(studies, dataclasses.replace(SETTINGS, **settings), list(range(len(studies))))
    assert not any(report.error for report in reports)
    return [report.text for report in reports]


@pytest.mark.parametrize("beams", [1, 3])
def test_the_second_view_decides_where_the_first_is_the_same(trained, beams):
    model, studies = trained
    assert texts(model, studies, num_beams=beams) == [f"Findings: {text}" for text in REPORTS]


@pytest.mark.parametrize("beams", [1, 3])
def test_a_study_gets_the_same_report_alone_and_beside_studies_with_more_views(trained, beams):
    model, studies = trained
    together = texts(model, studies[::-1], num_beams=beams)[::-1]
    assert [texts(model, [study], num_beams=beams)[0] for study in studies] == together


def test_absent_views_leave_no_trace(trained):
    """Logits and losses of a study of one view, alone and filled up beside one of two."""
    model, _ = trained
    network = model.model
    images = torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    ids = torch.randint(5, 50, (2, 7), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        alone = network(pixel_values=images[:1], input_ids=ids[:1]).logits
        together = network(pixel_values=images, views=torch.tensor([1, 2]), input_ids=ids).logits
        losses = [
            network(
                pixel_values=shown, views=torch.tensor(views), input_ids=some, labels=some, num_items_in_batch=1
            ).loss
            for shown, views, some in (
                (images[:1], [1], ids[:1]),
                (images[1:], [2], ids[1:]),
                (images, [1, 2], ids),
            )
        ]
    assert torch.allclose(together[:1], alone, atol=1e-5)
    assert float(losses[0] + losses[1]) == pytest.approx(float(losses[2]), rel=1e-5)


def test_a_view_that_cannot_be_read_is_left_out(trained, tmp_path):
    model, (single, double, _) = trained
    torn = View(tmp_path / "torn.png")
    torn.path.write_bytes(b"")
    first, last = model.generate(
        [
            dataclasses.replace(single, views=(torn, *single.views)),
            dataclasses.replace(double, views=(torn, torn, *double.views)),
        ],
        SETTINGS,
        [0, 1],
    )
    assert first.text == f"Findings: {REPORTS[0]}" and not first.error
    assert first.unread == (f"{torn.path} is empty (0 bytes).",)
    assert "torn.png is empty" in last.error and last.text == ""


def test_more_views_need_no_more_parameters(trained):
    model, _ = trained
    one = _vision_gpt2.VisionGPT2Config(**{**model.model.config.to_dict(), "views": 1})
    assert _vision_gpt2.VisionGPT2(one).num_parameters() == model.card()["parameters"]
    assert model.card()["views"] == 2


def test_no_view_is_refused(tmp_path):
    with pytest.raises(UserError, match="views is 0, and must be at least 1"):
        Model.train(job(tmp_path / "out", [Example(Study("s", "p", "train"), Reference("s", "p", "Text."))], views=0))
