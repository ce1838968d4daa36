"""Parts of Vision-GPT2 by themselves: batches, augmentation, sampling, encoders."""

from __future__ import annotations

import json

import pytest
import torch

from benchmark.models import _data, _sampling, _vision_gpt2
from benchmark.models._batches import CountingCollate
from benchmark.models._checkpoints import newest_checkpoint
from benchmark.models._tokenizer import encode, train_tokenizer
from benchmark.models.vgpt2 import Model
from benchmark.schema import GenerationSettings

TEXT = "Findings: The heart is large. No effusion. Impression: Cardiomegaly."


def test_samples_follow_the_softmax():
    logits = torch.tensor([[0.0, 1.0, 2.0, -1.0]])
    draws = torch.zeros(4)
    process = _sampling.SeededSampling(GenerationSettings(do_sample=True, temperature=0.7, top_k=3), [11])
    for _ in range(4000):
        draws[process(torch.zeros(1, 1), logits).argmax()] += 1
    expected = torch.softmax(logits[0, :3] / 0.7, 0)
    assert draws[3] == 0
    assert torch.allclose(draws[:3] / 4000, expected, atol=0.03)


def test_a_batch_pads_to_its_longest_and_padding_is_no_target():
    collate = _data.Collate(pad=0, mean=(0.5,) * 3, std=(0.5,) * 3)
    image = torch.zeros(8, 8, dtype=torch.uint8)
    short = {"images": [image], "unreadable": [], "input_ids": [0, 5, 0], "given": 1}
    long = {"images": [image, image], "unreadable": ["x.png is empty."], "input_ids": [0, 5, 6, 7, 0], "given": 3}
    blind = {"images": [], "unreadable": ["y.png is empty."], "input_ids": [0, 9, 9, 9, 9, 0], "given": 1}
    batch = collate([short, blind, long])
    assert batch["input_ids"].tolist() == [[0, 5, 0, 0, 0], [0, 5, 6, 7, 0]]
    assert batch["labels"].tolist() == [[-100, 5, 0, -100, -100], [-100, -100, -100, 7, 0]]
    assert batch["pixel_values"].shape == (3, 3, 8, 8) and (batch["pixel_values"] == -1).all()
    assert batch["views"].tolist() == [1, 2] and batch["unreadable"] == ["y.png is empty.", "x.png is empty."]


def test_a_batch_without_an_image_keeps_its_shape_and_has_no_target():
    image = torch.full((8, 8), 255, dtype=torch.uint8)
    blind = {"images": [], "stand_in": image, "unreadable": ["y.png is empty."], "input_ids": [0, 5, 0], "given": 1}
    collate = CountingCollate(_data.Collate(pad=0, mean=(0.5,) * 3, std=(0.5,) * 3))
    batch = collate([(True, blind), (True, blind)])
    assert batch["counts"] == 0 and batch["labels"].tolist() == [[-100] * 3]
    assert batch["pixel_values"].shape == (1, 3, 8, 8) and batch["views"].tolist() == [1]
    assert batch["unreadable"] == ["y.png is empty."] * 2
    assert collate([(True, blind), (True, {**blind, "images": [image]})])["counts"] == 1


def test_augmentation_depends_on_seed_epoch_and_study_and_never_flips():
    image = torch.zeros(64, 64, dtype=torch.uint8)
    image[4:28, 4:28] = 200
    augment = _data.Augmentation(degrees=10, shift=0.05, scale=0.1, contrast=0.2)
    once = augment(image, 1, 2, "s3")
    assert torch.equal(once, augment(image, 1, 2, "s3"))
    others = [augment(image, 2, 2, "s3"), augment(image, 1, 3, "s3"), augment(image, 1, 2, "s4")]
    assert not any(torch.equal(once, other) for other in others)
    for epoch in range(50):
        moved = augment(image, 0, epoch, "s").float()
        assert moved[:32, :32].sum() > 0.8 * moved.sum()


def test_a_position_code_tells_positions_apart():
    code = _vision_gpt2.position_code(16, 3, 4).flatten(1).T
    assert code.shape == (12, 16)
    assert torch.cdist(code, code).fill_diagonal_(1).min() > 0.1


def test_an_incomplete_step_checkpoint_is_not_used(tmp_path):
    for step, complete in ((90, True), (100, True), (110, False)):
        (tmp_path / f"checkpoint-{step}").mkdir()
        if complete:
            (tmp_path / f"checkpoint-{step}" / "history.json").write_text("{}")
    assert newest_checkpoint(tmp_path) == tmp_path / "checkpoint-100"
    assert not (tmp_path / "checkpoint-110").exists()


@pytest.mark.parametrize("encoder", ["test_vit", "test_convnext", "swin_tiny_patch4_window7_224"])
def test_other_encoders_fit_and_survive_saving(tmp_path, encoder):
    sizes = {"vocab_size": 50, "n_positions": 16, "n_embd": 16, "n_layer": 1, "n_head": 2}
    model = _vision_gpt2.VisionGPT2(
        _vision_gpt2.VisionGPT2Config(encoder=encoder, image_size=64, text_config=sizes)
    ).eval()
    image = torch.randn(1, 3, 64, 64)
    states = model.enc(image)
    assert states.ndim == 3 and states.shape[2] == 16 and states.is_contiguous()
    model.save_pretrained(tmp_path)
    assert torch.equal(_vision_gpt2.load_strict(tmp_path).eval().enc(image), states)


def test_presets_are_plain_data_with_the_same_keys():
    paper, tiny = Model.PRESETS["paper"], Model.PRESETS["tiny"]
    assert paper.keys() == tiny.keys()
    assert all(type(paper[key]) is type(tiny[key]) for key in paper)
    json.dumps([paper, tiny])


def test_a_long_text_is_cut_and_then_has_no_end():
    tokenizer = train_tokenizer([TEXT], 300)
    whole = encode(tokenizer, TEXT, 64)
    assert whole[0] == whole[-1] == tokenizer.eos_token_id
    assert encode(tokenizer, TEXT, len(whole)) == whole
    assert encode(tokenizer, TEXT, len(whole) - 1) == whole[:-1]


def test_the_loss_is_the_mean_over_targets_however_they_are_batched():
    sizes = {"vocab_size": 200, "n_positions": 16, "n_embd": 32, "n_layer": 1, "n_head": 2}
    config = _vision_gpt2.VisionGPT2Config(encoder="test_resnet", label_smoothing=0.1, text_config=sizes)
    model = _vision_gpt2.VisionGPT2(config).eval()
    states = torch.zeros(2, 4, 32)
    ids = torch.randint(5, 200, (2, 9), generator=torch.Generator().manual_seed(0))
    labels = ids.clone()
    labels[0, 4:] = -100
    with torch.no_grad():
        both = model(input_ids=ids, labels=labels, encoder_hidden_states=states).loss
        first = model(input_ids=ids[:1, :4], labels=ids[:1, :4], encoder_hidden_states=states[:1]).loss
        second = model(input_ids=ids[1:], labels=ids[1:], encoder_hidden_states=states[1:]).loss
    assert both == pytest.approx(float(3 * first + 8 * second) / 11, abs=1e-5)


def test_the_word_loss_is_a_noisy_or_over_positions():
    foretold = torch.randn(2, 5, 7, generator=torch.Generator().manual_seed(0))
    labels = torch.tensor([[-100, 3, 3, 6], [-100, 1, -100, -100]])
    present = torch.zeros(2, 7)
    present[0, [3, 6]] = 1
    present[1, 1] = 1
    chance = 1 - (1 - foretold.sigmoid()).prod(dim=1)
    expected = torch.nn.functional.binary_cross_entropy(chance, present, reduction="none").sum(dim=1)
    assert torch.allclose(_vision_gpt2.word_losses(foretold, labels), expected, atol=1e-4)


def test_the_encoder_takes_timms_arguments():
    narrow = _vision_gpt2.create_backbone("resnet10t", 96, pretrained=False, channels=[8, 8, 8, 8], output_stride=16)
    assert narrow.forward_features(torch.zeros(1, 3, 96, 96)).shape == (1, 8, 6, 6)
