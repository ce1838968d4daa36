"""The heads of DyGIE++ (Wadden et al., EMNLP 2019) that find RadGraph's entities and relations among words' vectors.

Works on the tensors as AllenNLP saved them, and gives what `radgraph.dygie` of the package radgraph gives.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

PAIRS = 4096
"""Pairs of spans whose features are held in memory at a time."""

Entity = tuple[int, int, str, list[tuple[str, int]]]
"""First and last word, label, and relations: name and the number of the other entity."""


@dataclass(frozen=True)
class Heads:
    """Tensors by name, and what the model's configuration and vocabulary say."""

    tensors: Mapping[str, Any]
    namespace: str
    """Of the data set whose heads these are, which stands in the tensors' names."""
    entity_labels: Sequence[str]
    """The first means none."""
    relation_labels: Sequence[str]
    widest: int
    """Words in a span."""
    spans_per_word: float
    """Of the spans, how many may have relations."""

    def entities(self, words: Any) -> list[Entity]:
        """Of a text's words, shape (words, width), in order of their spans."""
        import torch

        n = len(words)
        spans = [(start, end) for start in range(n) for end in range(start, min(start + self.widest, n))]
        starts, ends = torch.tensor(spans, device=words.device).T
        widths = self.tensors["_endpoint_span_extractor._span_width_embedding.weight"][ends - starts]
        vectors = torch.cat([words[starts], words[ends], widths], dim=1)
        scorer = f"_ner._ner_scorers.{self.namespace}__ner_labels"
        scores = self._linear(f"{scorer}.1._module", self._forward(f"{scorer}.0._module", vectors))
        labels = torch.cat([torch.zeros_like(scores[:, :1]), scores], dim=1).argmax(dim=1).tolist()
        found = {i: (*spans[i], self.entity_labels[label]) for i, label in enumerate(labels) if label}
        number = {span: place for place, span in enumerate(found)}
        leads: dict[int, list[tuple[str, int]]] = {span: [] for span in found}
        for one, other, name in self._relations(vectors, n):
            if one in leads and other in number:
                leads[one].append((name, number[other]))
        return [(*entity, leads[span]) for span, entity in found.items()]

    def _relations(self, spans: Any, n_words: int) -> list[tuple[int, int, str]]:
        """Numbers of two spans and the relation's name, over the spans that are likeliest to have one."""
        import torch

        pruner = f"_relation._mention_pruners.{self.namespace}__relation_labels._scorer"
        mention = self._linear(f"{pruner}.1._module", self._forward(f"{pruner}.0._module", spans))[:, 0]
        kept = int(torch.ceil(torch.tensor(float(n_words)) * self.spans_per_word))
        top = mention.topk(max(1, min(kept, len(spans)))).indices.sort().values
        vectors, score = spans[top], mention[top]
        forward = f"_relation._relation_feedforwards.{self.namespace}__relation_labels"
        scorer = f"_relation._relation_scorers.{self.namespace}__relation_labels"
        found: list[tuple[int, int, str]] = []
        rows = max(1, PAIRS // len(top))
        for first in range(0, len(top), rows):
            one, other = vectors[first : first + rows, None], vectors[None]
            one, other = one.expand(-1, len(top), -1), other.expand(len(one), -1, -1)
            scores = self._linear(scorer, self._forward(forward, torch.cat([one, other, one * other], dim=-1)))
            scores = scores + (score[first : first + rows, None] + score[None])[..., None]
            labels = torch.cat([torch.zeros_like(scores[..., :1]), scores], dim=-1).argmax(dim=-1)
            i, j = labels.nonzero(as_tuple=True)
            names = [self.relation_labels[label - 1] for label in labels[i, j].tolist()]
            found += zip(top[first + i].tolist(), top[j].tolist(), names, strict=True)
        return found

    def _forward(self, name: str, x: Any) -> Any:
        """Linear layers, each followed by ReLU, as many as there are."""
        layer = 0
        while f"{name}._linear_layers.{layer}.weight" in self.tensors:
            x = self._linear(f"{name}._linear_layers.{layer}", x).relu()
            layer += 1
        return x

    def _linear(self, name: str, x: Any) -> Any:
        from torch.nn.functional import linear

        return linear(x, self.tensors[f"{name}.weight"], self.tensors[f"{name}.bias"])
