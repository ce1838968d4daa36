"""BERTScore: words matched by the similarity of their embeddings (Zhang et al., ICLR 2020), without idf.

Matches `bert_score.score` of the package bert-score with the same encoder, layer and rescaling.
"""

from __future__ import annotations

import importlib.metadata
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from benchmark import contracts
from benchmark.metrics import _encoder, _mean

BATCH = 32
"""Texts or pairs computed together; the fastest of 16, 32 and 64 on a CPU."""
BLOCK = 1000
"""Pairs whose embeddings are held in memory at a time."""


class Metric(contracts.Metric):
    """Rows, shape (pairs, 4): F1, precision, recall, 1. An empty hypothesis scores 0.

    The encoder is `encoder`, a hub id whose folder `context.extra["folders"]` may name, else `context.encoder` (a
    folder or a hub id), else the MiniLM of an installed package. Its layer is `layer`, else
    `context.extra["bertscore_layer"]`, else the one that bert-score recommends for that hub id, else the last.
    `rescale` makes bert-score's English baseline 0; an empty hypothesis stays at 0.
    """

    KEYS: ClassVar[tuple[str, ...]] = ("bertscore_f1", "bertscore_p", "bertscore_r")
    INPUT: ClassVar[str] = "text"

    def __init__(
        self,
        context: contracts.MetricContext,
        encoder: str = "",
        layer: int = 0,
        rescale: bool = False,
    ):
        super().__init__(context)
        self._encoder_id = encoder
        self._layer = layer
        self._rescale = rescale

    @cached_property
    def encoder(self) -> _encoder.Encoder:
        """Raises Unavailable where there is none."""
        if self._encoder_id:
            return _encoder.named(self._encoder_id, self.context.extra.get("folders", {}))
        return _encoder.find(self.context.encoder)

    @cached_property
    def layer(self) -> int:
        """The hidden layer whose output is compared, counted from 1."""
        given = self._layer or self.context.extra.get("bertscore_layer")
        return int(given) if given else self.encoder.default_layer()

    @cached_property
    def baseline(self) -> np.ndarray:
        """F1, precision and recall of unrelated sentences, which become 0; zeros without rescaling.

        Raises Unavailable where bert-score has none for the encoder and layer.
        """
        return _encoder.baseline(self.encoder.name, self.layer) if self._rescale else np.zeros(3)

    @property
    def signature(self) -> str:
        """Raises Unavailable where there is no encoder."""
        version = importlib.metadata.version("bert-score")
        encoder = f"encoder:{self.encoder.name}|sha256:{self.encoder.sha256[:12]}|layer:{self.layer}"
        rescale = "en" if self._rescale else "no"
        return f"bertscore|{encoder}|idf:no|rescale:{rescale}|level:mean|impl:bert-score-{version}"

    def rows(self, hypotheses: Sequence[str], references: Sequence[str]) -> np.ndarray:
        """Raises Unavailable where there is no encoder or it cannot be loaded."""
        # bert-score 0.3.13 cannot tokenize an empty text with transformers 5.
        pairs = [(h, r) if h.strip() and r.strip() else None for h, r in zip(hypotheses, references, strict=True)]
        # Sorted, so that batches and with them the last digits do not depend on the order given.
        distinct = sorted({pair for pair in pairs if pair})
        scores: dict[tuple[str, str] | None, np.ndarray] = {None: np.zeros(3)}
        baseline = self.baseline
        for start in range(0, len(distinct), BLOCK):
            block = distinct[start : start + BLOCK]
            embedded = self._embed({text for pair in block for text in pair})
            for first in range(0, len(block), BATCH):
                batch = block[first : first + BATCH]
                rescaled = (self._match(batch, embedded) - baseline) / (1 - baseline)
                scores.update(zip(batch, rescaled, strict=True))
        rows = np.ones((len(pairs), 4))
        for row, pair in zip(rows, pairs, strict=True):
            row[:3] = scores[pair]
        return rows

    def aggregate(self, sums: np.ndarray) -> dict[str, np.ndarray]:
        return {key: _mean.mean(sums, column) for column, key in enumerate(self.KEYS)}

    def _embed(self, texts: Iterable[str]) -> dict[str, tuple[Any, Any]]:
        """By text: embeddings of its tokens, shape (tokens, width), and their weights, shape (tokens,)."""
        from bert_score.utils import get_bert_embedding, sent_encode

        model, tokenizer = self._loaded
        weights: defaultdict[int, float] = defaultdict(lambda: 1.0)
        weights[tokenizer.cls_token_id] = weights[tokenizer.sep_token_id] = 0.0  # These stand in every text.
        # Texts of one length together, so that little is padded.
        ordered = sorted(texts, key=lambda text: (len(sent_encode(tokenizer, text)), text))
        embedded = {}
        for start in range(0, len(ordered), BATCH):
            batch = ordered[start : start + BATCH]
            found = get_bert_embedding(batch, model, tokenizer, weights, device=self.context.device)
            for text, embedding, mask, weight in zip(batch, *found, strict=True):
                length = int(mask.sum())
                embedded[text] = embedding[:length].cpu(), weight[:length]
        return embedded

    def _match(self, pairs: Sequence[tuple[str, str]], embedded: Mapping[str, tuple[Any, Any]]) -> np.ndarray:
        """F1, precision and recall of pairs (hypothesis, reference), shape (pairs, 3)."""
        import torch
        from bert_score.utils import greedy_cos_idf
        from torch.nn.utils.rnn import pad_sequence

        def padded(texts: list[str]) -> tuple[Any, Any, Any]:
            embeddings, weights = map(list, zip(*(embedded[text] for text in texts), strict=True))
            masks = [torch.ones(len(weight), dtype=torch.long) for weight in weights]
            # Padding is masked; like bert-score's own it is 2, not 0, so that its norm is none.
            return (
                pad_sequence(embeddings, batch_first=True, padding_value=2.0).to(self.context.device),
                pad_sequence(masks, batch_first=True).to(self.context.device),
                pad_sequence(weights, batch_first=True),
            )

        hypotheses, references = map(list, zip(*pairs, strict=True))
        precision, recall, f1 = greedy_cos_idf(*padded(references), *padded(hypotheses))
        scores = torch.stack([f1, precision, recall], dim=-1).double().cpu().numpy()
        # 0 / 0 of a text in which the encoder's tokenizer finds no word.
        return np.nan_to_num(scores, nan=0.0)

    @cached_property
    def _loaded(self) -> tuple[Any, Any]:
        return self.encoder.load(self.layer, self.context.device)
