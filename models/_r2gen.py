"""R2Gen's network (Chen et al., EMNLP 2020): a transformer whose decoder a relational memory steers.

The memory is a matrix that each word rewrites (section 3.3 of the paper); memory-driven conditional layer norm (3.4)
adds what it says to the scale and shift of every norm within the decoder's layers.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ._captioner import Decoded, DecoderCache
from ._transformer import Attention, LayerNorm, init_xavier, standardised
from ._transformer_captioner import TransformerCaptioner, TransformerConfig
from ._vision_gpt2 import by_study


class R2GenConfig(TransformerConfig):
    """`slots`: rows of the memory; `memory_heads`: of its attention."""

    model_type = "r2gen"

    def __init__(self, slots: int = 3, memory_heads: int = 8, **kwargs: Any):
        self.slots = slots
        self.memory_heads = memory_heads
        super().__init__(**kwargs)


class RelationalMemory(nn.Module):
    """A matrix of `slots` rows for each text, which begins as the identity and is rewritten with every word."""

    def __init__(self, slots: int, width: int, heads: int, dropout: float):
        super().__init__()
        self.slots = slots
        self.attention = Attention(width, heads, dropout)
        self.mlp = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU())
        self.word_gates = nn.Linear(width, 2 * width)
        self.memory_gates = nn.Linear(width, 2 * width)

    def begin(self, words: Tensor) -> Tensor:
        """The memory before the first word: (B, slots, width)."""
        return torch.eye(self.slots, words.shape[2], dtype=words.dtype, device=words.device).repeat(len(words), 1, 1)

    def forward(self, words: Tensor, memory: Tensor) -> Tensor:
        """The memory (B, slots, width) after each of the words (B, T, width): (B, T, slots, width)."""
        # What depends on the words alone is computed for all of them at once.
        word_keys, word_values = self.attention.read(words)
        word_gates = self.word_gates(words)
        after = []
        for t in range(words.shape[1]):
            keys, values = self.attention.read(memory)
            keys = torch.cat([keys, word_keys[:, :, t : t + 1]], dim=2)
            values = torch.cat([values, word_values[:, :, t : t + 1]], dim=2)
            found = memory + self.attention(memory, keys, values)
            found = found + self.mlp(found)
            gates = word_gates[:, t : t + 1] + self.memory_gates(memory.tanh())
            let_in, keep = gates.sigmoid().chunk(2, dim=2)
            memory = let_in * found.tanh() + keep * memory
            after.append(memory)
        return torch.stack(after, dim=1)


class ConditionalLayerNorm(LayerNorm):
    """Layer norm to whose scale and shift the memory adds."""

    def __init__(self, width: int, slots: int):
        super().__init__(width)
        self.more_scale, self.more_shift = (
            nn.Sequential(nn.Linear(slots * width, width), nn.ReLU(), nn.Linear(width, width)) for _ in range(2)
        )

    def forward(self, x: Tensor, memory: Tensor) -> Tensor:  # type: ignore[override]
        """`x` (B, T, width), `memory` (B, T, slots × width)."""
        scale, shift = self.scale + self.more_scale(memory), self.shift + self.more_shift(memory)
        return scale * standardised(x) + shift


class R2Gen(TransformerCaptioner):
    config_class = R2GenConfig

    def __init__(self, config: R2GenConfig):
        super().__init__(config, norm=lambda: ConditionalLayerNorm(config.width, config.slots))
        self.memory = RelationalMemory(config.slots, config.width, config.memory_heads, config.dropout)
        init_xavier(self.memory)
        for name, parameter in self.decoder.named_parameters():
            if ".more_" in name and name.endswith("bias"):
                nn.init.constant_(parameter, 0.1)
        self.post_init()

    def encode(self, pixel_values: Tensor, views: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        states, there = by_study(self.project(self.features(pixel_values)), views)
        return self.encoder(states, there), there

    def decode(self, states: Tensor, there: Tensor | None, input_ids: Tensor, cache: DecoderCache | None) -> Decoded:
        words = self.embed(input_ids, cache.length if cache is not None else 0)
        memory = cache.state["memory"] if cache is not None and cache.length else self.memory.begin(words)
        after = self.memory(self.dropout(words), memory)
        if cache is not None:
            cache.state["memory"] = after[:, -1]
        x = self.decoder(self.dropout(words), states, there, cache, after.flatten(2))
        return Decoded(self.logits(x))
