"""Parts of the transformer that R2Gen and R2GenCMN build on: pre-norm layers with sinusoidal positions.

Both follow The Annotated Transformer (Rush 2018), whose layer norm divides by the unbiased deviation plus epsilon.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ._captioner import DecoderCache


class LayerNorm(nn.Module):
    """Scaled and shifted (x - mean) / (deviation + 1e-6) over the last axis."""

    def __init__(self, width: int):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(width))
        self.shift = nn.Parameter(torch.zeros(width))

    def forward(self, x: Tensor) -> Tensor:
        return self.scale * standardised(x) + self.shift


def standardised(x: Tensor) -> Tensor:
    deviation, mean = torch.std_mean(x, dim=-1, keepdim=True)
    return (x - mean) / (deviation + 1e-6)


class Attention(nn.Module):
    """Scaled dot-product attention with several heads, each a part of the width."""

    def __init__(self, width: int, heads: int, dropout: float):
        super().__init__()
        self.query, self.key, self.value, self.out = (nn.Linear(width, width) for _ in range(4))
        self.heads = heads
        self.dropout = dropout

    def read(self, states: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values (B, heads, positions, width / heads) of what is attended to."""
        return self.split(self.key(states)), self.split(self.value(states))

    def forward(
        self, x: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None = None, is_causal: bool = False
    ) -> Tensor:
        """(B, T, width) → the same; `mask`: True where there is something to attend to."""
        dropout = self.dropout if self.training else 0.0
        query = self.split(self.query(x))
        found = F.scaled_dot_product_attention(query, keys, values, mask, dropout, is_causal)
        return self.out(found.transpose(1, 2).flatten(2))

    def split(self, x: Tensor) -> Tensor:
        return x.unflatten(2, (self.heads, -1)).transpose(1, 2)


class FeedForward(nn.Sequential):
    def __init__(self, width: int, inner: int, dropout: float):
        super().__init__(nn.Linear(width, inner), nn.ReLU(), nn.Dropout(dropout), nn.Linear(inner, width))


class EncoderLayer(nn.Module):
    def __init__(self, width: int, inner: int, heads: int, dropout: float):
        super().__init__()
        self.attention = Attention(width, heads, dropout)
        self.feed_forward = FeedForward(width, inner, dropout)
        self.norms = nn.ModuleList(LayerNorm(width) for _ in range(2))
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        normed = self.norms[0](x)
        x = x + self.dropout(self.attention(normed, *self.attention.read(normed), mask))
        return x + self.dropout(self.feed_forward(self.norms[1](x)))


class Encoder(nn.Module):
    """(B, positions, width) → the same; `there` (B, positions): which positions are no padding."""

    def __init__(self, layers: int, width: int, inner: int, heads: int, dropout: float):
        super().__init__()
        self.layers = nn.ModuleList(EncoderLayer(width, inner, heads, dropout) for _ in range(layers))
        self.norm = LayerNorm(width)

    def forward(self, x: Tensor, there: Tensor | None) -> Tensor:
        for layer in self.layers:
            x = layer(x, attention_mask(there))
        return self.norm(x)


class DecoderLayer(nn.Module):
    """Self-attention, attention to the encoder's states, feed-forward; each behind a norm that `given` may steer."""

    def __init__(self, width: int, inner: int, heads: int, dropout: float, norm: Callable[[], nn.Module]):
        super().__init__()
        self.attention = Attention(width, heads, dropout)
        self.cross_attention = Attention(width, heads, dropout)
        self.feed_forward = FeedForward(width, inner, dropout)
        self.norms = nn.ModuleList(norm() for _ in range(3))
        self.dropout = nn.Dropout(dropout)

    def forward(
        self, x: Tensor, states: Tensor, mask: Tensor | None, at: int, cache: DecoderCache | None, *given: Tensor
    ) -> Tensor:
        """`at`: the layer's number, under which `cache` keeps its keys and values."""
        normed = self.norms[0](x, *given)
        keys, values = self.attention.read(normed)
        if cache is not None:
            keys, values = cache.update(keys, values, at)
        # Without a cache, or at its first words, all words come at once; afterwards there is one that sees all.
        attended = self.attention(normed, keys, values, is_causal=x.shape[1] > 1)
        x = x + self.dropout(attended)
        normed = self.norms[1](x, *given)
        read = self.cross_attention.read
        keys, values = read(states) if cache is None else cache.kept(f"cross {at}", lambda: read(states))
        x = x + self.dropout(self.cross_attention(normed, keys, values, mask))
        return x + self.dropout(self.feed_forward(self.norms[2](x, *given)))


class Decoder(nn.Module):
    def __init__(self, layers: int, width: int, inner: int, heads: int, dropout: float, norm: Callable[[], nn.Module]):
        super().__init__()
        self.layers = nn.ModuleList(DecoderLayer(width, inner, heads, dropout, norm) for _ in range(layers))
        self.norm = LayerNorm(width)

    def forward(
        self, x: Tensor, states: Tensor, there: Tensor | None, cache: DecoderCache | None, *given: Tensor
    ) -> Tensor:
        mask = attention_mask(there)
        for at, layer in enumerate(self.layers):
            x = layer(x, states, mask, at, cache, *given)
        return self.norm(x)


def attention_mask(there: Tensor | None) -> Tensor | None:
    return None if there is None else there[:, None, None, :]


class WordEmbedding(nn.Module):
    """Token ids (B, T) to (B, T, width), with their positions from `begin` on."""

    def __init__(self, vocabulary: int, width: int):
        super().__init__()
        self.words = nn.Embedding(vocabulary, width)

    def forward(self, ids: Tensor, begin: int) -> Tensor:
        width = self.words.embedding_dim
        return self.words(ids) * math.sqrt(width) + sinusoids(begin + ids.shape[1], width, ids.device)[begin:]


@functools.lru_cache(maxsize=4096)
def sinusoids(length: int, width: int, device: torch.device) -> Tensor:
    """Vaswani et al. 2017: (length, width), sines in the even channels, cosines in the odd."""
    angles = torch.arange(length).unsqueeze(1) * torch.exp(torch.arange(0, width, 2) * (-math.log(10_000.0) / width))
    return torch.stack([angles.sin(), angles.cos()], dim=2).flatten(1)[:, :width].to(device)


def init_xavier(*modules: nn.Module) -> None:
    """Every weight matrix of the modules as both papers' transformers have it; biases as torch has them."""
    for module in modules:
        for parameter in module.parameters():
            if parameter.dim() > 1:
                nn.init.xavier_uniform_(parameter)
