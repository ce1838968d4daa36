"""The part of a network's configuration that says how images are made and read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from transformers import PreTrainedConfig

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class PictureConfig(PreTrainedConfig):
    """`encoder`: a timm model's name; `encoder_args`: what changes its shape (timm's own arguments). `image_size`,
    `keep_aspect`: see `benchmark.images.Geometry`. `views`: how many images of a study are read at most. `mean`, `std`:
    of the three channels, on a scale from 0 to 1. `position_code`: whether the feature map carries a fixed code of
    where each position lies. `label_smoothing`: of the loss. `word_loss`: weight of the encoder's own loss (see
    `_vision_gpt2.word_losses`).
    """

    def __init__(
        self,
        encoder: str = "resnet10t",
        encoder_args: dict[str, Any] | None = None,
        image_size: int = 96,
        keep_aspect: bool = True,
        views: int = 1,
        mean: Sequence[float] = IMAGENET_MEAN,
        std: Sequence[float] = IMAGENET_STD,
        position_code: bool = False,
        label_smoothing: float = 0.0,
        word_loss: float = 0.0,
        **kwargs: Any,
    ):
        self.encoder = encoder
        self.encoder_args = dict(encoder_args or {})
        self.image_size = image_size
        self.keep_aspect = keep_aspect
        self.views = views
        self.mean = list(mean)
        self.std = list(std)
        self.position_code = position_code
        self.label_smoothing = label_smoothing
        self.word_loss = word_loss
        super().__init__(**kwargs)
