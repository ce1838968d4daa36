"""Presets of Vision-GPT2: encoder families, frozen parts, adapters, indication, prompts."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import huggingface_hub
import numpy as np
import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import load_file
from transformers import GPT2Config, GPT2LMHeadModel

from benchmark.contracts import Example, TrainingJob
from benchmark.errors import UserError
from benchmark.models import _vision_gpt2, vgpt2
from benchmark.models._text import indication_text
from benchmark.models._tokenizer import beginning, encode, train_tokenizer
from benchmark.models._vision_gpt2 import VisionGPT2, VisionGPT2Config, create_backbone, pretrained_gpt2
from benchmark.models.vgpt2 import Model
from benchmark.schema import GenerationSettings, Reference, Study, View

REPORTS = (("The heart is large.", "Cardiomegaly."), ("Lungs are clear.", "Normal chest."))
SMALL = {
    "encoder": "test_resnet", "encoder_args": {}, "layers": 1, "width": 32, "heads": 2, "vocabulary": 300,
    "image_size": 32, "max_tokens": 64, "learning_rate": 1e-2, "batch_size": 2, "epochs": 1, "word_loss": 0.0,
    "degrees": 0.0, "shift": 0.0, "scale": 0.0, "contrast": 0.0,
}  # fmt: skip
BY_HEART = {"epochs": 3, "batch_size": 4, "save_every": 1000}
"""With each study 50 times in an epoch."""
SETTINGS = GenerationSettings(max_new_tokens=24)


@pytest.fixture(scope="module")
def examples(tmp_path_factory) -> list[Example]:
    """Two studies of noise, with indications."""
    folder = tmp_path_factory.mktemp("images")
    found = []
    for i, (findings, impression) in enumerate(REPORTS):
        noise = np.random.default_rng(i).integers(0, 256, (4, 4), dtype=np.uint8)
        Image.fromarray(noise).resize((64, 64), Image.Resampling.NEAREST).save(folder / f"{i}.png")
        context = {"indication": ("Cough.", "Chest pain,\n  query effusion.")[i]}
        study = Study(f"s{i}", f"p{i}", "train", (View(folder / f"{i}.png"),), context)
        found.append(Example(study, Reference(f"s{i}", f"p{i}", findings, impression)))
    return found


def make_job(output: Path, examples: list[Example], report=lambda line: None, **options: object) -> TrainingJob:
    values = {**Model.PRESETS["tiny"], **SMALL, **options}
    return TrainingJob(examples, examples, {}, "tiny", values, 1, "cpu", output, lambda texts: [], report)


def train(output: Path, examples: list[Example], report=lambda line: None, **options: object) -> Model:
    output.mkdir(parents=True, exist_ok=True)
    job = make_job(output, examples, report, **options)
    Model.train(dataclasses.replace(job, validation=examples[:2]))
    return Model.load(output, "cpu")


def texts(model: Model, examples: list[Example], settings: GenerationSettings = SETTINGS) -> list[str]:
    return [r.text for r in model.generate([e.study for e in examples], settings, [0] * len(examples))]


# --- as data ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("preset", Model.PARAMETERS)
def test_sizes_and_weights_are_what_the_network_has(preset):
    options = Model.PRESETS[preset]
    sizes = {"n_layer": options["layers"], "n_embd": options["width"], "n_head": options["heads"]}
    with torch.device("meta"):
        config = VisionGPT2Config(options["encoder"], image_size=options["image_size"], text_config=sizes)
        config.lora_rank = options["lora_rank"]
        model = VisionGPT2(config)
    assert model.num_parameters() == Model.PARAMETERS[preset]
    hub_id = timm.get_pretrained_cfg(options["encoder"]).hf_hub_id
    assert Model.WEIGHTS[preset] == (options["decoder"], hub_id)


def test_every_preset_that_begins_with_weights_names_them():
    begin = {name for name, options in Model.PRESETS.items() if options["decoder"] or options["encoder_pretrained"]}
    assert set(Model.WEIGHTS) == set(Model.PARAMETERS) == begin


@pytest.mark.parametrize("make", [lambda: create_backbone("densenet121", 64, True), lambda: pretrained_gpt2("gpt2")])
def test_weights_out_of_reach_are_said_to_be_so_at_once(make, tmp_path, monkeypatch):
    """Without asking timm and transformers, which would try for a minute."""
    asked = []
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(timm, "create_model", lambda *args, **kwargs: asked.append("timm"))
    monkeypatch.setattr(GPT2LMHeadModel, "from_pretrained", lambda *args, **kwargs: asked.append("transformers"))
    with pytest.raises(UserError, match=r"could not be fetched: run `hf download .*or take another preset, or --set"):
        make()
    assert not asked


# --- encoders ---------------------------------------------------------------------------------------------------

SWIN = {"embed_dim": 16, "depths": [1, 1, 1, 1], "num_heads": [1, 1, 1, 1], "window_size": 2}


@pytest.mark.parametrize(
    ("preset", "family", "encoder", "arguments"),
    [
        ("paper", "DenseNet", "densenet121", {"growth_rate": 8, "block_config": [1, 1, 1, 1]}),
        ("resnet50", "ResNet", "test_resnet", {}),
        ("convnext", "ConvNeXt", "test_convnext", {}),
        ("swin", "SwinTransformer", "swin_tiny_patch4_window7_224", SWIN),
        ("vit", "VisionTransformer", "test_vit", {}),
    ],
)
def test_each_family_of_encoders_trains_and_writes(preset, family, encoder, arguments, examples, tmp_path):
    assert timm.create_model(encoder, **arguments).__class__.__name__ == family
    with torch.device("meta"):
        assert timm.create_model(Model.PRESETS[preset]["encoder"]).__class__.__name__ == family
    model = train(tmp_path, examples, encoder=encoder, encoder_args=arguments, image_size=64, epochs=3)
    job = make_job(tmp_path, examples, encoder=encoder, encoder_args=arguments, image_size=64)
    untrained = vgpt2._build(job, model.tokenizer)
    changed = {
        name
        for name, value in model.model.enc.named_parameters()
        if not torch.equal(value, untrained.enc.get_parameter(name))
    }
    assert {name.split(".")[0] for name in changed} == {"backbone", "proj"}, "the encoder learned nothing"
    assert all(texts(model, examples))


# --- frozen parts and adapters ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def gpt2(tmp_path_factory) -> Path:
    """A folder with a small GPT-2, as a hub id would be fetched."""
    folder = tmp_path_factory.mktemp("gpt2")
    tokenizer = train_tokenizer([" ".join(pair) for pair in REPORTS], 300)
    torch.manual_seed(0)
    ends = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id}
    sizes = {"vocab_size": len(tokenizer), "n_positions": 64, "n_embd": 32, "n_layer": 1, "n_head": 2}
    GPT2LMHeadModel(GPT2Config(**sizes, **ends)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def pretrained_encoder(monkeypatch):
    """Pretrained weights of an encoder: drawn from a fixed seed here, where there is no network."""
    create = _vision_gpt2.create_backbone

    def create_backbone(name, size, pretrained, **shape):
        torch.manual_seed(7)
        return create(name, size, False, **shape)

    monkeypatch.setattr(_vision_gpt2, "create_backbone", create_backbone)
    return lambda: create_backbone("test_resnet", 32, True)


def test_what_is_frozen_stays_and_the_bridge_learns(examples, gpt2, pretrained_encoder, tmp_path):
    frozen = {"freeze_encoder": True, "freeze_decoder": True, "encoder_pretrained": True, "epochs": 3}
    model = train(tmp_path, examples, decoder=str(gpt2), **frozen).model
    for name, value in pretrained_encoder().state_dict().items():  # statistics of batch normalisation, too
        assert torch.equal(model.enc.backbone.state_dict()[name], value), name
    before = load_file(gpt2 / "model.safetensors")
    for name, value in before.items():
        assert torch.equal(model.gpt2.state_dict()[name], value), name
    learned = [name for name, value in VisionGPT2(model.config).named_parameters() if value.requires_grad]
    assert learned and all("crossattention" in n or "ln_cross_attn" in n or n.startswith("enc.proj") for n in learned)
    assert model.gpt2.transformer.h[0].crossattention.c_proj.bias.abs().max() > 0  # begins at 0


def test_adapters_learn_in_place_of_the_decoder(examples, gpt2, tmp_path):
    options = {"decoder": str(gpt2), "lora_rank": 2, "epochs": 5}
    model = train(tmp_path, examples, **options)
    saved = load_file(tmp_path / "model.safetensors")
    before = load_file(gpt2 / "model.safetensors")
    layer = "transformer.h.0.attn.c_attn"
    assert torch.equal(saved[f"gpt2.{layer}.base_layer.weight"], before[f"{layer}.weight"])
    assert saved[f"gpt2.{layer}.lora_B.default.weight"].abs().max() > 0
    assert torch.equal(saved["gpt2.transformer.wte.weight"], before["transformer.wte.weight"])
    apart = _vision_gpt2.load_strict(tmp_path).eval()
    assert not any("lora_" in name for name in model.model.state_dict()), "adapters are merged for generation"
    ids, images = torch.tensor([[0, 5, 6]]), torch.randn(1, 3, 32, 32)
    with torch.no_grad():
        found, expected = (m(pixel_values=images, input_ids=ids).logits for m in (model.model, apart))
    assert torch.allclose(found, expected, atol=1e-5)


class Interrupted(Exception):
    pass


def test_a_training_of_adapters_goes_on_after_an_interruption(examples, gpt2, tmp_path):
    options = {"decoder": str(gpt2), "lora_rank": 2, "epochs": 3, "dropout": 0.1}

    def interrupt(line):
        if "Epoch 2" in line:
            raise Interrupted

    with pytest.raises(Interrupted):
        train(tmp_path / "broken", examples, report=interrupt, **options)
    weights = []
    for name in ("broken", "whole"):
        train(tmp_path / name, examples, **options)
        weights.append((tmp_path / name / "model.safetensors").read_bytes())
    assert weights[0] == weights[1]


def test_checkpointing_changes_no_gradient():
    sizes = {"vocab_size": 50, "n_positions": 16, "n_embd": 16, "n_layer": 2, "n_head": 2}
    sizes |= dict.fromkeys(("embd_pdrop", "resid_pdrop", "attn_pdrop"), 0.0)
    torch.manual_seed(0)
    model = VisionGPT2(VisionGPT2Config("test_vit", image_size=32, lora_rank=2, text_config=sizes)).train()
    images, ids = torch.randn(2, 3, 32, 32), torch.randint(0, 50, (2, 7))
    gradients = []
    for checkpointing in (False, True):
        if checkpointing:
            model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
            assert any(getattr(module, "gradient_checkpointing", False) for module in model.gpt2.modules())
        model.zero_grad()
        model(pixel_values=images, input_ids=ids, labels=ids).loss.backward()
        gradients.append({name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None})
    assert gradients[0].keys() == gradients[1].keys() and len(gradients[0]) > 10
    assert all(torch.allclose(gradients[0][name], gradients[1][name], atol=1e-6) for name in gradients[0])


@pytest.mark.parametrize("held", ["freeze_encoder", "freeze_decoder", "lora_rank"])
def test_what_is_held_must_be_pretrained(held, examples, tmp_path):
    with pytest.raises(UserError, match=f"{held} keeps weights as they are"):
        train(tmp_path, examples, **{held: True if held.startswith("freeze") else 4})


def test_adapters_without_peft(examples, gpt2, tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "peft", None)
    with pytest.raises(UserError, match=r"cxr-report-bench\[lora\]"):
        train(tmp_path, examples, decoder=str(gpt2), lora_rank=2)


# --- indication and prompt --------------------------------------------------------------------------------------


def with_indication(example: Example, indication: str) -> Example:
    return Example(dataclasses.replace(example.study, context={"indication": indication}), example.reference)


def test_the_indication_is_read_where_it_was_asked_for(examples, tmp_path):
    """One image, two reports: only the indication tells which."""
    image = examples[0].study.views
    same = [Example(dataclasses.replace(example.study, views=image), example.reference) for example in examples]
    # No batch normalisation: among images that are all alike it has nothing to go by.
    options = {**BY_HEART, "encoder": "test_vit", "batch_size": 2, "learning_rate": 5e-3}
    model = train(tmp_path / "with", same * 50, indication=True, **options)
    expected = [f"Findings: {f} Impression: {i}" for f, i in REPORTS]
    assert texts(model, same) == expected
    assert texts(model, same[::-1]) == expected[::-1]
    swapped = [with_indication(e, o.study.context["indication"]) for e, o in zip(same, same[::-1], strict=True)]
    assert texts(model, swapped) == expected[::-1]
    assert texts(model, same[:1]) + texts(model, same[1:]) == expected, "indications of unlike length pad each other"
    (unknown,) = model.generate([with_indication(same[0], "").study], SETTINGS, [0])
    assert not unknown.error
    without = train(tmp_path / "without", same, encoder="test_vit")
    assert len(set(texts(without, same))) == 1


def test_the_indication_is_no_target(examples):
    tokenizer = train_tokenizer([" ".join(pair) for pair in REPORTS], 300)
    study = examples[1].study
    assert indication_text(study) == "Indication: Chest pain, query effusion."
    before = beginning(tokenizer, indication_text(study), 16)
    assert before[0] == tokenizer.bos_token_id and len(before) == 1 + 16 + 1
    assert tokenizer.decode(before[-1]) == "\n"
    assert beginning(tokenizer, "", 16) == [tokenizer.bos_token_id] == encode(tokenizer, "", 64)[:1]
    ids = encode(tokenizer, "Lungs.", 64, before)
    assert ids[: len(before)] == before and tokenizer.decode(ids[len(before) : -1]) == "Lungs."


def test_a_row_says_that_the_indication_is_read():
    assert Model.uses({**Model.PRESETS["paper"]}) == ()
    assert Model.uses({**Model.PRESETS["paper"], "indication": True}) == ("indication",)


def test_a_prompt_begins_the_report_and_is_gone_on_from(examples, tmp_path):
    model = train(tmp_path, examples * 50, **BY_HEART)
    (whole,) = texts(model, examples[:1])
    beginning_of = dataclasses.replace(SETTINGS, prompt="Findings: The")
    (report,) = model.generate([examples[0].study], beginning_of, [0])
    assert report.text == whole and report.n_tokens < len(model.tokenizer.encode(whole))
    other = dataclasses.replace(SETTINGS, prompt="Impression:")
    assert texts(model, examples[:1], other)[0].startswith("Impression:")
    with pytest.raises(UserError, match="64 positions"):
        texts(model, examples, dataclasses.replace(SETTINGS, prompt="lungs " * 100))
