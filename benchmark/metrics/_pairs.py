"""Pairs that occur several times (a constant report, a normal one) are scored once."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

Pair = tuple[str, str]
"""Hypothesis and reference."""


def each_once(
    hypotheses: Sequence[str], references: Sequence[str], score: Callable[[Sequence[Pair]], np.ndarray]
) -> np.ndarray:
    """Rows of all pairs, in order, from a function that is given each distinct pair once and gives a row for each.

    The distinct pairs are sorted by reference, so that what is done with them in batches does not depend on the order
    of studies. Raises ValueError where the two sequences differ in length.
    """
    pairs = list(zip(hypotheses, references, strict=True))
    distinct = sorted(set(pairs), key=lambda pair: (pair[1], pair[0]))
    places = {pair: place for place, pair in enumerate(distinct)}
    return score(distinct)[np.array([places[pair] for pair in pairs], dtype=int)]
