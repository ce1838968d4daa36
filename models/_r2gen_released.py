"""R2Gen's and R2GenCMN's released weights (`model_iu_xray.pth`, `model_mimic_cxr.pth`), as their trainers saved them.

A dictionary whose `state_dict` holds torchvision's ResNet-101 as a sequence (`visual_extractor.model.…`) and the
transformer (`encoder_decoder.…`). Layers and widths are read from the weights; heads, views and lengths they do not
show, and the vocabulary neither: it is made again from the `annotation.json` that the authors trained with.
"""

from __future__ import annotations

import json
import re
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from benchmark.errors import UserError

from . import _weights_file
from ._captioner import Captioner
from ._image_to_text import ImageToText
from ._transformer import sinusoids
from ._vision_gpt2 import quiet, some
from ._words import word_tokenizer

Names = Sequence[tuple[str, str]]
"""Pattern in our name of a weight and what stands there in the file's, one after the other."""

BACKBONE: Names = [
    (r"^backbone\.conv1", "visual_extractor.model.0"),
    (r"^backbone\.bn1", "visual_extractor.model.1"),
    *((rf"^backbone\.layer{i}", f"visual_extractor.model.{i + 3}") for i in range(1, 5)),
]
TRANSFORMER: Names = [
    (r"^project", "encoder_decoder.att_embed"),
    (r"^logits", "encoder_decoder.logit"),
    (r"^embed\.words", "encoder_decoder.model.tgt_embed.0.lut"),
    (r"^(encoder|decoder)\.", r"encoder_decoder.model.\1."),
    (r"\.attention\.(?=\w+\.\w+$)", ".self_attn."),
    (r"\.cross_attention\.", ".src_attn."),
    (r"\.norms\.(\d)\.", r".sublayer.\1.norm."),
    (r"feed_forward\.0", "feed_forward.w_1"),
    (r"feed_forward\.3", "feed_forward.w_2"),
    *((rf"\.{part}\.(?=\w+$)", f".linears.{i}.") for i, part in enumerate(("query", "key", "value", "out"))),
]
POSITIONS = re.compile(r"encoder_decoder\.model\.(tgt_embed\.1|src_embed\.0)\.pe")
"""Tables of sines, which hold nothing learned."""
SETTINGS: Mapping[str, Mapping[str, Any]] = {
    "mimic": {"threshold": 10, "views": 1, "max_tokens": 100},
    "iu": {"threshold": 3, "views": 2, "max_tokens": 60},
}
"""The authors' for each cleaning of the texts."""


class R2GenFamily(ImageToText):
    """A model whose authors' weights can be read."""

    NAMES: ClassVar[Names]
    ALIASES: ClassVar[Names] = ()
    """Names under which the file holds weights once more."""
    RELEASED: ClassVar[str] = "the authors' model_iu_xray.pth or model_mimic_cxr.pth"
    DECODINGS: ClassVar[Mapping[str, Mapping[str, Any]]] = {"original": {"num_beams": 3}}

    @staticmethod
    @abstractmethod
    def shape_of(weights: Mapping[str, Tensor]) -> dict[str, Any]:
        """What the weights (by the file's names) show of the network's configuration besides what all have."""

    @classmethod
    def load_released(cls, path: Path, device: str, words: str = "") -> R2GenFamily:
        """The model of the authors' file. `words` is the `annotation.json` that it was trained with.

        Its training reports give the vocabulary: with MIMIC-CXR's cleaning and words that occur ten times, or IU
        X-Ray's and three times, whichever has as many words as the model. Raises UserError as `from_original` does, and
        where the vocabulary is not to be had.
        """
        if not words:
            raise UserError(
                f"{path} holds no vocabulary: name the annotation.json that it was trained with (--tokenizer)."
            )
        model: Any = from_original(cls, path)
        cleaning, tokenizer = vocabulary(Path(words), model.config.vocab_size)
        for key in ("views", "max_tokens"):
            setattr(model.config, key, SETTINGS[cleaning][key])
        model.to(torch.device(device))
        return cls(model, tokenizer, "released")

    def save_checkpoint(self, folder: Path) -> None:
        with quiet():
            self.tokenizer.save_pretrained(folder)
            self.model.save_pretrained(folder)


def from_original(model: type[R2GenFamily], path: Path | str, **shape: Any) -> Captioner:
    """The network of the authors' file, in float32 and evaluation mode. Needs neither a vocabulary nor a network.

    `shape` is what the weights do not show, where it is not as usual: `encoder`, `heads`, `memory_heads` or
    `responses`, `views`, `max_tokens`. Raises UserError where the file cannot be read or holds more than weights, and
    where a weight is missing, unknown or of another shape; weights are named as in the file.
    """
    path = Path(path)
    weights = _read(path)
    config = model.NETWORK.config_class(**_config(model, path, weights, shape))
    with torch.device("meta"):  # no time for drawing weights that are replaced
        network = model.NETWORK(config)
    wanted = network.state_dict()
    ours = _matched(path, weights, wanted, model)
    _check_positions(path, weights, config.width)
    network.load_state_dict({name: ours[name].to(wanted[name].dtype) for name in wanted}, assign=True)
    return network.eval()


def _read(path: Path) -> dict[str, Tensor]:
    """The file's `state_dict`."""
    content = _weights_file.read(path)
    weights = content.get("state_dict") if isinstance(content, Mapping) else None
    if not isinstance(weights, Mapping) or not all(
        isinstance(name, str) and isinstance(value, Tensor) for name, value in weights.items()
    ):
        raise UserError(f"{path} holds no dictionary of weights under 'state_dict': it is no file of R2Gen's trainer.")
    return {name.removeprefix("module."): tensor for name, tensor in weights.items()}  # DataParallel's prefix


def _config(
    model: type[R2GenFamily], path: Path, weights: Mapping[str, Tensor], shape: Mapping[str, Any]
) -> dict[str, Any]:
    """The network's shape. Raises UserError where what shows it is not among the weights."""
    paper = model.PRESETS["paper"]
    usual = (
        "encoder",
        "image_size",
        "keep_aspect",
        "views",
        "max_tokens",
        "dropout",
        "feature_dropout",
        *model.OPTIONS,
    )
    try:
        vocabulary, width = weights["encoder_decoder.model.tgt_embed.0.lut.weight"].shape
        layers = (re.match(r"encoder_decoder\.model\.decoder\.layers\.(\d+)\.", name) for name in weights)
        shown = {
            "vocab_size": vocabulary,
            "width": width,
            "layers": max((int(found[1]) for found in layers if found), default=-1) + 1,
            "inner": len(weights["encoder_decoder.model.decoder.layers.0.feed_forward.w_1.weight"]),
            **model.shape_of(weights),
        }
    except KeyError as error:
        raise _misfit(path, "lack", [error.args[0]]) from None
    except (ValueError, TypeError, IndexError):
        raise _misfit(path, "have another shape of", ["encoder_decoder.model.tgt_embed.0.lut.weight"]) from None
    found = {**{key: paper[key] for key in usual}, **shown, **shape, "preset": "released"}
    for heads in ("heads", "memory_heads"):
        if heads in found and width % found[heads]:
            raise UserError(f"{found[heads]} {heads} do not divide the width of {width} in {path}: give {heads}.")
    return found


def _matched(
    path: Path, weights: Mapping[str, Tensor], wanted: Mapping[str, Tensor], model: type[R2GenFamily]
) -> dict[str, Tensor]:
    """The weights by our names. Raises UserError unless the file has exactly those that are wanted."""
    theirs = {name: _renamed(name, model.NAMES) for name in wanted}
    twice = {again: name for name in theirs.values() if (again := _renamed(name, model.ALIASES)) != name}
    known = {*theirs.values(), *twice}
    if missing := [name for name in (*theirs.values(), *twice) if name not in weights]:
        raise _misfit(path, "lack", missing)
    if unknown := [name for name in weights if name not in known and not POSITIONS.fullmatch(name)]:
        raise _misfit(path, "have unknown", unknown)
    shapes = [
        f"{theirs[name]} {tuple(weights[theirs[name]].shape)} where {tuple(tensor.shape)} fits"
        for name, tensor in wanted.items()
        if weights[theirs[name]].shape != tensor.shape
    ]
    if shapes:
        raise _misfit(path, "have another shape of", shapes)
    for again, name in twice.items():
        if not torch.equal(weights[again], weights[name]):
            raise UserError(f"The weights in {path} do not agree: {again} is not {name}, of which it is a copy.")
    return {name: weights[theirs[name]] for name in wanted}


def _renamed(name: str, names: Names) -> str:
    for pattern, replacement in names:
        name = re.sub(pattern, replacement, name)
    return name


def _check_positions(path: Path, weights: Mapping[str, Tensor], width: int) -> None:
    for name, table in weights.items():
        if POSITIONS.fullmatch(name):
            rows = table.flatten(0, -2)
            if rows.shape[1] != width or not torch.allclose(rows, sinusoids(len(rows), width, rows.device), atol=1e-3):
                raise UserError(f"The weights in {path} have other positions than sines and cosines: {name}.")


def _misfit(path: Path, what: str, names: Sequence[str]) -> UserError:
    return UserError(f"The weights in {path} are not those of the authors' model: they {what} {some(names)}.")


def vocabulary(annotation: Path, size: int) -> tuple[str, PreTrainedTokenizerFast]:
    """The cleaning (see `_words`) and the tokenizer of the model with `size` words, from R2Gen's annotation.json.

    Raises UserError where it cannot be read or gives another number of words.
    """
    try:
        texts = [str(entry["report"]) for entry in json.loads(annotation.read_text("utf-8-sig"))["train"]]
    except FileNotFoundError:
        raise UserError(f"No such file: {annotation}.") from None
    except (OSError, ValueError, TypeError, KeyError):
        raise UserError(f"{annotation} is not R2Gen's annotation.json: it holds no training reports.") from None
    found = {}
    for cleaning, settings in SETTINGS.items():
        tokenizer = word_tokenizer(texts, settings["threshold"], cleaning)
        if len(tokenizer) == size:
            return cleaning, tokenizer
        found[cleaning] = len(tokenizer)
    raise UserError(
        f"{annotation} gives {found['mimic']} words (MIMIC-CXR's rules) or {found['iu']} (IU X-Ray's), and the model "
        f"has {size}: it was trained with another one."
    )
