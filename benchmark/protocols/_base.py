"""What every protocol offers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

from benchmark.contracts import Metric, MetricContext
from benchmark.registry import METRICS
from benchmark.schema import SECTIONS, section_text


@dataclass(frozen=True)
class Variant:
    """A metric as a protocol counts it."""

    metric: str
    """Its name, as `bench metrics` lists it."""
    words: str
    options: Mapping[str, Any] = field(default_factory=dict)
    """What this protocol sets of it."""


class Protocol(ABC):
    """How texts are prepared before metrics see them, and which metrics those are."""

    NAME: ClassVar[str]
    VERSION: ClassVar[int]
    """Raised when a text or a number would come out otherwise than before."""
    SOURCE: ClassVar[str] = ""
    """The paper and the code that it follows."""
    SECTIONS: ClassVar[tuple[str, ...]] = SECTIONS
    """The sections that its source scores."""
    TARGET: ClassVar[str] = "report"
    """Of these, the one that is scored where none is named."""
    UNIT: ClassVar[str] = "study"
    """In words, what is one row: `rows` in code."""
    CLEANING: ClassVar[str] = ""
    TOKENS: ClassVar[str] = "words between single spaces"
    CUT: ClassVar[str] = "none"
    """What is cut off references."""
    UNKNOWN: ClassVar[str] = "kept"
    """What becomes of words outside the vocabulary."""
    LABELS: ClassVar[str] = ""
    """In words, the labels that its source scores."""
    METRICS: ClassVar[tuple[Variant, ...]] = ()
    NEEDS_TRAINING_TEXTS: ClassVar[bool] = False
    """True where it has a vocabulary, which `fitted` makes."""
    KEEPS_HEADINGS: ClassVar[bool] = False
    """True where a whole report is scored with its headings, so that a text is not divided at them and joined again."""
    NEEDS_MODEL: ClassVar[str] = ""
    """Hub id of the tokenizer without which no text can be prepared; empty for most."""

    def __init__(self, folders: Mapping[str, str] | None = None):
        """`folders` gives the folder of a hub id, for what need not come from the hub."""
        self.folders = dict(folders or {})

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
        """The text as the protocol's source cleans it, character by character; nothing is cut or replaced yet."""

    def hypothesis(self, text: str) -> str:
        """What metrics with INPUT `text` are given. An empty report stays empty, whatever cleaning makes of it.

        Raises Unavailable where a part that it needs is not here; so does `reference`.
        """
        return self.clean(text) if text.strip() else ""

    def reference(self, text: str) -> str:
        """As `hypothesis`, and cut where the protocol cuts."""
        return self.clean(text)

    @abstractmethod
    def tokenize(self, texts: Sequence[str]) -> list[list[str]]:
        """Tokens of each of the texts that `hypothesis` and `reference` gave, from that text alone.

        Raises Unavailable where a part that the tokenizer needs is not here.
        """

    def fitted(self, training_texts: Iterable[str]) -> Self:
        """The protocol with the vocabulary of these texts; itself where it has none."""
        return self

    def rows(self, images: int) -> int:
        """How many rows a study with so many images is: 1, one an image, or 0 where it is left out."""
        return 1

    def joined(self, findings: str, impression: str) -> str:
        """The text of a whole report that is given in two sections."""
        return " ".join(part for part in (findings, impression) if part)

    def reference_text(self, section: str, findings: str, impression: str) -> str:
        """What `section` is scored against; empty where the reference cannot be scored against."""
        return section_text(section, findings, impression)

    def metrics(self, context: MetricContext) -> list[Metric]:
        """Instances of its metrics. Nothing is started or loaded before one is used."""
        return [METRICS.load(variant.metric)(context, **variant.options) for variant in self.METRICS]

    def describe(self) -> dict[str, Any]:
        """All that a reader needs to do the same, as JSON types."""
        return {
            "name": self.name,
            "version": self.version,
            "source": self.SOURCE,
            "target section": self.TARGET,
            "sections": list(self.sections),
            "unit": self.UNIT,
            "cleaning": self.CLEANING,
            "tokens": self.TOKENS,
            "references cut": self.CUT,
            "unknown words": self.UNKNOWN,
            "metrics": {variant.metric: variant.words for variant in self.METRICS},
            "labels in its source": self.LABELS,
            "needs": self._needs(),
            "signature": self.signature,
        }

    def fetched(self) -> list[str]:
        """What it reads from the hub, by the names of `bench fetch`."""
        names = [self.NEEDS_MODEL] if self.NEEDS_MODEL else []
        for variant in self.METRICS:
            named = [variant.options[key] for key in ("encoder", "model") if key in variant.options]
            names += named or METRICS.load(variant.metric).FETCH
        return list(dict.fromkeys(names))

    def _needs(self) -> list[str]:
        training = ["training texts: those of --dataset, or --training-texts"] if self.NEEDS_TRAINING_TEXTS else []
        return training + [f"{name}: `bench fetch {name}`, or --model-folder HUB_ID=FOLDER" for name in self.fetched()]
