"""The original Vision-GPT2's weights: `best_vgpt2.pt`, as its training script saved it.

A dictionary, bare or under `model`, of `gpt2.…` (transformers' GPT2LMHeadModel with cross-attention), `enc.backbone.…`
(timm's densenet121 without head and pooling) and `enc.proj.…`. All of the network's shape is read from the weights, but
for the number of attention heads, which they do not show.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import GPT2Config

from benchmark.console import say
from benchmark.errors import UserError

from . import _weights_file
from ._vision_gpt2 import VisionGPT2, VisionGPT2Config, some

PROMPT = "Findings: The"
"""What the original begins every report with; it puts no token before it."""
IMAGE_SIZE = 384
CHANNELS_A_HEAD = 64
"""Of every GPT-2 that was published."""

_WRAPPED = {"_orig_mod", "module"}
"""What torch.compile and DataParallel put into names; no part of either network is called so."""
_OLD_BUFFER = re.compile(r"gpt2\.transformer\.h\.\d+\.(attn|crossattention)\.(bias|masked_bias)")
"""Masks that transformers kept among the weights until version 4.31; they hold nothing learned."""
_HEAD, _EMBEDDING = "gpt2.lm_head.weight", "gpt2.transformer.wte.weight"
_COUNTER = "num_batches_tracked"


def from_original(path: Path | str, heads: int | None = None) -> VisionGPT2:
    """The model of a `best_vgpt2.pt`, in float32 and evaluation mode. Needs neither a tokenizer nor a network.

    `heads`: of the decoder; else what the file's own `config` says, else one for every 64 channels. Raises UserError
    where the file cannot be read or holds more than weights, and where a weight is missing, unknown or of another
    shape; weights are named as in the file.
    """
    path = Path(path)
    weights, config = _read(path)
    with torch.device("meta"):  # no time for drawing weights that are replaced
        model = VisionGPT2(_config(path, weights, heads or _told_heads(config)))
    wanted = model.state_dict()
    _check(path, weights, wanted)
    # Files of before PyTorch 0.4.1 do not count the batches, on which nothing depends.
    counters = {name: torch.tensor(0) for name in wanted if name.endswith(_COUNTER)}
    floats = {ours: tensor.to(wanted[ours].dtype) for ours, (_, tensor) in weights.items()}
    model.load_state_dict(counters | floats, assign=True)
    model.tie_weights()
    return model.eval()


Weights = Mapping[str, tuple[str, Tensor]]
"""By our name of a weight: its name in the file, and the weight."""


def _read(path: Path) -> tuple[Weights, Any]:
    """The weights, and what the file holds under `config`."""
    content = _weights_file.read(path)
    config = content.get("config") if isinstance(content, Mapping) else None
    while isinstance(content, Mapping) and isinstance(content.get("model"), Mapping):
        content = content["model"]
    if not isinstance(content, Mapping) or not any(isinstance(value, Tensor) for value in content.values()):
        raise UserError(f"{path} holds no dictionary of weights, bare or under 'model': it is no best_vgpt2.pt.")
    others = [str(name) for name, value in content.items() if not (isinstance(name, str) and isinstance(value, Tensor))]
    if others:
        raise UserError(f"{path} holds what is no weight among the weights: {some(others)}.")
    weights: dict[str, tuple[str, Tensor]] = {}
    for name, tensor in content.items():
        ours = ".".join(part for part in name.split(".") if part not in _WRAPPED)
        if ours in weights:
            raise UserError(f"{path} holds a weight twice, as {weights[ours][0]} and as {name}.")
        if not _OLD_BUFFER.fullmatch(ours):
            weights[ours] = name, tensor
    for one, other in ((_HEAD, _EMBEDDING), (_EMBEDDING, _HEAD)):
        if one not in weights and other in weights:
            weights[one] = weights[other]
    return weights, config


def _told_heads(config: Any) -> int | None:
    """The number of heads where the file says it."""
    told = config.get("n_head") if isinstance(config, Mapping) else None
    return told if isinstance(told, int) else None


def _config(path: Path, weights: Weights, heads: int | None) -> VisionGPT2Config:
    """The network's shape. Raises UserError where what shows it is not among the weights."""

    def shape(name: str, dimensions: int) -> tuple[int, ...]:
        if name not in weights:
            raise _misfit(path, "lack", [_as_in_file(name, weights)])
        found = tuple(weights[name][1].shape)
        if len(found) != dimensions:
            raise _misfit(path, "have another shape of", [weights[name][0]])
        return found

    vocabulary, width = shape(_EMBEDDING, 2)
    end = min(50256, vocabulary - 1)
    text = GPT2Config(
        vocab_size=vocabulary,
        n_positions=shape("gpt2.transformer.wpe.weight", 2)[0],
        n_embd=width,
        n_layer=_count(r"gpt2\.transformer\.h\.(\d+)\.", weights),
        n_head=heads or _usual_heads(path, width),
        n_inner=shape("gpt2.transformer.h.0.mlp.c_fc.weight", 2)[1],
        bos_token_id=end,
        eos_token_id=end,
        tie_word_embeddings=bool(torch.equal(weights[_HEAD][1], weights[_EMBEDDING][1])),
    )
    if width % text.n_head:
        raise UserError(f"{text.n_head} heads do not divide the decoder's width of {width} in {path}.")
    return VisionGPT2Config(
        encoder="densenet121",
        encoder_args=_densenet_args(weights, shape),
        image_size=IMAGE_SIZE,
        keep_aspect=False,
        begins_with_bos=False,
        prompt=PROMPT,
        text_config=text,
        preset="released",
    )


def _densenet_args(weights: Weights, shape: Any) -> dict[str, Any]:
    """timm's arguments for a DenseNet of these weights; none for DenseNet-121 itself."""
    layer = "enc.backbone.features.denseblock1.denselayer1"
    growth = shape(f"{layer}.conv2.weight", 4)[0]
    blocks = _count(r"enc\.backbone\.features\.denseblock(\d+)\.", weights, first=1)
    found = {
        "growth_rate": growth,
        "block_config": [
            _count(rf"enc\.backbone\.features\.denseblock{block}\.denselayer(\d+)\.", weights, first=1)
            for block in range(1, blocks + 1)
        ],
        "bn_size": shape(f"{layer}.conv1.weight", 4)[0] // growth,
    }
    usual = {"growth_rate": 32, "block_config": [6, 12, 24, 16], "bn_size": 4}
    return {name: value for name, value in found.items() if value != usual[name]}


def _count(pattern: str, weights: Weights, first: int = 0) -> int:
    """How many layers there are of which the pattern finds the number; a gap among them shows as missing weights."""
    numbers = [int(match[1]) for name in weights if (match := re.match(pattern, name))]
    return max(numbers, default=first - 1) + 1 - first


def _usual_heads(path: Path, width: int) -> int:
    if width % CHANNELS_A_HEAD == 0:
        return width // CHANNELS_A_HEAD
    usual = GPT2Config().n_head
    guess = usual if width % usual == 0 else 1
    say(
        f"The weights in {path} do not show how many attention heads the decoder of width {width} has; taken as "
        f"{guess}. Give `heads` to from_original where that is wrong."
    )
    return guess


def _check(path: Path, weights: Weights, wanted: Mapping[str, Tensor]) -> None:
    """Raises UserError unless the file's weights are those that are wanted: names and shapes."""
    missing = [name for name in wanted if name not in weights and not name.endswith(_COUNTER)]
    unknown = [name for ours, (name, _) in weights.items() if ours not in wanted]
    shapes = [
        f"{name} {tuple(tensor.shape)} where {tuple(wanted[ours].shape)} fits"
        for ours, (name, tensor) in weights.items()
        if ours in wanted and tensor.shape != wanted[ours].shape
    ]
    if missing:
        raise _misfit(path, "lack", [_as_in_file(name, weights) for name in missing])
    if unknown:
        raise _misfit(path, "have unknown", unknown)
    if shapes:
        raise _misfit(path, "have another shape of", shapes)


def _as_in_file(name: str, weights: Weights) -> str:
    """What the file would call a weight of ours, going by the others."""
    prefixes = (theirs.removesuffix(ours) for ours, (theirs, _) in weights.items() if theirs.endswith(ours))
    return next(prefixes, "") + name


def _misfit(path: Path, what: str, names: list[str]) -> UserError:
    return UserError(f"The weights in {path} are not those of the original Vision-GPT2: they {what} {some(names)}.")
