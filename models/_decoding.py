"""Writing with GPT-2 that reads an encoder: the decoder laid out anew for speed, and the loop over its steps.

transformers' `generate` gives the same tokens; `bench speed generate` says how much later.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import GPT2LMHeadModel, LogitsProcessorList, RepetitionPenaltyLogitsProcessor
from transformers.activations import ACT2FN
from transformers.pytorch_utils import Conv1D

from benchmark.schema import GenerationSettings

from . import _linear
from ._sampling import SeededSampling

STILL_WRITING = 0.75
"""Finished rows leave the batch once no more than this share of it is left: copying the cache costs about a step."""


@dataclass
class Memory:
    """What the steps of a batch read and fill: keys and values, all with buffers of their final size."""

    cross: list[tuple[Tensor, Tensor]]
    """By layer, of the encoder's positions: (B, heads, positions, width of a head)."""
    there: Tensor | None
    """Which positions count, (B, 1, 1, positions); None where all do."""
    keys: Tensor
    """Of the tokens: (layers, B, heads, length, width of a head)."""
    values: Tensor

    def keep(self, rows: Tensor) -> Memory:
        """The memory of some rows of the batch."""
        cross = [(keys[rows], values[rows]) for keys, values in self.cross]
        there = None if self.there is None else self.there[rows]
        return Memory(cross, there, self.keys[:, rows], self.values[:, rows])


class Decoder:
    """A GPT-2 as it is now, its weights copied into `_linear.pack`'s layout.

    `rows` says how many texts are written at a time, about. Where `static`, every step has the same shapes (attention
    goes over the whole cache, under a mask), which compiled steps and CUDA graphs need.
    """

    def __init__(self, gpt2: GPT2LMHeadModel, precision: str, rows: int, static: bool = False):
        config, body = gpt2.config, gpt2.transformer
        self.heads = config.n_head
        self.static = static
        self.dtype = _linear.dtype(precision)
        self.tokens, self.positions = body.wte.weight.detach(), body.wpe.weight.detach()
        self.activation: Any = (
            nn.GELU("tanh") if config.activation_function == "gelu_new" else ACT2FN[config.activation_function]
        )

        def linear(layer: Any) -> _linear.Linear:
            return _linear.pack(layer.weight.T, layer.bias, precision, rows)

        self.blocks = [_Block(block, linear) for block in body.h]
        self.norm = body.ln_f
        self.head = _linear.pack(gpt2.lm_head.weight, None, precision, rows)

    @staticmethod
    def fits(gpt2: GPT2LMHeadModel) -> bool:
        """False for what only transformers' own code does: layers that were replaced (LoRA), unusual attention."""
        config = gpt2.config
        usual = config.scale_attn_weights and not config.scale_attn_by_inverse_layer_idx
        parts = [
            part for block in gpt2.transformer.h for at in (block.attn, block.crossattention, block.mlp)
            for name, part in at.named_children() if name in ("c_attn", "q_attn", "c_proj", "c_fc")
        ]  # fmt: skip
        return usual and all(type(part) is Conv1D for part in parts) and type(gpt2.lm_head) is nn.Linear

    def begin(self, states: Tensor, there: Tensor | None, length: int) -> Memory:
        """The memory for texts of at most `length` tokens about `states` (B, positions, width), where `there`."""
        states = states.to(self.dtype)
        cross = []
        for block in self.blocks:
            keys, values = self._split(block.cross_memory(states), 2)
            cross.append((keys.contiguous(), values.contiguous()))
        shape = (len(self.blocks), len(states), self.heads, length, states.shape[2] // self.heads)
        mask = None if there is None else there[:, None, None, :].bool()
        return Memory(cross, mask, states.new_zeros(shape), states.new_zeros(shape))

    def step(self, ids: Tensor, at: Tensor, end: int, memory: Memory) -> Tensor:
        """Logits (B, vocabulary) after tokens (B, T) at the positions `at` (T,), the last of which is `end` - 1.

        Where the decoder is static, `end` is not looked at.
        """
        end = memory.keys.shape[3] if self.static else end
        past = None
        if self.static or len(at) > 1:
            past = torch.arange(end, device=ids.device) <= at.unsqueeze(1)
        hidden = F.embedding(ids, self.tokens) + F.embedding(at, self.positions)
        for i, block in enumerate(self.blocks):
            query, key, value = self._split(block.inputs(block.norm(hidden).to(self.dtype)), 3)
            keys, values = memory.keys[i], memory.values[i]
            keys.index_copy_(2, at, key)
            values.index_copy_(2, at, value)
            read = F.scaled_dot_product_attention(query, keys[:, :, :end], values[:, :, :end], attn_mask=past)
            hidden = hidden + block.output(_join(read))
            (query,) = self._split(block.cross_query(block.cross_norm(hidden).to(self.dtype)), 1)
            read = F.scaled_dot_product_attention(query, *memory.cross[i], attn_mask=memory.there)
            hidden = hidden + block.cross_output(_join(read))
            inner = self.activation(block.inner(block.inner_norm(hidden).to(self.dtype)))
            hidden = hidden + block.inner_output(inner)
        return self.head(self.norm(hidden[:, -1]).to(self.dtype)).float()

    def _split(self, joined: Tensor, n: int) -> tuple[Tensor, ...]:
        """(B, T, n × width) → n × (B, heads, T, width of a head)."""
        batch, length, _ = joined.shape
        return joined.view(batch, length, n, self.heads, -1).permute(2, 0, 3, 1, 4).unbind(0)


def _join(read: Tensor) -> Tensor:
    """(B, heads, T, width of a head) → (B, T, width)."""
    return read.transpose(1, 2).flatten(2)


class _Block:
    def __init__(self, block: Any, linear: Any):
        self.norm, self.cross_norm, self.inner_norm = block.ln_1, block.ln_cross_attn, block.ln_2
        self.inputs, self.output = linear(block.attn.c_attn), linear(block.attn.c_proj)
        crossing = block.crossattention
        self.cross_query, self.cross_memory = linear(crossing.q_attn), linear(crossing.c_attn)
        self.cross_output = linear(crossing.c_proj)
        self.inner, self.inner_output = linear(block.mlp.c_fc), linear(block.mlp.c_proj)


@torch.inference_mode()
def write(
    decoder: Decoder, states: Tensor, there: Tensor | None, prompt: Tensor, settings: GenerationSettings,
    seeds: Sequence[int], end_token: int,
) -> Tensor:  # fmt: skip
    """Token ids after the prompt (B, T), at most `max_new_tokens`, each row filled up with the end token.

    Greedy, or by `SeededSampling` with row i's seed. `states` and `there` are what `VisionGPT2.encode` gives. The
    caller sees to it that the model has positions enough.
    """
    ids, rows = prompt, torch.arange(len(prompt), device=prompt.device)
    length = prompt.shape[1] + settings.max_new_tokens
    written = prompt.new_full((len(prompt), settings.max_new_tokens), end_token)
    finished = torch.zeros(len(prompt), dtype=torch.bool, device=prompt.device)
    memory = decoder.begin(states, there, length - 1)
    sampling = SeededSampling(settings, seeds) if settings.do_sample else None
    penalty = settings.repetition_penalty
    processors = LogitsProcessorList(
        ([RepetitionPenaltyLogitsProcessor(penalty)] if penalty != 1.0 else []) + ([sampling] if sampling else [])
    )
    begin = 0
    for n in range(settings.max_new_tokens):
        at = torch.arange(begin, ids.shape[1], device=ids.device)
        begin = ids.shape[1]
        scores = processors(ids, decoder.step(ids[:, at], at, begin, memory))  # type: ignore[arg-type]
        chosen = scores.argmax(dim=1).masked_fill(finished, end_token)
        written[rows, n] = chosen
        finished = finished | (chosen == end_token)
        left = len(finished) - int(finished.sum())
        if not left:
            return written[:, : n + 1]
        ids = torch.cat([ids, chosen.unsqueeze(1)], dim=1)
        if left <= STILL_WRITING * len(rows) and not decoder.static:
            on = (~finished).nonzero().squeeze(1)
            ids, rows, finished, memory = ids[on], rows[on], finished[on], memory.keep(on)
            if sampling:
                sampling.keep(on.tolist())
    return written
