"""CIDEr: n-grams weighed by how rare they are among the references (Vedantam et al., CVPR 2015).

Matches `pycocoevalcap.cider` (n = 1 to 4, sigma = 6, times 10), mean over studies. Its own scorer weighs the references
anew for every system.
"""

from __future__ import annotations

import importlib.metadata
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from benchmark import contracts
from benchmark.metrics import _mean

ORDER = 4
SIGMA = 6.0

NGram = tuple[str, ...]


class Metric(contracts.Metric):
    """Rows, shape (pairs, 2): CIDEr of the pair, 1.

    Document frequencies are those of all references given, and rows keep them in slices and resamples. So a corpus of
    one pair scores 0: no n-gram is rarer than another.
    """

    KEYS: ClassVar[tuple[str, ...]] = ("cider",)
    INPUT: ClassVar[str] = "tokens"

    def __init__(self, context: contracts.MetricContext):
        super().__init__(context)
        self._last: tuple[tuple[str, ...], _Corpus] | None = None

    @property
    def signature(self) -> str:
        version = importlib.metadata.version("pycocoevalcap")
        return f"cider|order:{ORDER}|sigma:{SIGMA:g}|df:references|level:mean|impl:pycocoevalcap-{version}"

    def rows(self, hypotheses: Sequence[str], references: Sequence[str]) -> np.ndarray:
        expected = self._expected(tuple(references))
        pairs = zip(hypotheses, expected.vectors, strict=True)
        return _mean.rows([_likeness(expected.weighted(text), vector) for text, vector in pairs])

    def aggregate(self, sums: np.ndarray) -> dict[str, np.ndarray]:
        return {"cider": _mean.mean(sums)}

    def _expected(self, references: tuple[str, ...]) -> _Corpus:
        """Those of the last call are kept, because models are scored against the same references."""
        if self._last is None or self._last[0] != references:
            self._last = references, _Corpus(references)
        return self._last[1]


@dataclass(frozen=True)
class _Vector:
    """A text's n-grams, weighed."""

    weights: Sequence[Mapping[NGram, float]]
    """By order of n-gram."""
    norms: Sequence[float]
    bigrams: int
    """How many there are: pycocoevalcap's length of a text."""


class _Corpus:
    """References and how rare n-grams are among them."""

    def __init__(self, references: Sequence[str]):
        counted = [_count(reference) for reference in references]
        frequencies = Counter(ngram for counts in counted for ngram in counts)
        self._unseen = math.log(len(references)) if references else 0.0
        self._rarity = {ngram: self._unseen - math.log(n) for ngram, n in frequencies.items()}
        self.vectors = [self._weigh(counts) for counts in counted]

    def weighted(self, text: str) -> _Vector:
        return self._weigh(_count(text))

    def _weigh(self, counts: Mapping[NGram, int]) -> _Vector:
        weights: list[dict[NGram, float]] = [{} for _ in range(ORDER)]
        bigrams = 0
        for ngram, count in counts.items():
            weights[len(ngram) - 1][ngram] = count * self._rarity.get(ngram, self._unseen)
            if len(ngram) == 2:
                bigrams += count
        return _Vector(weights, [math.hypot(*each.values()) for each in weights], bigrams)


def _count(text: str) -> Mapping[NGram, int]:
    from pycocoevalcap.cider.cider_scorer import precook

    counts: Mapping[NGram, int] = precook(text, ORDER)
    return counts


def _likeness(hypothesis: _Vector, reference: _Vector) -> float:
    """Ten times the mean over orders of the clipped cosine, less where the lengths differ."""
    cosines = 0.0
    for written, expected, *norms in zip(
        hypothesis.weights, reference.weights, hypothesis.norms, reference.norms, strict=True
    ):
        if all(norms):
            shared = (ngram for ngram in written if ngram in expected)
            product = sum(min(written[ngram], expected[ngram]) * expected[ngram] for ngram in shared)
            cosines += product / math.prod(norms)
    difference = hypothesis.bigrams - reference.bigrams
    return 10 * cosines / ORDER * math.exp(-(difference**2) / (2 * SIGMA**2))
