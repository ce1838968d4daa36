"""R2Gen: a transformer whose decoder a relational memory steers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from torch import Tensor

from . import _r2gen_released as released
from ._captioner_presets import IU, R2GEN, R2GEN_WEIGHTS, TINY
from ._pretrained_files import files
from ._r2gen import R2Gen

MIMIC: Mapping[str, Any] = {
    **R2GEN,
    "slots": 3,
    "memory_heads": 8,
    "learning_rate": 1e-4,
    "encoder_learning_rate": 5e-5,
    "decay": 0.8,
    "decay_epochs": 1,
}


class Model(released.R2GenFamily):
    """See `_r2gen.R2Gen` for the network and `_training.fit` for how it is trained.

    `paper` has the authors' values for MIMIC-CXR, `iu` those for IU X-Ray. What is not theirs: no flip (left and right
    are findings), shifts in place of random crops, gradients clipped by their norm instead of value by value, and the
    epoch chosen by validation loss instead of BLEU-4. They train on every image of MIMIC-CXR as a study of its own, and
    decode with three beams (`--beams 3`), ranked by the sum of log-probabilities, which is what beams do here.
    """

    PAPER = "Chen et al., Generating Radiology Reports via Memory-driven Transformer, EMNLP 2020 (arXiv 2010.16056)"
    LICENCE = "MIT; weights of torchvision's ResNet-101: BSD-3-Clause"
    WEIGHTS: ClassVar[Mapping[str, tuple[str, ...]]] = R2GEN_WEIGHTS
    PRETRAINED: ClassVar[Mapping[str, tuple[str, ...]]] = files(R2GEN_WEIGHTS)
    NETWORK = R2Gen
    OPTIONS = ("layers", "inner", "heads", "slots", "memory_heads")
    LENGTH_PENALTY = 0.0
    NAMES = (
        (r"^memory\.attention", "encoder_decoder.model.rm.attn"),
        (r"^memory\.mlp", "encoder_decoder.model.rm.mlp"),
        (r"^memory\.word_gates", "encoder_decoder.model.rm.W"),
        (r"^memory\.memory_gates", "encoder_decoder.model.rm.U"),
        *released.BACKBONE,
        *released.TRANSFORMER,
        (r"\.more_scale\.", ".mlp_gamma."),
        (r"\.more_shift\.", ".mlp_beta."),
        (r"\.scale$", ".gamma"),
        (r"\.shift$", ".beta"),
    )
    PRESETS: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": MIMIC,
        "iu": {**MIMIC, **IU, "decay": 0.1, "decay_epochs": 50},
        "tiny": {**MIMIC, **TINY, "layers": 2, "width": 192, "inner": 384, "heads": 6, "memory_heads": 6},
    }

    @classmethod
    def describe(cls, config: Any) -> str:
        return f"{config.layers} layers of width {config.width}, relational memory of {config.slots} slots"

    @staticmethod
    def shape_of(weights: Mapping[str, Tensor]) -> dict[str, Any]:
        inner, memory = weights["encoder_decoder.model.decoder.layers.0.sublayer.0.norm.mlp_gamma.0.weight"].shape
        return {"slots": memory // inner}


def from_original(path: Path | str, **shape: Any) -> R2Gen:
    """See `_r2gen_released.from_original`."""
    network: Any = released.from_original(Model, path, **shape)
    return network
