"""The text as it is; n-gram metrics on Penn Treebank tokens, lower case, without punctuation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from benchmark.protocols import _base, _ptb


class Protocol(_base.Protocol):
    """This benchmark's own protocol: nothing is cut, corrected or replaced by an unknown word."""

    NAME: ClassVar[str] = "default"
    VERSION: ClassVar[int] = 1

    @property
    def signature(self) -> str:
        return f"protocol:{self.name}|version:{self.version}|clean:whitespace|{_ptb.SIGNATURE}"

    def clean(self, text: str) -> str:
        """Runs of white space (any Unicode line separator among them) become one space; the ends are stripped."""
        return " ".join(text.split())

    def tokenize(self, texts: Sequence[str]) -> list[list[str]]:
        """Raises Unavailable where Java is missing."""
        return _ptb.tokenize([self.clean(text) for text in texts])
