"""Protocols whose tokens stand between single spaces, with and without a vocabulary."""

from __future__ import annotations

import copy
import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import ClassVar, Self

from benchmark.contracts import Unavailable
from benchmark.protocols import _base


class SpacedProtocol(_base.Protocol):
    """A protocol whose tokens stand between single spaces."""

    PARTS: ClassVar[str]
    """Its part of the signature, `key:value|…`."""

    @property
    def signature(self) -> str:
        return f"protocol:{self.name}|version:{self.version}|{self.PARTS}"

    def tokenize(self, texts: Sequence[str]) -> list[list[str]]:
        """Two spaces have an empty token between them, as metrics that split there see it."""
        return [text.split(" ") if text else [] for text in texts]


class VocabularyProtocol(SpacedProtocol):
    """A protocol that knows only the words that its training texts hold often enough."""

    NEEDS_TRAINING_TEXTS: ClassVar[bool] = True
    THRESHOLD: ClassVar[int]
    """How often a word must stand in the training texts to be known."""

    vocabulary: frozenset[str] | None = None

    @property
    def signature(self) -> str:
        known = "none" if self.vocabulary is None else digest(self.vocabulary)
        return f"{super().signature}|vocabulary:{known}"

    def fitted(self, training_texts: Iterable[str]) -> Self:
        found = copy.copy(self)
        found.vocabulary = frequent((self.clean(text).split() for text in training_texts), self.THRESHOLD)
        return found

    def known(self) -> frozenset[str]:
        """Raises Unavailable before `fitted`."""
        if self.vocabulary is None:
            raise Unavailable(
                f"{self.name} replaces words that are rare in the training texts, which are not here: score against a "
                "data set (--dataset) or name them with --training-texts."
            )
        return self.vocabulary


def frequent(texts: Iterable[Sequence[str]], threshold: int) -> frozenset[str]:
    """The words that stand at least `threshold` times in the texts."""
    counts = Counter(word for text in texts for word in text)
    return frozenset(word for word, count in counts.items() if count >= threshold)


def digest(words: Iterable[str]) -> str:
    """12 hexadecimal digits that stand for a set of words."""
    return hashlib.sha256("\n".join(sorted(words)).encode("utf-8", "replace")).hexdigest()[:12]
