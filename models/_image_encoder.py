"""Images to feature vectors, by a timm encoder: pretrained, random, or a trained checkpoint's."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from benchmark.contracts import TrainingJob
from benchmark.errors import UserError
from benchmark.images import Geometry

from ._data import Pictures
from ._picture_config import IMAGENET_MEAN, IMAGENET_STD
from ._vision_gpt2 import create_backbone, first_line, pixels

BACKBONE = "enc.backbone."
"""What the names of the encoder's weights begin with in a checkpoint of Vision-GPT2."""
POOLS = ("mean", "max", "map")
ENCODING = "encoder encoder_args encoder_weights image_size keep_aspect mean std views pool".split()
"""What of config.json makes the features."""


class ImageEncoder:
    """Pictures of studies to features (n, width), float32: of several views of a study the mean."""

    def __init__(self, config: Mapping[str, Any], weights: Mapping[str, Tensor] | None = None):
        self.config = config
        self.geometry = Geometry(config["image_size"], config["keep_aspect"])
        self.backbone = create_backbone(
            config["encoder"], config["image_size"], pretrained=weights is None, **config["encoder_args"]
        )
        if weights is not None:
            self.backbone.load_state_dict(weights)
        self.backbone.eval()
        self.device = torch.device("cpu")

    @property
    def width(self) -> int:
        """Of a feature vector."""
        blank = torch.zeros(self.geometry.size, self.geometry.size, dtype=torch.uint8)
        return self([Pictures([blank], [])]).shape[1]

    def to(self, device: str) -> None:
        self.device = torch.device(device)
        self.backbone.to(self.device)

    @torch.inference_mode()
    def __call__(self, pictures: Sequence[Pictures]) -> np.ndarray:
        images = torch.stack([image for of_study in pictures for image in of_study.images])
        maps = self.backbone.forward_features(pixels(images, self.config["mean"], self.config["std"]).to(self.device))
        if maps.ndim == 4 and getattr(self.backbone, "output_fmt", "NCHW") == "NCHW":
            maps = maps.permute(0, 2, 3, 1)
        positions = maps.flatten(1, -2).float()  # (images, positions, channels), of tokens too
        if self.config["pool"] == "map":
            pooled = positions.flatten(1)
        else:
            pooled = positions.mean(dim=1) if self.config["pool"] == "mean" else positions.amax(dim=1)
        by_study = pooled.split([len(of_study.images) for of_study in pictures])
        return torch.stack([views.mean(dim=0) for views in by_study]).cpu().numpy()


def make_encoder(job: TrainingJob) -> ImageEncoder:
    """The encoder that the options name. Raises UserError where it is not to be had."""
    options = job.options
    name = options["encoder"]
    config = {key: options[key] for key in ("encoder", "encoder_args", "image_size", "keep_aspect", "views", "pool")}
    if name.startswith("checkpoint:"):
        return _encoder_of(name.removeprefix("checkpoint:"), config, job)
    if options["image_size"] < 1:
        raise UserError("A timm encoder needs an image_size, e.g. --set image_size=224.")
    pretrained = options["encoder_pretrained"]
    about: Any = timm.get_pretrained_cfg(name) if pretrained and timm.is_model(name) else None
    colours = (about.mean, about.std) if about else (IMAGENET_MEAN, IMAGENET_STD)
    config |= {"encoder_weights": "pretrained" if pretrained else "random"}
    config |= dict(zip(("mean", "std"), map(list, colours), strict=True))
    if pretrained:
        return ImageEncoder(config)
    fresh = create_backbone(name, config["image_size"], pretrained=False, **config["encoder_args"])
    return ImageEncoder(config, fresh.state_dict())


def _encoder_of(source: str, config: dict[str, Any], job: TrainingJob) -> ImageEncoder:
    folder = Path(source) if Path(source).is_dir() else job.checkpoint(source)
    if folder is None:
        raise UserError(
            f"nearest-report would take its features from a trained {source}, and there is none for this data set: run "
            f"`bench train {source}` first, or take --preset imagenet (pretrained weights) or random."
        )
    try:
        trained = json.loads((folder / "config.json").read_text("utf-8"))
        with safe_open(folder / "model.safetensors", "pt") as file:
            names = [name for name in file.keys() if name.startswith(BACKBONE)]  # noqa: SIM118
            weights = {name.removeprefix(BACKBONE): file.get_tensor(name) for name in names}
        taken = {key: trained[key] for key in ("encoder", "encoder_args", "image_size", "keep_aspect", "mean", "std")}
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise UserError(
            f"{folder} holds no encoder that nearest-report can read, as vgpt2's checkpoints do: {first_line(error)}"
        ) from error
    if not weights:
        raise UserError(f"{folder} holds no weights called {BACKBONE}…, as vgpt2's checkpoints do.")
    job.report(f"Features: the encoder of {folder}.")
    return ImageEncoder({**config, **taken, "encoder_weights": f"{folder.parent.name}/{folder.name}"}, weights)
