"""BERTScore: words matched by the similarity of their embeddings (Zhang et al., ICLR 2020); idf and rescaling off.

Matches `bert_score.score` of the package bert-score with the same encoder and layer.
"""

from __future__ import annotations

import importlib.metadata
from collections import defaultdict
from collections.abc import Sequence
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from benchmark import contracts
from benchmark.metrics import _encoder, _mean

BATCH = 32
"""Pairs encoded together; the fastest of 16, 32 and 64 on a CPU."""


class Metric(contracts.Metric):
    """Rows, shape (pairs, 4): F1, precision, recall, 1. An empty hypothesis scores 0.

    The encoder is `context.encoder` (a folder or a hub id), else the MiniLM of an installed package. Its layer is
    `context.extra["bertscore_layer"]`, else the one that bert-score recommends for that hub id, else the last.
    """

    KEYS: ClassVar[tuple[str, ...]] = ("bertscore_f1", "bertscore_p", "bertscore_r")
    INPUT: ClassVar[str] = "text"

    @cached_property
    def encoder(self) -> _encoder.Encoder:
        """Raises Unavailable where there is none."""
        return _encoder.find(self.context.encoder)

    @cached_property
    def layer(self) -> int:
        """The hidden layer whose output is compared, counted from 1."""
        given = self.context.extra.get("bertscore_layer")
        return int(given) if given else self.encoder.default_layer()

    @property
    def signature(self) -> str:
        """Raises Unavailable where there is no encoder."""
        version = importlib.metadata.version("bert-score")
        encoder = f"encoder:{self.encoder.name}|sha256:{self.encoder.sha256[:12]}|layer:{self.layer}"
        return f"bertscore|{encoder}|idf:no|rescale:no|level:mean|impl:bert-score-{version}"

    def rows(self, hypotheses: Sequence[str], references: Sequence[str]) -> np.ndarray:
        """Raises Unavailable where there is no encoder or it cannot be loaded."""
        # bert-score 0.3.13 cannot tokenize an empty text with transformers 5.
        pairs = [(h, r) if h.strip() and r.strip() else None for h, r in zip(hypotheses, references, strict=True)]
        # By length, so that little is padded; then by text, so that batches and values do not depend on the order given.
        distinct = sorted({pair for pair in pairs if pair}, key=lambda pair: (len(pair[0]) + len(pair[1]), pair))
        scores: dict[tuple[str, str] | None, np.ndarray] = {None: np.zeros(3)}
        for start in range(0, len(distinct), BATCH):
            batch = distinct[start : start + BATCH]
            scores.update(zip(batch, self._score(batch), strict=True))
        rows = np.ones((len(pairs), 4))
        for row, pair in zip(rows, pairs, strict=True):
            row[:3] = scores[pair]
        return rows

    def aggregate(self, sums: np.ndarray) -> dict[str, np.ndarray]:
        return {key: _mean.mean(sums, column) for column, key in enumerate(self.KEYS)}

    def _score(self, pairs: Sequence[tuple[str, str]]) -> np.ndarray:
        """F1, precision and recall of pairs (hypothesis, reference), shape (pairs, 3)."""
        import torch
        from bert_score.utils import get_bert_embedding, greedy_cos_idf

        model, tokenizer = self._loaded
        idf: defaultdict[int, float] = defaultdict(lambda: 1.0)
        idf[tokenizer.cls_token_id] = idf[tokenizer.sep_token_id] = 0.0  # These stand in every text.

        def embed(texts: list[str]) -> Any:
            return get_bert_embedding(texts, model, tokenizer, idf, device=self.context.device)

        hypotheses, hypothesis_mask, hypothesis_idf = embed([hypothesis for hypothesis, _ in pairs])
        references, reference_mask, reference_idf = embed([reference for _, reference in pairs])
        precision, recall, f1 = greedy_cos_idf(
            references, reference_mask, reference_idf, hypotheses, hypothesis_mask, hypothesis_idf
        )
        scores = torch.stack([f1, precision, recall], dim=-1).double().cpu().numpy()
        # 0 / 0 of a text in which the encoder's tokenizer finds no word.
        return np.nan_to_num(scores, nan=0.0)

    @cached_property
    def _loaded(self) -> tuple[Any, Any]:
        return self.encoder.load(self.layer, self.context.device)
