"""Show, Attend and Tell's network (Xu et al., ICML 2015): an LSTM that looks at the feature map with soft attention."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from benchmark.errors import UserError

from ._captioner import Captioner, CaptionerConfig, Decoded, DecoderCache
from ._vision_gpt2 import IGNORED, by_study


class ShowAttendTellConfig(CaptionerConfig):
    """`width`: of the LSTM; `word_width`: of the embedded words; `attention_width`: of the layer that weighs positions;
    `level`: which of the encoder's intermediate feature maps is read, -1 the last; `doubly_stochastic`: weight of the
    penalty for positions that were looked at more or less than once in all.
    """

    model_type = "show-attend-tell"

    def __init__(
        self, word_width: int = 512, attention_width: int = 512, level: int = -1, doubly_stochastic: float = 1.0,
        **kwargs: Any,
    ):  # fmt: skip
        self.word_width = word_width
        self.attention_width = attention_width
        self.level = level
        self.doubly_stochastic = doubly_stochastic
        super().__init__(**kwargs)


class ShowAttendTell(Captioner):
    config_class = ShowAttendTellConfig

    def __init__(self, config: ShowAttendTellConfig):
        super().__init__(config)
        if config.level >= 0:
            last = len(self.backbone.feature_info) - 1
            if config.level > last:
                raise UserError(f"level is {config.level}, and {config.encoder} has maps 0 to {last}; -1 is the last.")
            self.backbone.prune_intermediate_layers([config.level], prune_head=True)
        width, channels, words = config.width, self.channels, config.word_width
        self.embed = nn.Embedding(config.vocab_size, words)
        self.first_hidden, self.first_cell = (nn.Linear(channels, width) for _ in range(2))
        self.look_at = nn.Linear(channels, config.attention_width)
        self.look_from = nn.Linear(width, config.attention_width, bias=False)
        self.look = nn.Linear(config.attention_width, 1, bias=False)
        self.gate = nn.Linear(width, 1)
        self.lstm = nn.LSTMCell(words + channels, width)
        self.say_hidden = nn.Linear(width, words)
        self.say_seen = nn.Linear(channels, words)
        self.logits = nn.Linear(words, config.vocab_size)
        self.dropout = nn.Dropout(config.dropout)
        self.add_word_loss(channels)
        self.post_init()

    @property
    def channels(self) -> int:
        return self.backbone.feature_info[self.config.level]["num_chs"] if self.config.level >= 0 else super().channels

    def encode(self, pixel_values: Tensor, views: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """The paper's annotation vectors: the feature map's positions as they are."""
        return by_study(self.features(pixel_values), views)

    def begin(self, states: Tensor, there: Tensor | None) -> tuple[Tensor, Tensor]:
        """The LSTM's hidden and cell state (B, width) before the first word, from the mean of the positions."""
        mean = states.mean(dim=1) if there is None else states.sum(dim=1) / there.sum(dim=1, keepdim=True)
        return self.first_hidden(mean).tanh(), self.first_cell(mean).tanh()

    def attend(self, states: Tensor, offered: Tensor, there: Tensor | None, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """What is seen from a hidden state (B, channels), and the weights of the positions (B, positions).

        `offered`: the positions as `look_at` maps them.
        """
        scores = self.look((offered + self.look_from(hidden).unsqueeze(1)).tanh()).squeeze(2)
        if there is not None:
            scores = scores.masked_fill(~there, float("-inf"))
        weights = scores.softmax(dim=1)
        seen = (weights.unsqueeze(1) @ states).squeeze(1)
        return self.gate(hidden).sigmoid() * seen, weights

    def decode(self, states: Tensor, there: Tensor | None, input_ids: Tensor, cache: DecoderCache | None) -> Decoded:
        words = self.dropout(self.embed(input_ids))
        offered = self.look_at(states) if cache is None else cache.kept("offered", lambda: self.look_at(states))
        if cache is not None and cache.length:
            hidden, cell = cache.state["hidden"], cache.state["cell"]
        else:
            hidden, cell = self.begin(states, there)
        hiddens, views, looks = [], [], []
        for t in range(input_ids.shape[1]):
            seen, weights = self.attend(states, offered, there, hidden)
            hidden, cell = self.lstm(torch.cat([words[:, t], seen], dim=1), (hidden, cell))
            hiddens.append(hidden)
            views.append(seen)
            looks.append(weights)
        if cache is not None:
            cache.state.update(hidden=hidden, cell=cell)
        said = words + self.say_hidden(self.dropout(torch.stack(hiddens, dim=1))) + self.say_seen(torch.stack(views, 1))
        return Decoded(self.logits(self.dropout(said.tanh())), torch.stack(looks, dim=1))

    def penalty(self, decoded: Decoded, labels: Tensor, there: Tensor | None) -> Tensor | None:
        """λ Σ_i (1 - Σ_t α_ti)² over the positions, for each text (equation 14 of the paper)."""
        if not self.config.doubly_stochastic:
            return None
        assert decoded.attention is not None
        # The weights at t go to the word at t + 1; those behind the last word count for nothing.
        words = labels[:, 1:].ne(IGNORED).float()
        looked = (decoded.attention[:, :-1] * words.unsqueeze(2)).sum(dim=1)
        missed = (1 - looked).square()
        return self.config.doubly_stochastic * (missed if there is None else missed * there).sum(dim=1)
