"""METEOR 1.5 for English, `-l en -norm`, corpus aggregate (Denkowski and Lavie, WMT 2014).

Matches `pycocoevalcap.meteor`, which runs the same jar. The jar counts each pair; the score is computed here from the
summed counts, so that a resample is arithmetic and not another run of Java.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
from collections.abc import Sequence
from functools import cached_property
from typing import ClassVar

import numpy as np

from benchmark import contracts
from benchmark.contracts import Unavailable
from benchmark.metrics import _mean, _meteor_jar, _pairs

ALPHA, BETA, GAMMA, DELTA = 0.85, 0.20, 0.60, 0.75
"""METEOR 1.5's `rank` parameters for English: balance of recall, shape and weight of the fragmentation penalty, and
weight of content words."""
WEIGHTS = np.array([1.0, 0.6, 0.8, 0.6])
"""Of matches that are exact, by stem, by synonym and by paraphrase."""

ALIGNED = 2000
"""Words of a text that are aligned; the jar's time and memory grow with their square (30 minutes at 100,000). Later
words count as written and unmatched."""

LENGTH, FUNCTION = slice(0, 2), slice(2, 4)
MATCHES = slice(4, 20)
CHUNKS = 20
WORD_MATCHES = slice(21, 23)


class Metric(contracts.Metric):
    """Rows, shape (pairs, 23): the jar's statistics. Where two stand together, hypothesis comes before reference.

    words (2), function words (2), then for each of the four matchers content words matched (2) and function words
    matched (2), then chunks (1) and words matched (2). A pair that is matched whole in one chunk has 0 chunks, as the
    jar counts it when it aggregates. At level `mean`, the mean of each pair's own score instead: rows (score, 1).
    """

    KEYS: ClassVar[tuple[str, ...]] = ("meteor",)
    INPUT: ClassVar[str] = "tokens"

    def __init__(self, context: contracts.MetricContext, level: str = "corpus"):
        super().__init__(context)
        self.level = level

    @cached_property
    def _jar(self) -> _meteor_jar.MeteorJar:
        return _meteor_jar.shared()

    def warm_up(self) -> None:
        with contextlib.suppress(Unavailable):
            self._jar.start()

    @property
    def signature(self) -> str:
        version = importlib.metadata.version("pycocoevalcap")
        settings = f"version:1.5|language:en|norm:yes|task:rank|aligned:{ALIGNED}|level:{self.level}"
        return f"meteor|{settings}|impl:pycocoevalcap-{version}"

    def rows(self, hypotheses: Sequence[str], references: Sequence[str]) -> np.ndarray:
        """Raises Unavailable where Java or the jar is missing, or Java fails."""
        rows = _pairs.each_once(hypotheses, references, self._statistics)
        matched = rows[:, MATCHES].reshape(-1, 8, 2).sum(axis=1)
        whole = (matched == rows[:, LENGTH]).all(axis=1) & (rows[:, CHUNKS] == 1)
        rows[whole, CHUNKS] = 0
        return rows if self.level == "corpus" else _mean.rows(_meteor(rows))

    def _statistics(self, pairs: Sequence[_pairs.Pair]) -> np.ndarray:
        rows = self._jar.statistics(
            [(_first_words(one, ALIGNED), _first_words(other, ALIGNED)) for one, other in pairs]
        )
        beyond = [[max(0, text.count(" ") + 1 - ALIGNED) for text in pair] for pair in pairs]
        rows[:, LENGTH] += np.reshape(beyond, (-1, 2))
        return rows

    def aggregate(self, sums: np.ndarray) -> dict[str, np.ndarray]:
        return {"meteor": _meteor(sums) if self.level == "corpus" else _mean.mean(sums)}


def _meteor(sums: np.ndarray) -> np.ndarray:
    """METEOR 1.5's formula; 0 where nothing is matched."""
    matches = sums[..., MATCHES].reshape(*sums.shape[:-1], 4, 2, 2)
    content, function = matches[..., 0, :], matches[..., 1, :]
    weighted = DELTA * content + (1 - DELTA) * function
    matched = (WEIGHTS[:, None] * weighted).sum(axis=-2)
    length = DELTA * (sums[..., LENGTH] - sums[..., FUNCTION]) + (1 - DELTA) * sums[..., FUNCTION]
    precision, recall = np.moveaxis(_ratio(matched, length), -1, 0)
    # The weighted harmonic mean 1 / ((1 - alpha) / precision + alpha / recall), without its division by zero.
    mean = _ratio(precision * recall, (1 - ALPHA) * recall + ALPHA * precision)
    fragmentation = _ratio(sums[..., CHUNKS], sums[..., WORD_MATCHES].sum(axis=-1) / 2)
    return np.maximum(0.0, mean * (1 - GAMMA * fragmentation**BETA))


def _first_words(text: str, n: int) -> str:
    return " ".join(text.split(" ", n)[:n])


def _ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """The quotient, 0 where the denominator is."""
    return np.divide(numerator, denominator, out=np.zeros_like(numerator), where=denominator != 0)
