"""What comes from the Hugging Face hub: who reads it, whether it is here, and getting it beforehand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmark import hub, protocols
from benchmark.annotators import REPOSITORY, chexbert, radgraph
from benchmark.contracts import MetricContext, Unavailable
from benchmark.errors import unknown
from benchmark.registry import METRICS, MODELS

CONFIG = "config.json"
ENCODER_WEIGHTS = ("model.safetensors", "pytorch_model.bin")
"""The first of them that a repository has."""


@dataclass(frozen=True)
class Part:
    """Files of one repository."""

    hub_id: str
    files: tuple[str, ...]
    """Patterns of what is read, all of it."""
    one_of: tuple[str, ...] = ()
    """And one of these."""

    def __str__(self) -> str:
        return f"{self.hub_id}: {', '.join([*self.files, *filter(None, [' or '.join(self.one_of)])])}"

    @property
    def here(self) -> bool:
        """Whether weights, archives and the configuration lie in the cache; not every tokenizer has all other files."""
        certain = [name for name in self.files if name.endswith((".pth", ".gz", ".safetensors")) or name == CONFIG]
        some = not self.one_of or any(hub.file(self.hub_id, name, {}) for name in self.one_of)
        return some and all(hub.file(self.hub_id, name, {}) for name in certain)

    def get(self) -> None:
        """Raises UserError where the hub cannot be reached."""
        hub.download(self.hub_id, self.files)
        for name in self.one_of:
            if (hub.download(self.hub_id, [name]) / name).exists():
                return


@dataclass(frozen=True)
class Item:
    """One thing to fetch."""

    name: str
    parts: tuple[Part, ...]
    used_by: tuple[str, ...]

    def complete(self) -> Item:
        """With what only its own files name: the transformer of a RadGraph that is here."""
        if self.name not in radgraph.MODELS or not all(part.here for part in self.parts):
            return self
        base = radgraph.RadGraph(self.name, MetricContext()).base()
        return Item(self.name, (*self.parts, Part(base, hub.TOKENIZER)), self.used_by)

    @property
    def here(self) -> bool:
        """Whether all of it lies in the cache."""
        try:
            return all(part.here for part in self.complete().parts)
        except Unavailable:
            return False

    def get(self) -> None:
        """Raises UserError where the hub cannot be reached, Unavailable where what came is damaged."""
        for part in self.parts:
            part.get()
        for part in self.complete().parts[len(self.parts) :]:
            part.get()


ANNOTATORS: Mapping[str, tuple[Part, ...]] = {
    "chexbert": (Part(REPOSITORY, (chexbert.WEIGHTS,)), Part(chexbert.BASE, hub.TOKENIZER)),
    **{model: (Part(REPOSITORY, (f"{model}.tar.gz",)),) for model in radgraph.MODELS},
}


def items() -> list[Item]:
    """All that protocols, metrics and models read from the hub."""
    used: dict[Part, list[str]] = {}
    for model, plugin in MODELS.each():
        for hub_id, files in plugin.PRETRAINED.items():
            used.setdefault(Part(hub_id, tuple(files)), []).append(model)
    return for_texts() + [Item(part.hub_id, (part,), tuple(by)) for part, by in used.items()]


def for_texts() -> list[Item]:
    """What protocols and metrics read; no model is imported."""
    used: dict[str, list[str]] = {}
    for name, protocol in protocols.PROTOCOLS.each():
        for fetched in protocol().fetched():
            used.setdefault(fetched, []).append(name)
    for name, metric in METRICS.each():
        for fetched in metric.FETCH:
            used.setdefault(fetched, []).append(name)
    return [Item(name, ANNOTATORS.get(name) or (_encoder(name),), tuple(by)) for name, by in used.items()]


def choose(names: Sequence[str]) -> list[Item]:
    """The items of these names, or that a protocol, metric or model of such a name reads. Raises UserError."""
    every = items()
    by_name: dict[str, list[Item]] = {}
    for item in every:
        for name in item.used_by:
            by_name.setdefault(name, []).append(item)
    by_name |= {item.name: [item] for item in every}
    for name in names:
        if name not in by_name:
            raise unknown("thing to fetch", name, by_name)
    return list(dict.fromkeys(item for name in names for item in by_name[name]))


def _encoder(hub_id: str) -> Part:
    """An encoder with its weights; of a language model whose tokenizer alone is read, no weights."""
    tokenizer_alone = any(hub_id == protocol.NEEDS_MODEL for _, protocol in protocols.PROTOCOLS.each())
    return Part(hub_id, hub.TOKENIZER, () if tokenizer_alone else ENCODER_WEIGHTS)
