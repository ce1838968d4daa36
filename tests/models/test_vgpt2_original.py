"""The original's best_vgpt2.pt: every weight accounted for, and the logits of timm and transformers wired by hand."""

from __future__ import annotations

import json
import os
import pickle

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from torch import nn
from transformers import GPT2Config, GPT2LMHeadModel

from benchmark.errors import UserError
from benchmark.models.vgpt2 import Model, from_original
from benchmark.released import adopt

WORDS, WIDTH = 300, 128


class Plain(nn.Module):
    """The original's network as its authors' description has it, with the names of its checkpoint."""

    def __init__(self, **changes):
        super().__init__()
        sizes = {"n_layer": 2, "n_embd": WIDTH, "n_head": 2, "n_positions": 64, "vocab_size": WORDS}
        ends = {"bos_token_id": 0, "eos_token_id": 0}
        self.gpt2 = GPT2LMHeadModel(GPT2Config(**{**sizes, **ends, **changes}, add_cross_attention=True))
        self.enc = nn.Module()
        self.enc.backbone = timm.create_model(
            "densenet121", pretrained=False, num_classes=0, global_pool="", growth_rate=8, block_config=(2, 2, 1, 2)
        )
        self.enc.proj = nn.Conv2d(self.enc.backbone.num_features, self.gpt2.config.n_embd, 1)

    def forward(self, pixel_values, input_ids):
        states = self.enc.proj(self.enc.backbone(pixel_values)).flatten(2).transpose(1, 2).contiguous()
        return self.gpt2(input_ids=input_ids, encoder_hidden_states=states).logits


@pytest.fixture(scope="module")
def plain():
    torch.manual_seed(0)
    model = Plain()
    model(torch.randn(4, 3, 96, 96), torch.zeros(4, 1, dtype=torch.long))  # statistics of batch normalisation
    return model.eval()


@pytest.fixture
def saved(plain, tmp_path):
    """Writes a file of the weights after a change, and gives its path."""

    def save(change=lambda weights: weights):
        path = tmp_path / "best_vgpt2.pt"
        torch.save(change(dict(plain.state_dict())), path)
        return path

    return save


def logits(model):
    draw = torch.Generator().manual_seed(1)
    images = torch.randn(2, 3, 96, 96, generator=draw)
    ids = torch.randint(0, WORDS, (2, 9), generator=draw)
    with torch.no_grad():
        output = model(pixel_values=images, input_ids=ids)
    return output if isinstance(output, torch.Tensor) else output.logits


def with_old_masks(weights):
    for layer in range(2):
        weights[f"gpt2.transformer.h.{layer}.attn.bias"] = torch.ones(1, 1, 64, 64, dtype=torch.uint8)
        weights[f"gpt2.transformer.h.{layer}.crossattention.masked_bias"] = torch.tensor(-1e4)
    return weights


def without(*parts):
    return lambda weights: {key: value for key, value in weights.items() if not any(part in key for part in parts)}


@pytest.mark.parametrize(
    "change",
    [
        lambda weights: weights,
        lambda weights: {"model": weights, "epoch": 3, "val_loss": np.float64(1.5), "optimizer": {"state": {}}},
        lambda weights: {f"module.{key}": value for key, value in weights.items()},
        lambda weights: {"model": {f"_orig_mod.module.{key}": value for key, value in weights.items()}},
        lambda weights: {key.replace("backbone.", "backbone._orig_mod."): value for key, value in weights.items()},
        with_old_masks,
        without("lm_head"),
        without("wte"),
        without("num_batches_tracked"),
    ],
)
def test_logits_are_those_of_a_plain_implementation(plain, saved, change):
    model = from_original(saved(change))
    assert not model.training and model.gpt2.lm_head.weight is model.gpt2.transformer.wte.weight
    assert torch.allclose(logits(model), logits(plain), atol=1e-5, rtol=0)
    assert logits(plain).std() > 0.1, "logits that are all alike would show nothing"


def test_the_shape_comes_from_the_weights(plain, saved):
    config = from_original(saved()).config
    text = config.text_config
    assert (text.n_layer, text.n_embd, text.n_head, text.n_positions, text.vocab_size) == (2, WIDTH, 2, 64, WORDS)
    assert config.encoder_args == {"growth_rate": 8, "block_config": [2, 2, 1, 2]}
    assert (config.image_size, config.keep_aspect, config.prompt) == (384, False, "Findings: The")


def test_half_precision_and_untied_weights(plain, saved):
    def change(weights):
        weights["gpt2.lm_head.weight"] = weights["gpt2.lm_head.weight"] * 2
        return {key: value.half() if value.is_floating_point() else value for key, value in weights.items()}

    model = from_original(saved(change))
    assert model.dtype == torch.float32
    assert torch.allclose(logits(model), 2 * logits(plain), atol=0.02)


def test_heads_that_the_weights_do_not_show(tmp_path, capsys):
    torch.manual_seed(0)
    plain = Plain(n_embd=48, n_head=4).eval()
    path = tmp_path / "narrow.pt"
    torch.save({"model": plain.state_dict()}, path)
    assert torch.allclose(logits(from_original(path, heads=4)), logits(plain), atol=1e-5)
    assert not capsys.readouterr().err
    assert from_original(path).config.text_config.n_head == 12
    assert "do not show how many attention heads" in capsys.readouterr().err
    torch.save({"model": plain.state_dict(), "config": {"n_head": 4}}, path)
    assert torch.allclose(logits(from_original(path)), logits(plain), atol=1e-5)
    with pytest.raises(UserError, match="5 heads do not divide"):
        from_original(path, heads=5)


def renamed(old, new):
    return lambda weights: {key.replace(old, new): value for key, value in weights.items()}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (without("enc.proj.bias"), r"they lack enc\.proj\.bias\."),
        (without("h.0.attn.c_attn.bias"), r"they lack gpt2\.transformer\.h\.0\.attn\.c_attn\.bias\."),
        (without("h.0."), r"they lack gpt2\.transformer\.h\.0"),
        (without("wpe"), r"they lack gpt2\.transformer\.wpe\.weight"),
        (without("denselayer2.norm1.running_mean"), r"lack enc\.backbone\.features\.denseblock1.*running_mean"),
        (without("gpt2."), "lack gpt2"),
        (without("enc."), "lack enc"),
        (lambda w: {f"module.{k}": v for k, v in w.items() if "proj.bias" not in k}, r"lack module\.enc\.proj\.bias"),
        (lambda weights: weights | {"enc.extra": torch.zeros(1)}, r"have unknown enc\.extra\."),
        (lambda w: w | {"enc.proj.weight": torch.zeros(64, 16, 1, 1)}, r"another shape of enc\.proj\.weight \(64, 16"),
        (lambda weights: weights | {"gpt2.note": "x"}, r"no weight among the weights: gpt2\.note"),
        (lambda weights: weights | {7: torch.zeros(1)}, "no weight among the weights: 7"),
        (lambda w: w | {"module.enc.proj.bias": torch.zeros(WIDTH)}, r"twice, as enc\.proj\.bias and as module"),
        (lambda weights: list(weights), "no dictionary of weights"),
        (lambda weights: {"model": {}}, "no dictionary of weights"),
        (lambda weights: timm.create_model("test_resnet").state_dict(), "not those of the original Vision-GPT2"),
    ],
)
def test_other_weights_are_refused_by_name(saved, change, words):
    with pytest.raises(UserError, match=words) as error:
        from_original(saved(change))
    assert "best_vgpt2.pt" in str(error.value) and "\n" not in str(error.value)


class Evil:
    def __reduce__(self):
        return os.mkdir, ("hacked",)


def test_files_that_are_no_weights(saved, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = saved()
    whole = path.read_bytes()
    evil = tmp_path / "evil.pt"
    torch.save({"model": Evil()}, evil)
    contents = [whole[: len(whole) // 2], b"", b"weights", evil.read_bytes(), pickle.dumps(Evil())]
    for content in contents:
        path.write_bytes(content)
        with pytest.raises(UserError, match=r"best_vgpt2\.pt") as error:
            from_original(path)
        assert str(error.value).count(".\n") == 0 and len(str(error.value)) < 300
    assert not (tmp_path / "hacked").exists()
    with pytest.raises(UserError, match="No such file"):
        from_original(tmp_path / "missing.pt")


# --- as a checkpoint of the benchmark ---------------------------------------------------------------------------


@pytest.fixture
def tokenizer(tmp_path):
    from benchmark.models._tokenizer import train_tokenizer

    words = train_tokenizer(["Findings: The heart is large. Impression: Cardiomegaly."], WORDS)
    words.save_pretrained(tmp_path / "tokenizer")
    return words


def test_bench_generate_reads_it_and_samples_as_the_original(plain, saved, tokenizer, tmp_path, monkeypatch, capsys):
    from benchmark import cli

    monkeypatch.setenv("BENCH_RESULTS", str(tmp_path / "results"))
    path = saved()
    (tmp_path / "images").mkdir()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (90, 60), dtype=np.uint8)).save(tmp_path / "images/a.png")

    def generate(*options):
        arguments = ["generate", "vgpt2", "--checkpoint", path, "--images", tmp_path / "images", "--max-new-tokens", 8]
        arguments += [
            "--tokenizer",
            tmp_path / "tokenizer",
            "--device",
            "cpu",
            "--out",
            tmp_path / "out.jsonl",
            *options,
        ]
        monkeypatch.setattr("sys.argv", ["bench", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            cli.main()
        assert not end.value.code, capsys.readouterr().err
        return json.loads((tmp_path / "out.jsonl").read_text())["text"]

    assert generate() == greedy(plain, tokenizer, tmp_path / "images/a.png")
    (folder,) = (tmp_path / "results/checkpoints/vgpt2").iterdir()
    sampled = generate("--decoding", "original")
    assert sampled.startswith("Findings: The") and sampled == generate("--decoding", "original")
    assert sampled != generate("--decoding", "original", "--seed", "1")
    assert generate("--prompt", "Impression:").startswith("Impression:")
    assert list((tmp_path / "results/checkpoints/vgpt2").iterdir()) == [folder]


def greedy(plain, tokenizer, path):
    """The likeliest tokens after the original's prompt, one by one, from Pillow's own squashed picture."""
    grey = Image.open(path).resize((384, 384), Image.Resampling.BILINEAR)
    values = torch.from_numpy(np.array(grey)).float().expand(1, 3, -1, -1) / 255
    mean, std = (torch.tensor(each).view(3, 1, 1) for each in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    ids = tokenizer.encode("Findings: The", add_special_tokens=False)
    for _ in range(8):
        with torch.no_grad():
            ids.append(int(plain((values - mean) / std, torch.tensor([ids]))[0, -1].argmax()))
        if ids[-1] == tokenizer.eos_token_id:
            break
    return tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False).strip()


def test_a_tokenizer_that_is_not_here_or_too_large(saved, tokenizer, tmp_path):
    path = saved()
    with pytest.raises(UserError, match="--tokenizer"):
        Model.load_released(path, "cpu", str(tmp_path / "missing"))
    tokenizer.add_tokens([f"word{i}" for i in range(100)])
    tokenizer.save_pretrained(tmp_path / "large")
    with pytest.raises(UserError, match="more tokens than the model"):
        Model.load_released(path, "cpu", str(tmp_path / "large"))


def test_a_file_of_a_checkpoint_of_this_benchmark_is_answered_with_its_folder(tmp_path):
    (tmp_path / "card.json").write_text("{}")
    with pytest.raises(UserError, match=rf"name its folder, {tmp_path}\.$"):
        adopt(Model, "vgpt2", tmp_path / "model.safetensors", tmp_path / "results")
