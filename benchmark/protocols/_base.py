"""What every protocol offers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

from benchmark.schema import SECTIONS


class Protocol(ABC):
    """How texts are prepared before metrics see them. The same is done to hypotheses and references."""

    NAME: ClassVar[str]
    VERSION: ClassVar[int]
    """Raised when a text would come out otherwise than before."""
    SECTIONS: ClassVar[tuple[str, ...]] = SECTIONS
    """The sections that this protocol scores."""

    @property
    def name(self) -> str:
        return self.NAME

    @property
    def version(self) -> int:
        return self.VERSION

    @property
    def sections(self) -> tuple[str, ...]:
        return self.SECTIONS

    @property
    @abstractmethod
    def signature(self) -> str:
        """`protocol:name|version:…`: everything that changes a text between the report and the metric."""

    @abstractmethod
    def clean(self, text: str) -> str:
        """The text that metrics with INPUT `text` are given. Cleaning twice changes nothing."""

    @abstractmethod
    def tokenize(self, texts: Sequence[str]) -> list[list[str]]:
        """Tokens of each text, cleaned first. Each text's tokens depend on that text alone.

        Raises Unavailable where a part that the tokenizer needs is not here.
        """
