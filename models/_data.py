"""Studies as training batches: one or several views, augmentation that depends on seed, epoch and study alone."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.utils.data
from torch import Tensor
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as tf

from benchmark.errors import UserError
from benchmark.images import ImageError
from benchmark.schema import Study

from ._vision_gpt2 import IGNORED, pixels


@dataclass(frozen=True)
class Pictures:
    """What can be read of a study's views."""

    images: list[Tensor]
    """uint8 of shape (S, S) each, in the study's order."""
    errors: list[str]
    """Why the others cannot be read."""


def study_pictures(study: Study, views: int, read: Callable[[Path], np.ndarray]) -> Pictures:
    """The study's first `views` views. Where there is no image there is an error."""
    if not study.views:
        return Pictures([], [f"Study {study.study_id} has no image."])
    pictures = Pictures([], [])
    for view in study.views[:views]:
        try:
            pictures.images.append(torch.from_numpy(read(view.path)))
        except ImageError as error:
            pictures.errors.append(str(error))
    return pictures


@dataclass(frozen=True)
class Augmentation:
    """How far images are moved at random. There is no flip: left and right are findings."""

    degrees: float = 0.0
    shift: float = 0.0
    """Largest translation, as a share of the image's side."""
    scale: float = 0.0
    """Largest change of size: 0.1 gives 0.9 to 1.1."""
    contrast: float = 0.0
    """Largest change of contrast, likewise."""

    def __call__(self, image: Tensor, seed: int, epoch: int, study_id: str) -> Tensor:
        """A changed copy of an image (S, S), a pure function of the arguments."""
        if not (self.degrees or self.shift or self.scale or self.contrast):
            return image
        draw = random.Random(f"{seed}:{epoch}:{study_id}").uniform
        reach = self.shift * image.shape[-1]
        moved = tf.affine(
            image.unsqueeze(0),
            angle=draw(-self.degrees, self.degrees),
            translate=[draw(-reach, reach), draw(-reach, reach)],
            scale=1.0 + draw(-self.scale, self.scale),
            shear=[0.0, 0.0],
            interpolation=InterpolationMode.BILINEAR,
        )
        return tf.adjust_contrast(moved, 1.0 + draw(-self.contrast, self.contrast)).squeeze(0)


@dataclass
class ReportDataset(torch.utils.data.Dataset):
    """Images and token ids. An index is an (epoch, position) pair, or a position where nothing is augmented.

    That the epoch comes with the index keeps it right in worker processes and after training was resumed. Raises
    UserError where no study has an image that can be read.
    """

    studies: Sequence[Study]
    token_ids: Sequence[list[int]]
    read: Callable[[Path], np.ndarray]
    """See `TrainingJob.images`."""
    views: int = 1
    """Of each study, at most."""
    seed: int = 0
    augmentation: Augmentation = Augmentation()
    given: Sequence[int] = ()
    """How many of each text's first tokens the model is given, which are no targets; one where it is empty."""
    stand_in: Tensor = field(init=False, repr=False)
    """The first image that can be read: keeps the shape of a batch whose studies have none."""

    def __post_init__(self) -> None:
        errors: list[str] = []
        for study in self.studies:
            pictures = study_pictures(study, self.views, self.read)
            if pictures.images:
                self.stand_in = pictures.images[0]
                return
            errors += pictures.errors
        raise UserError(f"No image of {len(self.studies)} studies can be read. The first: {errors[0]}")

    def __len__(self) -> int:
        return len(self.studies)

    @property
    def lengths(self) -> list[int]:
        """Of the texts, in tokens."""
        return [len(ids) for ids in self.token_ids]

    def __getitem__(self, index: tuple[int, int] | int) -> dict[str, Any]:
        epoch, position = index if isinstance(index, tuple) else (0, index)
        study = self.studies[position]
        pictures = study_pictures(study, self.views, self.read)
        images = [self.augmentation(image, self.seed, epoch, study.study_id) for image in pictures.images]
        return {
            "images": images,
            "stand_in": self.stand_in,
            "unreadable": pictures.errors,
            "input_ids": self.token_ids[position],
            "given": self.given[position] if self.given else 1,
        }


def readable(samples: Sequence[dict[str, Any]]) -> tuple[list[dict[str, Any]], list[str]]:
    """The samples that have an image, and what cannot be read. Where none has one, the first with another study's, in a
    batch that counts for nothing (see `_batches.CountingCollate`).
    """
    unreadable = [error for sample in samples for error in sample["unreadable"]]
    good = [sample for sample in samples if sample["images"]]
    return good or [{**samples[0], "images": [samples[0]["stand_in"]]}], unreadable


@dataclass(frozen=True)
class Collate:
    """Samples to a batch: `input_ids` and `labels` (B, T of the longest text), `pixel_values` (N, 3, S, S) of the
    images of the first study, of the second and so on, and `views` (B,), how many each study has.

    Padding is told by length, since GPT-2 pads with its end token, which is a target once. It goes to the right,
    where causal attention never looks, so no attention mask is needed. The first tokens, which the model is `given`,
    are no targets. Studies of which no image can be read are left out; what cannot be read is named under `unreadable`.
    """

    pad: int
    mean: Sequence[float]
    std: Sequence[float]

    def __call__(self, samples: Sequence[dict[str, Any]]) -> dict[str, Any]:
        good, unreadable = readable(samples)
        longest = max(len(sample["input_ids"]) for sample in good)
        input_ids = torch.full((len(good), longest), self.pad)
        labels = torch.full((len(good), longest), IGNORED)
        for row, sample in enumerate(good):
            ids = torch.tensor(sample["input_ids"])
            input_ids[row, : len(ids)] = ids
            labels[row, sample["given"] : len(ids)] = ids[sample["given"] :]
        images = [image for sample in good for image in sample["images"]]
        batch: dict[str, Any] = {
            "input_ids": input_ids,
            "labels": labels,
            "pixel_values": pixels(torch.stack(images), self.mean, self.std),
            "views": torch.tensor([len(sample["images"]) for sample in good]),
        }
        if unreadable:
            batch["unreadable"] = unreadable
        return batch
