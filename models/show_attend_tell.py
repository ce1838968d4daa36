"""Show, Attend and Tell: an LSTM that looks at the feature map with soft attention."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from ._captioner_presets import IU, TINY
from ._image_to_text import ImageToText
from ._pretrained_files import files
from ._show_attend_tell import ShowAttendTell

VGG: Mapping[str, Any] = {
    "encoder": "vgg19.tv_in1k",
    "encoder_args": {},
    "encoder_pretrained": True,
    "level": 4,
    "frozen": True,
    "width": 1800,
    "word_width": 512,
    "attention_width": 512,
    "doubly_stochastic": 1.0,
    "section": "findings",
    "cleaning": "mimic",
    "threshold": 10,
    "image_size": 224,
    "keep_aspect": False,
    "views": 1,
    "position_code": False,
    "max_tokens": 100,
    "dropout": 0.5,
    "feature_dropout": 0.0,
    "label_smoothing": 0.0,
    "word_loss": 0.0,
    "optimizer": "adamw",
    "learning_rate": 4e-4,
    "encoder_learning_rate": 0.0,
    "betas": [0.9, 0.999],
    "epsilon": 1e-8,
    "decay": 1.0,
    "decay_epochs": 1,
    "weight_decay": 0.0,
    "warmup": 0.0,
    "clip": 5.0,
    "batch_size": 64,
    "accumulation": 1,
    "epochs": 20,
    "save_every": 1000,
    "workers": 4,
    "degrees": 0.0,
    "shift": 0.0,
    "scale": 0.0,
    "contrast": 0.0,
}


class Model(ImageToText):
    """See `_show_attend_tell.ShowAttendTell` for the network and `_training.fit` for how it is trained.

    `paper` has the published model for COCO: VGG-19 as it is, whose 14 × 14 × 512 map before the last pooling is read,
    batches of 64, Adam, dropout, doubly stochastic attention. The paper gives no learning rate. `iu` reads two views.
    `resnet` reads the last map of a ResNet-101 that is trained along, as R2Gen does. The words are R2Gen's (the paper
    takes the 10,000 commonest).
    """

    PAPER = "Xu et al., Show, Attend and Tell: Neural Image Caption Generation with Visual Attention, ICML 2015"
    LICENCE = "MIT; weights of torchvision's VGG-19 and ResNet-101: BSD-3-Clause"
    WEIGHTS: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "paper": ("timm/vgg19.tv_in1k",),
        "resnet": ("timm/resnet101.tv_in1k",),
        "iu": ("timm/vgg19.tv_in1k",),
    }
    PRETRAINED: ClassVar[Mapping[str, tuple[str, ...]]] = files(WEIGHTS)
    NETWORK = ShowAttendTell
    OPTIONS = ("level", "frozen", "word_width", "attention_width", "doubly_stochastic")
    PRESETS: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": VGG,
        "resnet": {
            **VGG,
            "encoder": "resnet101.tv_in1k",
            "level": -1,
            "frozen": False,
            "width": 512,
            "optimizer": "step-adam",
            "encoder_learning_rate": 1e-4,
            "decay": 0.8,
            "decay_epochs": 3,
            "batch_size": 16,
            "shift": 0.07,
        },
        "iu": {**VGG, **IU},
        "tiny": {
            **VGG,
            **TINY,
            "level": -1,
            "frozen": False,
            "width": 256,
            "word_width": 192,
            "attention_width": 192,
        },
    }

    @classmethod
    def describe(cls, config: Any) -> str:
        return f"LSTM of width {config.width} with soft attention"
