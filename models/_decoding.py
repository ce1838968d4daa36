"""Writing with GPT-2 that reads an encoder: the decoder laid out anew for speed, and the loop over its steps.

transformers' `generate` gives the same tokens; `bench speed generate` says how much later.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import GPT2LMHeadModel, LogitsProcessorList, RepetitionPenaltyLogitsProcessor
from transformers.activations import ACT2FN
from transformers.pytorch_utils import Conv1D

from benchmark.errors import UserError
from benchmark.schema import GenerationSettings

from . import _linear
from ._sampling import Listening, SeededSampling
from ._vision_gpt2 import VisionGPT2, by_study

STILL_WRITING = 0.75
"""Finished rows leave the batch once no more than this share of it is left: copying the cache costs about a step."""
ENCODED_TOGETHER = 2
"""Images, on a processor: of two its caches hold the features, so that they pass twice as fast as a batch's."""

ROOM = 128
"""On a GPU the cache's length is a multiple of this: eight lengths for GPT-2's 1,024 positions, and torch compiles a
function for eight shapes at most."""


@dataclass
class Memory:
    """What the steps of a batch read and fill: keys and values, all with buffers of their final size."""

    cross: list[tuple[Tensor, Tensor]]
    """By layer, of the encoder's positions: (B, heads, positions, width of a head)."""
    there: Tensor | None
    """Which positions count, (B, 1, 1, positions); None where all do."""
    pads: Tensor | None
    """How many tokens before a row's own only fill up, (B, 1); None where none do."""
    keys: Tensor
    """Of the tokens: (layers, B, heads, length, width of a head)."""
    values: Tensor

    def tensors(self) -> list[Tensor]:
        optional = [of for of in (self.there, self.pads) if of is not None]
        return [self.keys, self.values, *optional, *(of for pair in self.cross for of in pair)]

    def keep(self, rows: Tensor) -> Memory:
        """The memory of some rows of the batch."""
        cross = [(keys[rows], values[rows]) for keys, values in self.cross]
        there, pads = (None if of is None else of[rows] for of in (self.there, self.pads))
        return Memory(cross, there, pads, self.keys[:, rows], self.values[:, rows])


class Decoder:
    """A GPT-2 as it is now, its weights copied into `_linear.pack`'s layout.

    `rows` says how many texts are written at a time, about. Where `static`, every step but a batch's first has the same
    shapes, at the same addresses: attention goes over the whole cache, under a mask, rows stay to the end, and smaller
    batches are filled up. CUDA graphs need that, and torch compiles for each shape anew.
    """

    def __init__(self, gpt2: GPT2LMHeadModel, precision: str, rows: int, static: bool = False):
        config, body = gpt2.config, gpt2.transformer
        self.heads = config.n_head
        self.static = static
        self.largest = (rows, 0, 0)
        """Rows, positions and length of the largest memory so far."""
        self.standing: Memory | None = None
        """Where static, the memory of the last batch, which the next one takes over."""
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
        config, body = gpt2.config, gpt2.transformer
        usual = config.scale_attn_weights and not config.scale_attn_by_inverse_layer_idx
        layers: list[Any] = [
            layer for block in cast(Any, body.h) for part in (block.attn, block.crossattention, block.mlp)
            for name, layer in part.named_children() if name.startswith(("c_", "q_"))
        ]  # fmt: skip
        return bool(usual and all(type(layer) is Conv1D for layer in layers) and type(gpt2.lm_head) is nn.Linear)

    def begin(self, states: Tensor, there: Tensor | None, pads: Tensor | None, length: int) -> Memory:
        """The memory for texts of at most `length` tokens about `states` (B, positions, width), where `there`.

        Where static, it may have more rows than B.
        """
        if self.static:
            states, there, pads, length = self._fill_up(states, there, pads, length)
        states = states.to(self.dtype)
        cross = []
        for block in self.blocks:
            keys, values = self._split(block.cross_memory(states), 2)
            cross.append((keys.contiguous(), values.contiguous()))
        shape = (len(self.blocks), len(states), self.heads, length, states.shape[2] // self.heads)
        mask = None if there is None else there[:, None, None, :].bool()
        before = None if pads is None else pads.unsqueeze(1)
        memory = Memory(cross, mask, before, states.new_zeros(shape), states.new_zeros(shape))
        return self._stand(memory) if self.static else memory

    def _fill_up(
        self, states: Tensor, there: Tensor | None, pads: Tensor | None, length: int
    ) -> tuple[Tensor, Tensor, Tensor, int]:
        """`begin`'s arguments, none left out, at the largest sizes so far."""
        n, positions, _ = states.shape
        there = states.new_ones(n, positions, dtype=torch.bool) if there is None else there.bool()
        pads = there.new_zeros(n, dtype=torch.long) if pads is None else pads
        rows, places, length = map(max, self.largest, (n, positions, -(-length // ROOM) * ROOM))
        self.largest = rows, places, length
        states = F.pad(states, (0, 0, 0, places - positions, 0, rows - n))
        # A row that only fills up sees all: with nothing to see it would hold no number.
        there = F.pad(F.pad(there, (0, places - positions), value=False), (0, 0, 0, rows - n), value=True)
        return states, there, F.pad(pads, (0, rows - n)), length

    def _stand(self, memory: Memory) -> Memory:
        new, old = memory.tensors(), self.standing.tensors() if self.standing else []
        if self.standing and [of.shape for of in new] == [of.shape for of in old]:
            for target, source in zip(old, new, strict=True):
                target.copy_(source)
            return self.standing
        for tensor in new:
            torch._dynamo.mark_static_address(tensor)
        self.standing = memory
        return memory

    def step(self, ids: Tensor, at: Tensor, end: int, memory: Memory) -> Tensor:
        """Logits (B, vocabulary) after tokens (B, T) in the places `at` (T,); none from `end` on is looked at."""
        positions, past = at, None
        if self.static or len(at) > 1 or memory.pads is not None:
            places = torch.arange(end, device=ids.device)
            past = places <= at.unsqueeze(1)
            if memory.pads is not None:
                positions = (at - memory.pads).clamp(min=0)
                # A place that only fills up sees itself: with nothing to see it would hold no number.
                own = (places >= memory.pads).unsqueeze(1) | (places == at.unsqueeze(1))
                past = (past & own).unsqueeze(1)
        hidden = F.embedding(ids, self.tokens) + F.embedding(positions, self.positions)
        for i, block in enumerate(self.blocks):
            query, key, value = self._split(block.inputs(block.norm(hidden).to(self.dtype)), 3)
            keys, values = memory.keys[i], memory.values[i]
            keys.index_copy_(2, at, key)
            values.index_copy_(2, at, value)
            read = _attend(query, keys[:, :, :end], values[:, :, :end], past)
            hidden = hidden + block.output(_join(read))
            (query,) = self._split(block.cross_query(block.cross_norm(hidden).to(self.dtype)), 1)
            read = _attend(query, *memory.cross[i], memory.there)
            hidden = hidden + block.cross_output(_join(read))
            inner = self.activation(block.inner(block.inner_norm(hidden).to(self.dtype)))
            hidden = hidden + block.inner_output(inner)
        return self.head(self.norm(hidden[:, -1]).to(self.dtype)).float()

    def next(self, ids: Tensor, at: Tensor, end: int, memory: Memory) -> Tensor:
        """`step` for the tokens behind the prompts, one a row: what a GPU compiles, since its shapes are few."""
        return self.step(ids, at, end, memory)

    def _split(self, joined: Tensor, n: int) -> tuple[Tensor, ...]:
        """(B, T, n × width) → n × (B, heads, T, width of a head)."""
        batch, length, _ = joined.shape
        return joined.view(batch, length, n, self.heads, -1).permute(2, 0, 3, 1, 4).unbind(0)


def _attend(query: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None) -> Tensor:
    """What queries (B, heads, T, width) read of `values` (B, heads, L, width), where `mask` (…, T, L) lets them.

    torch's fused attention is made for many queries: of one, on a processor without AMX, a batch of 8 took it 1.3 times
    as long as two matrix products in float32, 3.8 times in bfloat16. On one with AMX it took three quarters and a
    sixth of their time.
    """
    if query.shape[2] > 1 or query.device.type != "cpu" or _linear.TILES:
        return F.scaled_dot_product_attention(query, keys, values, attn_mask=mask)
    likeness = query * query.shape[3] ** -0.5 @ keys.transpose(2, 3)
    if mask is not None:
        likeness = likeness.masked_fill(~mask, -torch.inf)
    return likeness.softmax(dim=3, dtype=torch.float32).to(values.dtype) @ values


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


@torch.no_grad()
def write(
    decoder: Decoder, states: Tensor, there: Tensor | None, given: Sequence[Sequence[int]],
    settings: GenerationSettings, seeds: Sequence[int], end_token: int, listening: Sequence[Listening] = (),
) -> Tensor:  # fmt: skip
    """Token ids after those `given` by row: (B, at most `max_new_tokens`), filled up with the end token.

    Greedy, or by `SeededSampling` with row i's seed. `states` and `there` are what `VisionGPT2.encode` gives. The
    caller sees to it that the model has positions enough.
    """
    start = max(map(len, given))
    pads = torch.tensor([start - len(row) for row in given], device=states.device)
    filled = [[end_token] * (start - len(row)) + list(row) for row in given]
    ids = torch.tensor(filled, device=states.device)
    memory = decoder.begin(states, there, pads if pads.any() else None, start + settings.max_new_tokens - 1)
    sampling = SeededSampling(settings, seeds) if settings.do_sample else None
    processors = LogitsProcessorList(listening)
    if settings.repetition_penalty != 1.0:
        processors.append(RepetitionPenaltyLogitsProcessor(settings.repetition_penalty))
    if sampling:
        processors.append(sampling)
    rows = torch.arange(len(ids), device=ids.device)
    written = ids.new_full((len(ids), settings.max_new_tokens), end_token)
    finished = torch.zeros_like(rows, dtype=torch.bool)
    at = torch.arange(start, device=ids.device)
    for n in range(settings.max_new_tokens):
        end = memory.keys.shape[3] if decoder.static else start + n
        step = decoder.next if n else decoder.step
        shown = F.pad(ids[:, at], (0, 0, 0, memory.keys.shape[1] - len(ids)), value=end_token)
        scores = processors(ids, step(shown, at, end, memory)[: len(ids)])  # type: ignore[arg-type]
        chosen = scores.argmax(dim=1).masked_fill(finished, end_token)
        written[rows, n] = chosen
        finished = finished | (chosen == end_token)
        ids = torch.cat([ids, chosen.unsqueeze(1)], dim=1)
        at = at[-1:] + 1
        left = len(rows) - int(finished.sum())
        if not left:
            return written[:, : n + 1]
        if left <= STILL_WRITING * len(rows) and not decoder.static:
            on = (~finished).nonzero().squeeze(1)
            ids, rows, finished, memory = ids[on], rows[on], finished[on], memory.keep(on)
            if sampling:
                sampling.keep(on.tolist())
    return written


class Writer:
    """Encoder and decoder of a network as it is now, at one precision.

    int8 is the decoder's; the encoder then computes in bf16, as half of a large batch's time would be its. On a GPU all
    steps but a batch's first, which has the prompts' length, are compiled into CUDA graphs. Raises UserError where the
    device does not offer the precision.
    """

    def __init__(self, network: VisionGPT2, precision: str, rows: int):
        if reason := _linear.refusal(precision, network.device):
            raise UserError(reason)
        cuda = network.device.type == "cuda"
        self.network = network
        self.reduced = precision != "fp32"
        self.decoder = Decoder(network.gpt2, precision, rows, static=cuda)
        if cuda:
            compiled: Any = torch.compile(self.decoder.step, mode="reduce-overhead", fullgraph=True, dynamic=False)
            self.decoder.next = compiled  # type: ignore[method-assign]

    @torch.no_grad()
    def write(
        self, images: Tensor, views: Tensor, given: Sequence[Sequence[int]], settings: GenerationSettings,
        seeds: Sequence[int], end_token: int, listening: Sequence[Listening] = (),
    ) -> Tensor:  # fmt: skip
        """See `write`; `images` and `views` as `VisionGPT2.forward` takes them."""
        device = self.network.device
        processor = device.type == "cpu"
        images = images.to(device)
        if self.reduced or processor:
            images = images.to(memory_format=torch.channels_last)
        together = ENCODED_TOGETHER if processor else len(images)
        with torch.autocast(device.type, torch.bfloat16, enabled=self.reduced):
            encoded = torch.cat([self.network.enc(part) for part in images.split(together)])
        states, there = by_study(encoded, views.to(device))
        return write(self.decoder, states, there, given, settings, seeds, end_token, listening)
