"""Studies as training batches: images from files, augmentation that depends on seed, epoch and study alone."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.utils.data
from torch import Tensor
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as tf

from benchmark.errors import UserError
from benchmark.images import ImageError, fit, read_grey
from benchmark.schema import Study

from ._vision_gpt2 import IGNORED, pixels


def study_image(study: Study, size: int, keep_aspect: bool) -> Tensor:
    """The study's first view, uint8 of shape (size, size). Raises ImageError where it cannot be read."""
    if not study.views:
        raise ImageError(f"Study {study.study_id} has no image.")
    return torch.from_numpy(fit(read_grey(study.views[0].path), size, keep_aspect).copy())


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

    That the epoch comes with the index keeps it right in worker processes and after training was resumed.
    """

    studies: Sequence[Study]
    token_ids: Sequence[list[int]]
    image_size: int
    keep_aspect: bool
    seed: int = 0
    augmentation: Augmentation = Augmentation()
    cache_images: bool = False
    """Whether images are kept in memory (size² bytes each)."""
    _cache: dict[int, Tensor] = field(default_factory=dict, repr=False)

    def __len__(self) -> int:
        return len(self.studies)

    def __getitem__(self, index: tuple[int, int] | int) -> dict[str, Any]:
        epoch, position = index if isinstance(index, tuple) else (0, index)
        study = self.studies[position]
        try:
            image = self._image(position)
        except ImageError as error:
            return {"unreadable": str(error)}
        image = self.augmentation(image, self.seed, epoch, study.study_id)
        return {"image": image, "input_ids": self.token_ids[position]}

    def _image(self, position: int) -> Tensor:
        if position in self._cache:
            return self._cache[position]
        image = study_image(self.studies[position], self.image_size, self.keep_aspect)
        if self.cache_images:
            self._cache[position] = image
        return image


class EpochSampler(torch.utils.data.Sampler):
    """(epoch, position) pairs in an order that depends on seed and epoch alone.

    Texts of like length are not put together: long reports are those of the ill, and a batch of them alone would shift
    the encoder's batch statistics.
    """

    def __init__(self, length: int, seed: int):
        self.length = length
        self.seed = seed
        self.epoch = 0

    def __len__(self) -> int:
        return self.length

    def __iter__(self) -> Iterator[tuple[int, int]]:
        order = list(range(self.length))
        random.Random(f"{self.seed}:{self.epoch}").shuffle(order)
        return ((self.epoch, position) for position in order)


@dataclass(frozen=True)
class Collate:
    """Samples to a batch: `pixel_values` (B, 3, S, S), `input_ids` and `labels` (B, T of the longest text).

    Padding is told by length, since GPT-2 pads with its end token, which is a target once. It goes to the right,
    where causal attention never looks, so no attention mask is needed. The first token begins the text and is no
    target. Studies whose image cannot be read are left out and named under `unreadable`.
    """

    pad: int
    mean: Sequence[float]
    std: Sequence[float]

    def __call__(self, samples: Sequence[dict[str, Any]]) -> dict[str, Any]:
        unreadable = [sample["unreadable"] for sample in samples if "unreadable" in sample]
        good = [sample for sample in samples if "unreadable" not in sample]
        if not good:
            raise UserError(f"None of the {len(samples)} images of a batch can be read. The first: {unreadable[0]}")
        longest = max(len(sample["input_ids"]) for sample in good)
        input_ids = torch.full((len(good), longest), self.pad)
        labels = torch.full((len(good), longest), IGNORED)
        for row, sample in enumerate(good):
            ids = torch.tensor(sample["input_ids"])
            input_ids[row, : len(ids)] = ids
            labels[row, 1 : len(ids)] = ids[1:]
        batch: dict[str, Any] = {
            "pixel_values": pixels(torch.stack([sample["image"] for sample in good]), self.mean, self.std),
            "input_ids": input_ids,
            "labels": labels,
        }
        if unreadable:
            batch["unreadable"] = unreadable
        return batch
