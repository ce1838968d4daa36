"""R2Gen's and R2GenCMN's released weights, against both networks wired by hand from the papers.

`Published` works straight on a dictionary of weights with the authors' names: every head, position and word by itself
from the formulas, image features from torchvision's ResNet, so that it shares nothing with what it is compared with.
"""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image
from torch import Tensor

from benchmark.errors import UserError
from benchmark.models import _r2gen_released, r2gen, r2gen_cmn
from benchmark.schema import GenerationSettings, Study, View

DECODER = "encoder_decoder.model."


def random_weights(
    family: str, width=16, inner=24, layers=2, slots=3, words=12, memory=40, seed=0, encoder="resnet18"
) -> dict[str, Tensor]:
    """Weights as the authors' trainer names them, with torchvision's network as the visual extractor."""
    torch.manual_seed(seed)
    network = torchvision.models.get_model(encoder)
    weights = {
        f"visual_extractor.{name}": tensor for name, tensor in torch.nn.Module.state_dict(_sequence(network)).items()
    }
    for name in weights:
        if name.endswith("running_mean"):
            weights[name] = torch.randn_like(weights[name]) * 0.1
        if name.endswith("running_var"):
            weights[name] = torch.rand_like(weights[name]) + 0.5
    with torch.no_grad():  # its features to the size that trained ones have
        features = Published.features(weights, encoder)(torch.randn(1, 3, 64, 64))

    def linear(name: str, out: int, fan: int) -> None:
        weights[f"{name}.weight"] = torch.randn(out, fan) / math.sqrt(fan)
        weights[f"{name}.bias"] = torch.randn(out) * 0.1

    def norm(name: str, conditional: bool = False) -> None:
        scale, shift = ("gamma", "beta") if family == "r2gen" else ("a_2", "b_2")
        weights[f"{name}.{scale}"] = 1 + 0.2 * torch.randn(width)
        weights[f"{name}.{shift}"] = 0.2 * torch.randn(width)
        if conditional:
            for mlp in ("mlp_gamma", "mlp_beta"):
                linear(f"{name}.{mlp}.0", width, slots * width)
                linear(f"{name}.{mlp}.2", width, width)

    def attention(name: str) -> None:
        for i in range(4):
            linear(f"{name}.linears.{i}", width, width)

    def feed_forward(name: str) -> None:
        linear(f"{name}.w_1", inner, width)
        linear(f"{name}.w_2", width, inner)

    linear("encoder_decoder.att_embed.0", width, features.shape[1])
    weights["encoder_decoder.att_embed.0.weight"] /= features.std()
    linear("encoder_decoder.logit", words, width)
    weights[f"{DECODER}tgt_embed.0.lut.weight"] = torch.randn(words, width)
    weights[f"{DECODER}tgt_embed.1.pe"] = sines(50, width).unsqueeze(0)
    for i in range(layers):
        layer = f"{DECODER}encoder.layers.{i}"
        attention(f"{layer}.self_attn")
        feed_forward(f"{layer}.feed_forward")
        for j in range(2):
            norm(f"{layer}.sublayer.{j}.norm")
        layer = f"{DECODER}decoder.layers.{i}"
        attention(f"{layer}.self_attn")
        attention(f"{layer}.src_attn")
        feed_forward(f"{layer}.feed_forward")
        for j in range(3):
            norm(f"{layer}.sublayer.{j}.norm", family == "r2gen")
    norm(f"{DECODER}encoder.norm")
    norm(f"{DECODER}decoder.norm")
    if family == "r2gen":
        attention(f"{DECODER}rm.attn")
        for name, out in (("mlp.0", width), ("mlp.2", width), ("W", 2 * width), ("U", 2 * width)):
            linear(f"{DECODER}rm.{name}", out, width)
    else:
        attention("encoder_decoder.cmn")
        for name in [name for name in weights if name.startswith("encoder_decoder.cmn.")]:
            weights[name.replace("decoder.cmn", "decoder.model.cmn")] = weights[name]
        weights["encoder_decoder.memory_matrix"] = torch.randn(memory, width)
        weights[f"{DECODER}src_embed.0.pe"] = sines(50, width).unsqueeze(0)
    return weights


def _sequence(network: torch.nn.Module) -> torch.nn.Module:
    holder = torch.nn.Module()
    holder.model = torch.nn.Sequential(*list(network.children())[:-2])
    return holder


def sines(length: int, width: int) -> Tensor:
    table = torch.zeros(length, width)
    for position in range(length):
        for channel in range(0, width, 2):
            angle = position / 10_000 ** (channel / width)
            table[position, channel], table[position, channel + 1] = math.sin(angle), math.cos(angle)
    return table


class Published:
    """`logits(images, ids)`: images of one study (views, 3, S, S) and its word ids (T,) give (T, words)."""

    def __init__(
        self, weights: dict[str, Tensor], heads: int, memory_heads: int, responses: int, encoder: str = "resnet18"
    ):
        self.weights, self.heads, self.memory_heads, self.responses = weights, heads, memory_heads, responses
        self.cmn = "encoder_decoder.memory_matrix" in weights
        self.extractor = self.features(weights, encoder)
        layers = [name.split(".")[4] for name in weights if name.startswith(f"{DECODER}decoder.layers.")]
        self.layers = 1 + max(map(int, layers))

    @staticmethod
    def features(weights: dict[str, Tensor], encoder: str) -> torch.nn.Module:
        extractor = _sequence(torchvision.models.get_model(encoder))
        named = {n.removeprefix("visual_extractor."): w for n, w in weights.items() if n.startswith("visual")}
        extractor.load_state_dict(named)
        return extractor.model.eval()

    def linear(self, name: str, x: Tensor) -> Tensor:
        return x @ self.weights[f"{name}.weight"].T + self.weights[f"{name}.bias"]

    def norm(self, name: str, x: Tensor, memory: Tensor | None = None) -> Tensor:
        scale, shift = (self.weights[f"{name}.{key}"] for key in (("a_2", "b_2") if self.cmn else ("gamma", "beta")))
        rows = []
        for t, row in enumerate(x):
            deviation = math.sqrt(float(((row - row.mean()) ** 2).sum()) / (len(row) - 1))
            gamma, beta = scale, shift
            if memory is not None:
                gamma, beta = (
                    base + self.linear(f"{name}.{mlp}.2", self.linear(f"{name}.{mlp}.0", memory[t]).clamp(min=0))
                    for base, mlp in ((scale, "mlp_gamma"), (shift, "mlp_beta"))
                )
            rows.append(gamma * (row - row.mean()) / (deviation + 1e-6) + beta)
        return torch.stack(rows)

    def attention(self, name: str, x: Tensor, read: Tensor, heads: int, causal=False, best=0) -> Tensor:
        query, key, value = (self.linear(f"{name}.linears.{i}", of) for i, of in ((0, x), (1, read), (2, read)))
        size = x.shape[1] // heads
        out = torch.zeros_like(x)
        for head in range(heads):
            part = slice(head * size, (head + 1) * size)
            for t in range(len(x)):
                seen = t + 1 if causal else len(read)
                scores = key[:seen, part] @ query[t, part] / math.sqrt(size)
                chosen = scores.argsort(descending=True)[:best] if best else torch.arange(seen)
                weights = scores[chosen].exp() / scores[chosen].exp().sum()
                out[t, part] = weights @ value[chosen][:, part]
        return self.linear(f"{name}.linears.3", out)

    def feed_forward(self, name: str, x: Tensor) -> Tensor:
        return self.linear(f"{name}.w_2", self.linear(f"{name}.w_1", x).clamp(min=0))

    def answered(self, x: Tensor) -> Tensor:
        matrix = self.weights["encoder_decoder.memory_matrix"]
        return x + self.attention("encoder_decoder.cmn", x, matrix, self.heads, best=self.responses)

    def encode(self, images: Tensor) -> Tensor:
        patches = torch.cat([self.extractor(image[None])[0].flatten(1).T for image in images])
        x = self.linear("encoder_decoder.att_embed.0", patches).clamp(min=0)
        if self.cmn:
            x = self.answered(x) + sines(len(x), x.shape[1])
        for i in range(self.layers):
            layer = f"{DECODER}encoder.layers.{i}"
            normed = self.norm(f"{layer}.sublayer.0.norm", x)
            x = x + self.attention(f"{layer}.self_attn", normed, normed, self.heads)
            x = x + self.feed_forward(f"{layer}.feed_forward", self.norm(f"{layer}.sublayer.1.norm", x))
        return self.norm(f"{DECODER}encoder.norm", x)

    def memories(self, words: Tensor) -> Tensor:
        """The relational memory after each word, its rows one after the other."""
        width = words.shape[1]
        slots = self.weights[f"{DECODER}decoder.layers.0.sublayer.0.norm.mlp_gamma.0.weight"].shape[1] // width
        memory, after = torch.eye(slots, width), []
        for word in words:
            read = torch.cat([memory, word[None]])
            new = memory + self.attention(f"{DECODER}rm.attn", memory, read, self.memory_heads)
            mlp = self.linear(f"{DECODER}rm.mlp.0", new).clamp(min=0)
            new = new + self.linear(f"{DECODER}rm.mlp.2", mlp).clamp(min=0)
            gates = self.linear(f"{DECODER}rm.W", word) + self.linear(f"{DECODER}rm.U", memory.tanh())
            memory = gates[:, :width].sigmoid() * new.tanh() + gates[:, width:].sigmoid() * memory
            after.append(memory.flatten())
        return torch.stack(after)

    @torch.no_grad()
    def logits(self, images: Tensor, ids: Tensor) -> Tensor:
        states = self.encode(images)
        table = self.weights[f"{DECODER}tgt_embed.0.lut.weight"]
        x = table[ids] * math.sqrt(table.shape[1]) + sines(len(ids), table.shape[1])
        memory = None if self.cmn else self.memories(x)
        x = self.answered(x) if self.cmn else x
        for i in range(self.layers):
            layer = f"{DECODER}decoder.layers.{i}"
            normed = self.norm(f"{layer}.sublayer.0.norm", x, memory)
            x = x + self.attention(f"{layer}.self_attn", normed, normed, self.heads, causal=True)
            normed = self.norm(f"{layer}.sublayer.1.norm", x, memory)
            x = x + self.attention(f"{layer}.src_attn", normed, states, self.heads)
            x = x + self.feed_forward(f"{layer}.feed_forward", self.norm(f"{layer}.sublayer.2.norm", x, memory))
        return self.linear("encoder_decoder.logit", self.norm(f"{DECODER}decoder.norm", x))


FAMILIES = {"r2gen": (r2gen, {"heads": 4, "memory_heads": 2}), "r2gen-cmn": (r2gen_cmn, {"heads": 4, "responses": 5})}
SMALL = {"encoder": "resnet18"}


def save(path: Path, weights: dict[str, Tensor]) -> Path:
    """As the authors' trainer saves it."""
    torch.save({"epoch": 7, "state_dict": weights, "optimizer": {"state": {}}, "monitor_best": 0.103}, path)
    return path


@pytest.fixture(scope="module", params=FAMILIES)
def family(request):
    return request.param


@pytest.fixture(scope="module")
def weights(family):
    return random_weights(family, encoder="resnet18")


def load(family: str, path: Path, **changes: object):
    module, shape = FAMILIES[family]
    return module.from_original(path, **{**shape, **SMALL, **changes})


@pytest.mark.parametrize(("name", "views"), [("r2gen", 1), ("r2gen", 2), ("r2gen-cmn", 1), ("r2gen-cmn", 2)])
def test_the_logits_are_those_of_the_published_formulas(tmp_path, name, views):
    weights = random_weights(name, encoder="resnet101" if views == 1 else "resnet18")
    encoder = {"encoder": "resnet101"} if views == 1 else {}
    network = load(name, save(tmp_path / "model_mimic_cxr.pth", weights), **encoder)
    images = torch.randn(2 * views, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    ids = torch.randint(1, 12, (2, 9), generator=torch.Generator().manual_seed(2))
    ids[:, 0] = 0
    with torch.no_grad():
        found = network(pixel_values=images, views=torch.full((2,), views), input_ids=ids).logits
    published = Published(weights, 4, 2 if name == "r2gen" else 4, 5, **encoder)
    expected = [published.logits(images[row * views : (row + 1) * views], ids[row]) for row in range(2)]
    assert found.std() > 0.1
    assert torch.allclose(found, torch.stack(expected), atol=1e-5, rtol=1e-5)


def test_it_writes_from_the_file_and_from_a_checkpoint_alike(tmp_path, family, weights):
    """The vocabulary comes from annotation.json, whose size tells IU X-Ray's rules from MIMIC-CXR's."""
    module, shape = FAMILIES[family]
    rare, common = "Effusion seen. " * 3, "The heart is big, lungs clear. No rib fracture."
    entries = [{"report": common}] * 3 + [{"report": rare}]
    (tmp_path / "annotation.json").write_text(json.dumps({"train": entries, "val": [], "test": []}))
    cleaning, tokenizer = _r2gen_released.vocabulary(tmp_path / "annotation.json", 14)
    assert cleaning == "iu"
    assert tokenizer.convert_ids_to_tokens(list(range(14))) == (
        "<end> . <unk> big clear effusion fracture heart is lungs no rib seen the".split()
    )
    file = save(tmp_path / "model_iu_xray.pth", random_weights(family, words=14, encoder="resnet101"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(module.Model.PRESETS["paper"], "heads", 4)  # the authors' eight do not divide this small width
        for key, value in shape.items():
            patch.setitem(module.Model.PRESETS["paper"], key, value)
        model = module.Model.load_released(file, "cpu", str(tmp_path / "annotation.json"))
    assert model.model.config.views == 2 and model.model.config.max_tokens == 60
    pictures = []
    for i in range(2):
        noise = np.random.default_rng(i).integers(0, 256, (40, 40), dtype=np.uint8)
        Image.fromarray(noise).save(tmp_path / f"{i}.png")
        pictures.append(View(tmp_path / f"{i}.png"))
    studies, settings = [Study("s", "p", "test", tuple(pictures))], GenerationSettings(max_new_tokens=12, num_beams=3)
    first = model.generate(studies, settings, [0])
    assert first[0].n_tokens > 0
    (tmp_path / "checkpoint").mkdir()
    model.save_checkpoint(tmp_path / "checkpoint")
    assert module.Model.load(tmp_path / "checkpoint", "cpu").generate(studies, settings, [0]) == first


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda w: w.pop("encoder_decoder.logit.bias"), "lack encoder_decoder.logit.bias"),
        (lambda w: w.pop("visual_extractor.model.0.weight"), "lack visual_extractor.model.0.weight"),
        (lambda w: w.pop("encoder_decoder.model.tgt_embed.0.lut.weight"), "lack .*lut.weight"),
        (lambda w: w.update(extra=torch.zeros(1)), "unknown extra"),
        (lambda w: w.update({"encoder_decoder.logit.bias": torch.zeros(3)}), r"logit.bias \(3,\) where \(12,\) fits"),
        (lambda w: w.update({"encoder_decoder.model.tgt_embed.1.pe": torch.zeros(1, 9, 16)}), "other positions"),
        (lambda w: w.update({"encoder_decoder.logit.bias": "text"}), "under 'state_dict'"),
        (lambda w: w.update({7: torch.zeros(1)}), "under 'state_dict'"),
    ],
)
def test_weights_that_do_not_fit_are_named_as_in_the_file(tmp_path, family, weights, change, words):
    changed = dict(weights)
    change(changed)
    with pytest.raises(UserError, match=words) as refused:
        load(family, save(tmp_path / "model.pth", changed))
    assert "model.pth" in str(refused.value) and "\n" not in str(refused.value)


def test_copies_that_differ_are_refused(tmp_path):
    weights = random_weights("r2gen-cmn", encoder="resnet18")
    weights["encoder_decoder.model.cmn.linears.0.bias"] = torch.zeros(16)
    with pytest.raises(UserError, match=r"model\.cmn\.linears\.0\.bias is not encoder_decoder\.cmn\.linears\.0\.bias"):
        load("r2gen-cmn", save(tmp_path / "model.pth", weights))


def test_data_parallel_s_prefix_is_no_part_of_a_name(tmp_path, family, weights):
    load(family, save(tmp_path / "model.pth", {f"module.{name}": tensor for name, tensor in weights.items()}))


class Spy:
    def __reduce__(self):
        return Path.touch, (Path("ran"),)


def test_files_that_cannot_be_read_are_one_sentence(tmp_path, monkeypatch, family, weights):
    monkeypatch.chdir(tmp_path)
    whole = save(tmp_path / "whole.pth", weights)
    (tmp_path / "cut.pth").write_bytes(whole.read_bytes()[:100_000])
    (tmp_path / "empty.pth").write_bytes(b"")
    torch.save({"state_dict": weights, "spy": Spy()}, tmp_path / "code.pth")
    torch.save(weights, tmp_path / "bare.pth")
    kinds = {"cut": "cut short", "empty": "cut short", "code": "could run code", "bare": "state_dict", "no": "No such"}
    for name, words in kinds.items():
        with pytest.raises(UserError, match=words) as refused:
            load(family, tmp_path / f"{name}.pth")
        assert f"{name}.pth" in str(refused.value) and "\n" not in str(refused.value)
    assert not Path("ran").exists()


def test_a_vocabulary_that_is_not_the_model_s(tmp_path):
    (tmp_path / "a.json").write_text(json.dumps({"train": [{"report": "Clear lungs."}] * 10}))
    with pytest.raises(UserError, match=r"gives 5 words .* the model has 9"):
        _r2gen_released.vocabulary(tmp_path / "a.json", 9)
    (tmp_path / "b.json").write_text("[]")
    with pytest.raises(UserError, match="no training reports"):
        _r2gen_released.vocabulary(tmp_path / "b.json", 9)
    with pytest.raises(UserError, match="--tokenizer"):
        r2gen.Model.load_released(tmp_path / "model.pth", "cpu")
