"""R2GenCMN: a transformer whose patches and words ask one cross-modal memory."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from torch import Tensor

from . import _r2gen_released as released
from ._r2gen_cmn import R2GenCMN

MIMIC: Mapping[str, Any] = {
    "encoder": "resnet101",
    "encoder_args": {},
    "encoder_pretrained": True,
    "layers": 3,
    "width": 512,
    "inner": 512,
    "heads": 8,
    "memory": 2048,
    "responses": 32,
    "section": "findings",
    "cleaning": "mimic",
    "threshold": 10,
    "image_size": 224,
    "keep_aspect": False,
    "views": 1,
    "position_code": False,
    "max_tokens": 100,
    "dropout": 0.1,
    "feature_dropout": 0.5,
    "label_smoothing": 0.0,
    "word_loss": 0.0,
    "optimizer": "step-adam",
    "learning_rate": 5e-4,
    "encoder_learning_rate": 1e-4,
    "decay": 0.8,
    "decay_epochs": 3,
    "weight_decay": 5e-5,
    "warmup": 0.0,
    "clip": 1.0,
    "batch_size": 16,
    "accumulation": 1,
    "epochs": 30,
    "save_every": 1000,
    "workers": 4,
    "degrees": 0.0,
    "shift": 0.07,
    "scale": 0.0,
    "contrast": 0.0,
}


class Model(released.R2GenFamily):
    """See `_r2gen_cmn.R2GenCMN` for the network and `_training.fit` for how it is trained.

    `paper` has the authors' values for MIMIC-CXR, `iu` those for IU X-Ray. What is not theirs: no flip (left and right
    are findings), shifts in place of random crops, gradients clipped by their norm instead of value by value, and the
    epoch chosen by validation loss instead of BLEU-4. They train on every image of MIMIC-CXR as a study of its own, and
    decode with three beams (`--beams 3`), ranked by the sum of log-probabilities, which is what beams do here.
    """

    PAPER = "Chen et al., Cross-modal Memory Networks for Radiology Report Generation, ACL 2021 (arXiv 2204.13258)"
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
        "iu": {
            **MIMIC,
            "views": 2,
            "cleaning": "iu",
            "threshold": 3,
            "max_tokens": 60,
            "decay_epochs": 10,
            "epochs": 100,
        },
        # From scratch in minutes on a laptop's processor: encoder, position code and word loss as in vgpt2's tiny.
        "tiny": {
            **MIMIC,
            "encoder": "resnet10t",
            "encoder_args": {"stem_width": 16, "channels": [32, 64, 128, 256], "output_stride": 16},
            "encoder_pretrained": False,
            "layers": 2,
            "width": 192,
            "inner": 384,
            "heads": 6,
            "memory": 256,
            "responses": 16,
            "section": "report",
            "threshold": 3,
            "image_size": 96,
            "keep_aspect": True,
            "position_code": True,
            "max_tokens": 256,
            "dropout": 0.0,
            "feature_dropout": 0.0,
            "word_loss": 15.0,
            "optimizer": "adamw",
            "learning_rate": 2.5e-3,
            "encoder_learning_rate": 2.5e-3,
            "weight_decay": 0.01,
            "warmup": 0.1,
            "epochs": 5,
            "save_every": 100,
            "workers": 0,
            "degrees": 3.0,
            "shift": 0.03,
            "scale": 0.03,
        },
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
