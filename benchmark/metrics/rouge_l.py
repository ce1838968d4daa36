"""ROUGE-L F1 of the package rouge-score, words stemmed (Lin, 2004).

Matches `rouge_score.rouge_scorer.RougeScorer(["rougeL"], use_stemmer=True)`, mean over studies. Its tokenizer keeps
`a-z0-9` only, so text in another script scores 0. Tokenizer and F1 are the package's own; the longest common
subsequence is rapidfuzz's, which counts it bit-parallel (Hyyrö, 2004).
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Sequence
from functools import lru_cache
from typing import ClassVar

import numpy as np

from benchmark import contracts
from benchmark.metrics import _mean, _pairs


class Metric(contracts.Metric):
    """Rows, shape (pairs, 2): F1, 1."""

    KEYS: ClassVar[tuple[str, ...]] = ("rouge_l",)
    INPUT: ClassVar[str] = "text"

    @property
    def signature(self) -> str:
        version = importlib.metadata.version("rouge-score")
        return f"rouge_l|measure:f1|stem:porter|tok:rouge-score|level:mean|impl:rouge-score-{version}"

    def rows(self, hypotheses: Sequence[str], references: Sequence[str]) -> np.ndarray:
        from rapidfuzz.distance import LCSseq
        from rouge_score.scoring import fmeasure
        from rouge_score.tokenize import tokenize

        stemmer = _Stemmer()
        words = {text: tokenize(text, stemmer) for text in {*hypotheses, *references}}

        def score(pair: _pairs.Pair) -> float:
            written, expected = words[pair[0]], words[pair[1]]
            if not written or not expected:
                return 0.0
            common = LCSseq.similarity(written, expected)
            return float(fmeasure(common / len(written), common / len(expected)))

        return _pairs.each_once(hypotheses, references, lambda pairs: _mean.rows(map(score, pairs)))

    def aggregate(self, sums: np.ndarray) -> dict[str, np.ndarray]:
        return {"rouge_l": _mean.mean(sums)}


class _Stemmer:
    """rouge-score's stemmer, which stems each word once."""

    def __init__(self) -> None:
        from nltk.stem.porter import PorterStemmer

        self.stem = lru_cache(maxsize=100_000)(PorterStemmer().stem)
