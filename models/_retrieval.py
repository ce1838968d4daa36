"""Nearest neighbours among feature vectors, and the report that stands best for several."""

from __future__ import annotations

import importlib.util
import math
import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmark.errors import UserError, unknown

DISTANCES = ("cosine", "euclidean")
SEARCHES = ("auto", "plain", "faiss")
LARGE = 2_000_000
"""Reports from which `auto` takes faiss, where it is installed. With the 220,000 of MIMIC-CXR it does not pay: on two
cores a product over 1,024 features took .53 s for 16 studies and faiss' lists .17 s, after 23 s of building them."""
PROBED = 8
"""faiss looks into one in so many of its lists."""
_WORD = re.compile(r"\w+")


def choose_search(name: str, n: int) -> str:
    """`plain` or `faiss`. Raises UserError for another name, or where faiss is asked for and not installed."""
    if name not in SEARCHES:
        raise unknown("search", name, SEARCHES)
    there = importlib.util.find_spec("faiss") is not None
    if name == "faiss" and not there:
        raise UserError("faiss is not installed: pip install 'cxr-report-bench[faiss]', or --set search=plain.")
    return ("faiss" if there and n >= LARGE else "plain") if name == "auto" else name


class Index:
    """Search in features (n, width), float32. `plain` is exact, and takes the first of equally near ones first; `faiss`
    divides the features into lists (inverted file) and looks into those that are nearest, so that it can miss some, and
    takes any of equally near ones.
    """

    def __init__(self, features: np.ndarray, distance: str, search: str):
        if distance not in DISTANCES:
            raise unknown("distance", distance, DISTANCES)
        self.cosine = distance == "cosine"
        self.features = _normed(features) if self.cosine else features
        self.squares = np.square(self.features).sum(axis=1)
        self.faiss: Any = None
        if search == "faiss":
            import faiss

            n, width = features.shape
            lists = max(1, round(math.sqrt(n)))
            metric = faiss.METRIC_INNER_PRODUCT if self.cosine else faiss.METRIC_L2
            centres = (faiss.IndexFlatIP if self.cosine else faiss.IndexFlatL2)(width)
            self.faiss = faiss.IndexIVFFlat(centres, width, lists, metric)
            self.faiss.cp.min_points_per_centroid = 1  # else it warns of small collections
            self.faiss.train(np.ascontiguousarray(self.features[:: max(1, n // (lists * 40))]))
            self.faiss.add(np.ascontiguousarray(self.features))
            self.faiss.nprobe = max(min(lists, PROBED), lists // PROBED)

    def nearest(self, queries: np.ndarray, k: int) -> np.ndarray:
        """Indices (len(queries), k) of the nearest, nearest first; of all where there are fewer than k."""
        queries = _normed(queries) if self.cosine else queries
        k = min(k, len(self.features))
        if self.faiss is not None:
            return self.faiss.search(np.ascontiguousarray(queries), k)[1]
        products = queries @ self.features.T
        distances = -products if self.cosine else self.squares - 2 * products
        return np.stack([_smallest(row, k) for row in distances])


def _smallest(values: np.ndarray, k: int) -> np.ndarray:
    """Indices of the k smallest, smallest first, the first of equal ones first: a partition alone takes any of those
    that are equal to the k-th.
    """
    candidates = np.flatnonzero(values <= np.partition(values, k - 1)[k - 1])
    return candidates[values[candidates].argsort(kind="stable")[:k]]


def _normed(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)


def medoid(texts: Sequence[str]) -> int:
    """Which text is most like the others: the largest sum of F1 over words and pairs of words; the first of equals."""
    bags = [_bag(text) for text in texts]
    return max(range(len(texts)), key=lambda i: (sum(_f1(bags[i], bag) for bag in bags), -i))


def _bag(text: str) -> Counter:
    words = _WORD.findall(text.lower())
    return Counter(words) + Counter(zip(words, words[1:], strict=False))


def _f1(a: Counter, b: Counter) -> float:
    total = a.total() + b.total()
    return 2 * (a & b).total() / total if total else 1.0
