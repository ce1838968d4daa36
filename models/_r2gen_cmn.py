"""R2GenCMN's network (Chen et al., ACL 2021): a transformer both of whose inputs ask one memory.

The memory is a matrix of vectors that image patches and words query alike; each gets the responses of the few that
answer it best, which is to align the two.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ._captioner import Decoded, DecoderCache
from ._transformer import Attention, LayerNorm, init_xavier, sinusoids
from ._transformer_captioner import TransformerCaptioner, TransformerConfig
from ._vision_gpt2 import by_study


class R2GenCMNConfig(TransformerConfig):
    """`memory`: vectors in the memory; `responses`: how many of them answer a query."""

    model_type = "r2gen-cmn"

    def __init__(self, memory: int = 2048, responses: int = 32, **kwargs: Any):
        self.memory = memory
        self.responses = responses
        super().__init__(**kwargs)


class CrossModalMemory(Attention):
    """Attention to the memory of which each head keeps the `responses` largest weights."""

    def __init__(self, width: int, heads: int, size: int, responses: int, dropout: float):
        super().__init__(width, heads, dropout)
        self.vectors = nn.Parameter(torch.empty(size, width).normal_(0, 1 / width))
        self.responses = responses

    def content(self) -> tuple[Tensor, Tensor]:
        """Keys and values (1, heads, size, width / heads) of all vectors."""
        return self.read(self.vectors.unsqueeze(0))

    def forward(self, x: Tensor, keys: Tensor, values: Tensor) -> Tensor:  # type: ignore[override]
        """The responses to (B, T, width): the same shape. `keys` and `values`: see `content`."""
        scores = self.split(self.query(x)) @ keys.transpose(2, 3) / math.sqrt(keys.shape[3])
        best, at = scores.topk(self.responses, dim=3)
        weights = F.dropout(best.softmax(dim=3), self.dropout, self.training)
        found = torch.zeros_like(scores).scatter(3, at, weights) @ values
        return self.out(found.transpose(1, 2).flatten(2))


class R2GenCMN(TransformerCaptioner):
    config_class = R2GenCMNConfig

    def __init__(self, config: R2GenCMNConfig):
        super().__init__(config, norm=lambda: LayerNorm(config.width))
        self.memory = CrossModalMemory(config.width, config.heads, config.memory, config.responses, config.dropout)
        init_xavier(*self.memory.children())
        self.post_init()

    def encode(self, pixel_values: Tensor, views: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        states, there = by_study(self.project(self.features(pixel_values)), views)
        states = states + self.memory(states, *self.memory.content())
        states = self.dropout(states + sinusoids(*states.shape[1:], states.device))
        return self.encoder(states, there), there

    def decode(self, states: Tensor, there: Tensor | None, input_ids: Tensor, cache: DecoderCache | None) -> Decoded:
        words = self.dropout(self.embed(input_ids, cache.length if cache is not None else 0))
        content = cache.kept("memory", self.memory.content) if cache is not None else self.memory.content()
        words = words + self.memory(words, *content)
        return Decoded(self.logits(self.decoder(words, states, there, cache)))
