"""RadCliQ v0 and v1: how many errors a radiologist would find; lower is better (Yu et al., Patterns 2023).

The formula stands in `_radcliq`; RadGraph 1, BERTScore, SembScore and BLEU-2 are computed here as CXR-Report-Metric has
them. Reported raw: `1 / mean`, which some print, is not monotone. Needs `bench fetch chexbert radgraph
distilroberta-base`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cached_property
from typing import ClassVar

import numpy as np

from benchmark import contracts
from benchmark.metrics import _mean, bertscore, radgraph, semb_score, sentence_bleu
from benchmark.metrics._radcliq import radcliq


class Metric(contracts.Metric):
    """Rows, shape (pairs, 3): v0, v1, 1. All components of an empty text are 0."""

    KEYS: ClassVar[tuple[str, ...]] = ("radcliq_v0", "radcliq_v1")
    INPUT: ClassVar[str] = "text"
    HIGHER_IS_BETTER: ClassVar[bool] = False
    IN_DEFAULT: ClassVar[bool] = False
    FETCH: ClassVar[tuple[str, ...]] = ("chexbert", "radgraph", "distilroberta-base")

    @cached_property
    def components(self) -> tuple[contracts.Metric, ...]:
        """In the formula's order."""
        return (
            radgraph.Metric(self.context, model="radgraph"),
            bertscore.Metric(self.context, encoder="distilroberta-base", layer=5, rescale=True),
            semb_score.Metric(self.context),
            sentence_bleu.Metric(self.context),
        )

    @property
    def signature(self) -> str:
        """Raises Unavailable where a component is not here."""
        parts = [component.signature for component in self.components]
        made = [f"{part.partition('|')[0]}:{hashlib.sha256(part.encode()).hexdigest()[:12]}" for part in parts]
        return f"radcliq|versions:v0,v1|{'|'.join(made)}|level:mean"

    def rows(self, hypotheses: Sequence[str], references: Sequence[str]) -> np.ndarray:
        graphs, encoded, vectors, bleu = self.components
        spaced = [[_spaced(text) for text in texts] for texts in (hypotheses, references)]
        scores = (
            graphs.rows(hypotheses, references)[:, graphs.KEYS.index("radgraph")],
            encoded.rows(hypotheses, references)[:, encoded.KEYS.index("bertscore_f1")],
            vectors.rows(hypotheses, references)[:, 0],
            bleu.rows(*spaced)[:, 0],
        )
        ones = np.ones(len(hypotheses))
        return np.column_stack([radcliq(*scores, version="v0"), radcliq(*scores, version="v1"), ones])

    def aggregate(self, sums: np.ndarray) -> dict[str, np.ndarray]:
        return {key: _mean.mean(sums, column) for column, key in enumerate(self.KEYS)}


def _spaced(text: str) -> str:
    """The text as CXR-Report-Metric gives it to BLEU."""
    return text.lower().replace(".", " .")
