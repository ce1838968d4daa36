"""BERTScore: words matched by the similarity of their embeddings (Zhang et al., ICLR 2020), without idf.

Matches `bert_score.score` of the package bert-score with the same encoder, layer and rescaling.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from benchmark import contracts
from benchmark.errors import UserError
from benchmark.metrics import _embeddings, _encoder, _mean, _pairs

PRECISIONS = ("fp32", "bf16")
"""In which texts are encoded; they are compared in fp32."""
BATCH = 32
"""Pairs compared together."""
BLOCK = 1000
"""Pairs whose embeddings are held in memory at a time."""


class Metric(contracts.Metric):
    """Rows, shape (pairs, 4): F1, precision, recall, 1. An empty hypothesis scores 0.

    The encoder is `encoder`, a hub id whose folder `context.extra["folders"]` may name, else `context.encoder` (a
    folder or a hub id), else the MiniLM of an installed package. Its layer is `layer`, else
    `context.extra["bertscore_layer"]`, else the one that bert-score recommends for that hub id, else the last.
    `context.extra["bertscore_precision"]` is one of PRECISIONS; with `bf16` a processor that has instructions for it
    encodes sooner, and means move by less than 2e-4. `rescale` makes bert-score's English baseline 0; an empty
    hypothesis stays at 0.
    """

    KEYS: ClassVar[tuple[str, ...]] = ("bertscore_f1", "bertscore_p", "bertscore_r")
    INPUT: ClassVar[str] = "text"
    PARALLEL: ClassVar[bool] = True

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
        self.precision = context.extra.get("bertscore_precision", PRECISIONS[0])
        if self.precision not in PRECISIONS:
            raise UserError(f"BERTScore's precision is {' or '.join(PRECISIONS)}, not '{self.precision}'.")

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
        if self.precision != PRECISIONS[0]:
            encoder += f"|precision:{self.precision}"
        rescale = "en" if self._rescale else "no"
        return f"bertscore|{encoder}|idf:no|rescale:{rescale}|level:mean|impl:bert-score-{version}"

    def rows(self, hypotheses: Sequence[str], references: Sequence[str]) -> np.ndarray:
        """Raises Unavailable where there is no encoder or it cannot be loaded."""
        scores = _pairs.each_once(hypotheses, references, self._score)
        return np.column_stack([scores, np.ones(len(scores))])

    def aggregate(self, sums: np.ndarray) -> dict[str, np.ndarray]:
        return {key: _mean.mean(sums, column) for column, key in enumerate(self.KEYS)}

    def _score(self, pairs: Sequence[_pairs.Pair]) -> np.ndarray:
        """F1, precision and recall of pairs, shape (pairs, 3); 0 where a text is empty."""
        scores, baseline = np.zeros((len(pairs), 3)), self.baseline
        # bert-score 0.3.13 cannot tokenize an empty text with transformers 5.
        filled = [i for i, (hypothesis, reference) in enumerate(pairs) if hypothesis.strip() and reference.strip()]
        for start in range(0, len(filled), BLOCK):
            block = filled[start : start + BLOCK]
            expected = {pairs[i][1] for i in block}
            embedded = self._embedder.references(expected)
            embedded |= self._embedder.embed({pairs[i][0] for i in block} - expected)
            for first in range(0, len(block), BATCH):
                batch = block[first : first + BATCH]
                scores[batch] = (self._match([pairs[i] for i in batch], embedded) - baseline) / (1 - baseline)
        return scores

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
    def _embedder(self) -> _embeddings.Embedder:
        return _embeddings.shared(self.encoder, self.layer, self.context.device, self.precision)
