"""Settings that R2Gen, R2GenCMN and Show, Attend and Tell have in common."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

R2GEN: Mapping[str, Any] = {
    "encoder": "resnet101.tv_in1k",  # the tag: of torchvision's first weights, which the authors take
    "encoder_args": {},
    "encoder_pretrained": True,
    "layers": 3,
    "width": 512,
    "inner": 512,
    "heads": 8,
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
    "betas": [0.9, 0.999],
    "epsilon": 1e-8,
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
"""What R2Gen's and R2GenCMN's authors have alike for MIMIC-CXR."""

R2GEN_WEIGHTS: Mapping[str, tuple[str, ...]] = {
    "paper": ("timm/resnet101.tv_in1k",),
    "iu": ("timm/resnet101.tv_in1k",),
}

IU: Mapping[str, Any] = {"views": 2, "cleaning": "iu", "threshold": 3, "max_tokens": 60, "epochs": 100}
"""What differs for IU X-Ray, whose studies have two images each."""

TINY: Mapping[str, Any] = {
    "encoder": "resnet10t",
    "encoder_args": {"stem_width": 16, "channels": [32, 64, 128, 256], "output_stride": 16},
    "encoder_pretrained": False,
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
    "clip": 1.0,
    "batch_size": 16,
    "epochs": 3,
    "save_every": 100,
    "workers": 0,
    "degrees": 3.0,
    "shift": 0.03,
    "scale": 0.03,
}
"""From scratch in minutes on a laptop's processor. Not the papers': the encoder, both sections at once, and, as in
vgpt2's `tiny`, a position code and a loss that teaches the encoder the report's words."""
