"""GPT-2 over texts laid end to end: no layer works on padding, which is a third of most batches.

Attention alone sees the texts apart. A mask (B, 1, T, S) tells it how they lie: row t of text b is there if it reads
any of the S keys, and the texts' rows that are there stand one after the other in the one row of the input.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask
from transformers.models.gpt2 import modeling_gpt2

NAME = "end_to_end"
POSSIBLE = hasattr(modeling_gpt2, "create_bidirectional_mask")
"""Whether this transformers hands GPT-2's cross-attention such a mask as it is; its first versions of 5 refuse it."""


def lay(gpt2: Any) -> None:
    """Have GPT-2 read texts so while it is trained on a processor, where this was measured."""
    if POSSIBLE:
        gpt2.set_attn_implementation(NAME)


def laid(gpt2: Any) -> bool:
    return bool(gpt2.config._attn_implementation == NAME)


def hidden_states(transformer: Any, input_ids: Tensor, needed: Tensor, states: Tensor, there: Tensor | None) -> Tensor:
    """What a GPT-2 that `laid` says reads so makes of the tokens that are needed: (tokens, width).

    `input_ids` and `needed` (B, T): each text's tokens up to the last that is needed. `states` (B, positions, width)
    and `there` (B, positions): what it reads by cross-attention, None where all are there.
    """
    n, length = input_ids.shape
    rows = needed[:, None, :, None]
    before = torch.ones(length, length, dtype=torch.bool, device=rows.device).tril()
    read = torch.ones(n, states.shape[1], dtype=torch.bool, device=rows.device) if there is None else there
    output = transformer(
        input_ids=input_ids[needed].unsqueeze(0),
        position_ids=torch.arange(length, device=rows.device).expand(n, -1)[needed].unsqueeze(0),
        attention_mask=rows & before,
        encoder_hidden_states=states,
        encoder_attention_mask=rows & read[:, None, None],
        use_cache=False,
    )
    hidden: Tensor = output.last_hidden_state[0]
    return hidden


def _attend(
    module: Any, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, **given: Any
) -> tuple[Tensor, None]:
    """Query, key and value (1, heads, tokens, width) laid end to end; key and value may also be (B, heads, S, width).

    Where the mask has one text or there is none, all is as in transformers' `sdpa`.
    """
    if attention_mask is None or len(attention_mask) == len(query):
        return sdpa_attention_forward(module, query, key, value, attention_mask, **given)
    there = attention_mask[:, 0].any(dim=-1)
    keys, values = (_apart(each, there) if len(each) == 1 else each for each in (key, value))
    # Rows of padding read everything: a row that reads nothing would be no number, also in the gradients.
    reads = attention_mask | ~there[:, None, :, None]
    read = _read(_apart(query, there), keys, values, reads, given["scaling"], given["dropout"])
    return read.transpose(1, 2)[there].unsqueeze(0), None


def _apart(rows: Tensor, there: Tensor) -> Tensor:
    """(1, heads, tokens, width) → (B, heads, T, width)."""
    apart = rows.new_zeros(*there.shape, rows.shape[1], rows.shape[3])
    apart[there] = rows[0].transpose(0, 1)
    return apart.transpose(1, 2)


def _read(query: Tensor, key: Tensor, value: Tensor, reads: Tensor, scale: float, dropout: float) -> Tensor:
    if not dropout:
        return F.scaled_dot_product_attention(query, key, value, reads, scale=scale)
    weights = (query * scale @ key.transpose(-1, -2)).float().masked_fill(~reads, float("-inf")).softmax(dim=-1)
    return _dropped(weights, dropout) @ value


def _dropped(weights: Tensor, share: float) -> Tensor:
    """As torch's dropout, whose random numbers took a tenth of a step: 16 random bits decide about each weight."""
    bits = torch.empty(weights.numel() // 4 + 1, dtype=torch.int64).random_(-(2**63), None)
    kept = bits.view(torch.int16)[: weights.numel()].view(weights.shape) >= round(share * 2**16) - 2**15
    return weights * kept / (1 - share)


AttentionInterface.register(NAME, _attend)
AttentionMaskInterface.register(NAME, sdpa_mask)
