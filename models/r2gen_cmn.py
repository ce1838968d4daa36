"""R2GenCMN: a transformer whose patches and words ask one cross-modal memory."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from torch import Tensor

from . import _r2gen_released as released
from ._captioner_presets import IU, R2GEN, R2GEN_WEIGHTS, TINY
from ._pretrained_files import files
from ._r2gen_cmn import R2GenCMN

MIMIC: Mapping[str, Any] = {
    **R2GEN,
    "memory": 2048,
    "responses": 32,
    "betas": [0.9, 0.98],
    "epsilon": 1e-9,
    "learning_rate": 5e-4,
    "encoder_learning_rate": 1e-4,
    "decay": 0.8,
    "decay_epochs": 3,
}


class Model(released.R2GenFamily):
    """See `_r2gen_cmn.R2GenCMN` for the network and `_training.fit` for how it is trained.

    `paper` has the authors' values for MIMIC-CXR, `iu` those for IU X-Ray. What is not theirs: no flip (left and right
    are findings), shifts in place of random crops, gradients clipped by their norm instead of not at all, and the
    epoch chosen by validation loss instead of BLEU-4. They train on every image of MIMIC-CXR as a study of its own, and
    decode with three beams (`--beams 3`), ranked by the sum of log-probabilities, which is what beams do here.
    """

    PAPER = "Chen et al., Cross-modal Memory Networks for Radiology Report Generation, ACL 2021 (arXiv 2204.13258)"
    LICENCE = "MIT; weights of torchvision's ResNet-101: BSD-3-Clause"
    WEIGHTS: ClassVar[Mapping[str, tuple[str, ...]]] = R2GEN_WEIGHTS
    PRETRAINED: ClassVar[Mapping[str, tuple[str, ...]]] = files(R2GEN_WEIGHTS)
    NETWORK = R2GenCMN
    OPTIONS = ("layers", "inner", "heads", "memory", "responses")
    LENGTH_PENALTY = 0.0
    NAMES = (
        (r"^memory\.vectors", "encoder_decoder.memory_matrix"),
        (r"^memory\.", "encoder_decoder.cmn."),
        *released.BACKBONE,
        *released.TRANSFORMER,
        (r"\.scale$", ".a_2"),
        (r"\.shift$", ".b_2"),
    )
    ALIASES = ((r"^encoder_decoder\.cmn\.", "encoder_decoder.model.cmn."),)
    PRESETS: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": MIMIC,
        "iu": {**MIMIC, **IU, "decay_epochs": 10},
        "tiny": {**MIMIC, **TINY, "layers": 2, "width": 192, "inner": 384, "heads": 6, "memory": 256, "responses": 16},
    }

    @classmethod
    def describe(cls, config: Any) -> str:
        return f"{config.layers} layers of width {config.width}, {config.responses} of {config.memory} memory vectors"

    @staticmethod
    def shape_of(weights: Mapping[str, Tensor]) -> dict[str, Any]:
        return {"memory": len(weights["encoder_decoder.memory_matrix"])}


def from_original(path: Path | str, **shape: Any) -> R2GenCMN:
    """See `_r2gen_released.from_original`."""
    network: Any = released.from_original(Model, path, **shape)
    return network
