"""What R2Gen's and R2GenCMN's networks share: a transformer from image patches to words."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn

from ._captioner import Captioner, CaptionerConfig
from ._transformer import Decoder, Encoder, WordEmbedding, init_xavier


class TransformerConfig(CaptionerConfig):
    """`layers`: of the encoder and of the decoder; `inner`: width within the feed-forward parts; `heads`: of each
    attention.
    """

    def __init__(self, layers: int = 3, inner: int = 512, heads: int = 8, **kwargs: Any):
        self.layers = layers
        self.inner = inner
        self.heads = heads
        super().__init__(**kwargs)


class TransformerCaptioner(Captioner):
    """The parts; how they go together is each paper's own. `norm` makes the norms within the decoder's layers."""

    def __init__(self, config: Any, norm: Callable[[], nn.Module]):
        super().__init__(config)
        width, shape = config.width, (config.layers, config.width, config.inner, config.heads, config.dropout)
        self.project = nn.Sequential(nn.Linear(self.channels, width), nn.ReLU(), nn.Dropout(config.feature_dropout))
        self.encoder = Encoder(*shape)
        self.decoder = Decoder(*shape, norm=norm)
        self.embed = WordEmbedding(config.vocab_size, width)
        self.dropout = nn.Dropout(config.dropout)
        self.logits = nn.Linear(width, config.vocab_size)
        self.add_word_loss(width)
        init_xavier(self.encoder, self.decoder, self.embed)
