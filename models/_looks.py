"""How a network reads an image: where it looks for each token, and the features to compare images by."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from benchmark.contracts import Looks
from benchmark.errors import UserError
from benchmark.images import Geometry
from benchmark.schema import Study

from ._data import study_pictures
from ._vision_gpt2 import pixels


def first_view(study: Study, config: Any) -> Tensor:
    """The study's first view as such a network takes it: (1, 3, S, S). Raises UserError where it cannot be read."""
    pictures = study_pictures(study, 1, Geometry(config.image_size, config.keep_aspect).read)
    if not pictures.images:
        raise UserError(pictures.errors[0])
    return pixels(torch.stack(pictures.images), config.mean, config.std)


@torch.inference_mode()
def looks(
    tokenizer: PreTrainedTokenizerFast,
    text: str,
    before: Sequence[int],
    most: int,
    attention: Callable[[Tensor], Tensor],
    backbone: Any,
    keep_aspect: bool,
) -> Looks | None:
    """The text's tokens with what `attention` gives for token ids (1, T): weights (T, positions) of an image.

    `before`: tokens that the network is given first; `most`: how many it can read. None where the positions are no
    square map.
    """
    encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    ids = [*before, *encoded["input_ids"]][:most]
    spans = [tuple(span) for span in encoded["offset_mapping"]][: len(ids) - len(before)]
    if len(ids) < 2:
        return None
    weights = attention(torch.tensor([ids]))
    weights = weights[:, getattr(backbone, "num_prefix_tokens", 0) :]
    side = math.isqrt(weights.shape[1])
    if side * side != weights.shape[1]:
        return None
    # What is read behind one token decides the next; a first token with nothing before it was not looked for.
    skipped = 0 if before else 1
    chosen = weights[len(before) - 1 + skipped : -1].float().cpu().numpy()
    return Looks(spans[skipped:], chosen.reshape(-1, side, side), keep_aspect)


@torch.inference_mode()
def features(studies: Sequence[Study], config: Any, encode: Callable[[Tensor], Tensor]) -> np.ndarray:
    """See `Model.features`: of first views (N, 3, S, S), the mean over the positions (N, positions, channels) that
    `encode` makes of them.
    """
    read = Geometry(config.image_size, config.keep_aspect).read
    pictures = [study_pictures(study, 1, read).images for study in studies]
    blank = torch.zeros(config.image_size, config.image_size, dtype=torch.uint8)
    images = torch.stack([of_study[0] if of_study else blank for of_study in pictures])
    means = encode(pixels(images, config.mean, config.std)).mean(dim=1).float().cpu().numpy()
    means[[not of_study for of_study in pictures]] = 0.0
    return means
