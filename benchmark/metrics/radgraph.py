"""RadGraph F1: entities and relations that two reports share (Jain et al., 2021; Delbrouck et al., 2022).

`radgraph_simple` (RG_E), `radgraph_partial` (RG_ER) and `radgraph_complete` (RG_ER-bar) are those of the package
radgraph; `radgraph` is the mean of entity and relation F1, as CXR-Report-Metric has it. Needs the weights
(`bench fetch radgraph-xl`, or `radgraph`).
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from functools import cached_property
from typing import ClassVar

import numpy as np

from benchmark import contracts
from benchmark.annotators.once import annotate_once
from benchmark.annotators.radgraph import Entity, RadGraph
from benchmark.metrics import _mean, _pairs

Graph = Sequence[Entity]
Facts = set[Hashable]


class Metric(contracts.Metric):
    """Rows, shape (pairs, 5): the four scores, 1. An empty text has no entity and scores 0."""

    KEYS: ClassVar[tuple[str, ...]] = ("radgraph_simple", "radgraph_partial", "radgraph_complete", "radgraph")
    INPUT: ClassVar[str] = "text"
    IN_DEFAULT: ClassVar[bool] = False
    FETCH: ClassVar[tuple[str, ...]] = ("radgraph-xl",)

    def __init__(self, context: contracts.MetricContext, model: str = "radgraph-xl"):
        super().__init__(context)
        self.model = model

    @cached_property
    def annotator(self) -> RadGraph:
        """Raises Unavailable where its weights are not here."""
        return RadGraph(self.model, self.context)

    @property
    def signature(self) -> str:
        return f"radgraph|model:{self.annotator.identity}|level:mean|empty:0"

    def rows(self, hypotheses: Sequence[str], references: Sequence[str]) -> np.ndarray:
        graphs = annotate_once(self.annotator, [*hypotheses, *references])

        def score(pairs: Sequence[_pairs.Pair]) -> np.ndarray:
            scores = [_scores(graphs.get(hypothesis, ()), graphs.get(reference, ())) for hypothesis, reference in pairs]
            return np.array([(*four, 1.0) for four in scores]).reshape(-1, 5)

        return _pairs.each_once(hypotheses, references, score)

    def aggregate(self, sums: np.ndarray) -> dict[str, np.ndarray]:
        return {key: _mean.mean(sums, column) for column, key in enumerate(self.KEYS)}


def _scores(hypothesis: Graph, reference: Graph) -> tuple[float, ...]:
    def f1(facts: Callable[[Graph], Facts]) -> float:
        written, expected = facts(hypothesis), facts(reference)
        return 2 * len(written & expected) / (len(written) + len(expected)) if written and expected else 0.0

    return f1(_entities), f1(_linked), f1(_complete), (f1(_entities) + f1(_relations)) / 2


def _entities(graph: Graph) -> Facts:
    return {(entity.tokens, entity.label) for entity in graph}


def _linked(graph: Graph) -> Facts:
    """Entities with whether they have a relation."""
    return {(entity.tokens, entity.label, bool(entity.relations)) for entity in graph}


def _complete(graph: Graph) -> Facts:
    """Entities without a relation, and each relation with both ends' words, in lower case there alone."""
    alone: Facts = {(entity.tokens, entity.label) for entity in graph if not entity.relations}
    return alone | {
        (entity.tokens.lower(), entity.label, name, graph[other].tokens.lower())
        for entity in graph
        for name, other in entity.relations
    }


def _relations(graph: Graph) -> Facts:
    return {
        (entity.tokens, entity.label, name, graph[other].tokens, graph[other].label)
        for entity in graph
        for name, other in entity.relations
    }
