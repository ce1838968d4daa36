"""The text as it is; n-gram metrics on Penn Treebank tokens, lower case, without punctuation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from benchmark.contracts import Metric, MetricContext
from benchmark.protocols import _base, _ptb
from benchmark.registry import METRICS


class Protocol(_base.Protocol):
    """This benchmark's own protocol: nothing is cut, corrected or replaced by an unknown word."""

    NAME: ClassVar[str] = "default"
    VERSION: ClassVar[int] = 1
    SOURCE: ClassVar[str] = "this benchmark, with the tokenizer and scorers of the COCO caption evaluation"
    CLEANING: ClassVar[str] = "runs of white space become one space"
    TOKENS: ClassVar[str] = _ptb.WORDS
    LABELS: ClassVar[str] = "F1 of positives over the 14 CheXpert classes, under both rules for uncertain ones"

    @property
    def signature(self) -> str:
        return f"protocol:{self.name}|version:{self.version}|clean:whitespace|{_ptb.SIGNATURE}"

    def clean(self, text: str) -> str:
        """Runs of white space (any Unicode line separator among them) become one space; the ends are stripped."""
        return " ".join(text.split())

    def tokenize(self, texts: Sequence[str]) -> list[list[str]]:
        """Raises Unavailable where Java is missing."""
        return _ptb.tokenize([self.clean(text) for text in texts])

    def metrics(self, context: MetricContext) -> list[Metric]:
        """Every metric there is, but for those of other protocols."""
        plugins = [METRICS.load(name) for name in METRICS.names()]
        return [plugin(context) for plugin in plugins if plugin.IN_DEFAULT]

    def describe(self) -> dict[str, object]:
        every = {name: METRICS.summary(name) for name in METRICS.names() if METRICS.load(name).IN_DEFAULT}
        return {**super().describe(), "metrics": every}
