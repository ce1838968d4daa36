"""How soon reports are scored: by this benchmark, and by the libraries whose numbers it gives, called one by one."""

from __future__ import annotations

import os
import random
import re
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, cast

from benchmark import java, memory, protocols
from benchmark import score as scoring
from benchmark.contracts import MetricContext, Unavailable
from benchmark.errors import UserError
from benchmark.speed import measure

LIBRARIES = "pycocoevalcap, rouge-score, bert-score"
METRICS = ("bleu", "rouge-l", "rouge-l-coco", "cider", "meteor", "bertscore")
ALL, REST = "all", "tokens and the rest"

TOLERANCE = 1e-6
"""Of every value against the libraries'."""
TOLERANCE_BERTSCORE = {"fp32": 1e-4, "bf16": 2e-4}


@dataclass(frozen=True)
class Texts:
    """The same references for several systems."""

    references: Sequence[str]
    systems: Sequence[Sequence[str]]
    """Hypotheses of each."""


@dataclass
class Scored:
    """What one way of scoring took and gave, over all systems."""

    seconds: dict[str, float] = field(default_factory=lambda: dict.fromkeys(METRICS, 0.0))
    """By metric, and `ALL` and `REST`."""
    values: dict[str, list[float]] = field(default_factory=lambda: {metric: [] for metric in METRICS})
    """By metric: its values of one system after the other."""
    memory_mb: float = 0.0


def score(reports: Sequence[str], pairs: int = 2347, models: int = 10, rounds: int = 3) -> list[measure.Row]:
    """Measure on texts made of `reports`: rows for one system of so many distinct pairs, and for `models` systems.

    A row is the time of a metric, or of all, over all systems: medians of rounds in which the ways take turns, each in
    a process of its own. The libraries are called as evaluation scripts do, anew for each system, which starts METEOR
    and loads the encoder each time. Imports are not counted, starts and loading are. `difference` is the largest
    distance of a value from the libraries', `equal` whether it is within its tolerance. `memory_mb` is without Java,
    whose heap is limited to 2 GB on both sides. Raises UserError where there are too few reports, Unavailable where a
    library or Java is missing.
    """
    alone = _compare(f"{pairs} distinct pairs", texts(reports, pairs, 1), ("fp32",), rounds)
    return alone + _compare(
        f"{models} models of {pairs} pairs", texts(reports, pairs, models), ("fp32", "bf16"), rounds
    )


def texts(reports: Sequence[str], n: int, systems: int, seed: int = 0) -> Texts:
    """`n` reports as references, and hypotheses: the first half of one report and the second half of another.

    So all hypotheses differ from one another and, nearly all, from the references, as those of models do; were they
    reports themselves, both ways would encode most of them as references. Raises UserError where there are too few.
    """
    distinct = sorted({text for text in reports if any(map(str.isalnum, text))})
    divided = [sentences for text in distinct if len(sentences := re.split(r"(?<=\.) ", text)) > 1]
    if len(divided) ** 2 < 4 * n * systems:
        raise UserError(f"{len(distinct)} different reports are too few to make {n * systems} different texts of.")
    draw = random.Random(seed)
    references = draw.sample(distinct, n) if len(distinct) >= n else draw.choices(distinct, k=n)
    made: dict[str, None] = {}
    while len(made) < n * systems:
        first, second = draw.choice(divided), draw.choice(divided)
        made[" ".join(first[: len(first) // 2] + second[len(second) // 2 :])] = None
    hypotheses = list(made)
    return Texts(references, [hypotheses[start::systems] for start in range(systems)])


def by_benchmark(given: Texts, precision: str) -> Scored:
    """All systems with one set of metrics, as runs are scored one after the other in a process."""
    import bert_score  # noqa: F401 - so that imports are not counted

    memory.keep_freed()
    found, protocol = Scored(), protocols.load("default")
    metrics = scoring.load_metrics(MetricContext(extra={"bertscore_precision": precision}), METRICS)
    ids = [str(i) for i in range(len(given.references))]
    began = time.perf_counter()
    for hypotheses in given.systems:
        scored = scoring.score_pairs(
            ids, ids, hypotheses, given.references, protocol=protocol, metrics=metrics, draws=0
        )
        for name, metric in zip(METRICS, metrics, strict=True):
            values = [scored.metrics[key] for key in metric.KEYS]
            if values[0].reason:
                raise Unavailable(values[0].reason)
            found.seconds[name] += values[0].seconds
            found.values[name] += [one.value for one in values if one.value is not None]
    return _summed(found, time.perf_counter() - began)


def by_libraries(given: Texts) -> Scored:
    """All systems, each by new scorers of the libraries."""
    from bert_score import score as bert_score
    from pycocoevalcap.bleu.bleu import Bleu
    from pycocoevalcap.cider.cider import Cider
    from pycocoevalcap.meteor.meteor import Meteor
    from pycocoevalcap.rouge.rouge import Rouge
    from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer
    from rouge_score.rouge_scorer import RougeScorer

    os.environ["PATH"] = os.pathsep.join([str(Path(java.find()).parent), os.environ["PATH"]])
    (bertscore,) = cast(Any, scoring.load_metrics(MetricContext(), ["bertscore"]))
    encoder = {"model_type": str(bertscore.encoder.folder), "num_layers": bertscore.layer, "device": "cpu"}
    found, references = Scored(), given.references
    began = time.perf_counter()

    def rouge_l(hypotheses: Sequence[str]) -> float:
        scorer = RougeScorer(["rougeL"], use_stemmer=True)
        pairs = zip(references, hypotheses, strict=True)
        return statistics.fmean(scorer.score(reference, written)["rougeL"].fmeasure for reference, written in pairs)

    def bert(hypotheses: Sequence[str]) -> list[float]:
        precision, recall, f1 = bert_score(list(hypotheses), list(references), **encoder)
        return [float(each.double().mean()) for each in (f1, precision, recall)]

    def ways(hypotheses: Sequence[str], tokens: Sequence[Any]) -> dict[str, Callable[[], Any]]:
        return {
            "bleu": lambda: Bleu(4).compute_score(*tokens, verbose=0)[0],
            "rouge-l": lambda: [rouge_l(hypotheses)],
            "rouge-l-coco": lambda: [Rouge().compute_score(*tokens)[0]],
            "cider": lambda: [Cider().compute_score(*tokens)[0]],
            "meteor": lambda: [Meteor().compute_score(*tokens)[0]],
            "bertscore": lambda: bert(hypotheses),
        }

    for hypotheses in given.systems:
        tokens = [
            PTBTokenizer().tokenize({i: [{"caption": text}] for i, text in enumerate(side)})
            for side in (references, hypotheses)
        ]
        for metric, way in ways(hypotheses, tokens).items():
            at = time.perf_counter()
            found.values[metric] += map(float, way())
            found.seconds[metric] += time.perf_counter() - at
    return _summed(found, time.perf_counter() - began)


def _summed(found: Scored, seconds: float) -> Scored:
    found.seconds[REST] = seconds - sum(found.seconds.values())
    found.seconds[ALL] = seconds
    return found


def _measured(work: Callable[..., Scored], *arguments: Any) -> Scored:
    found, memory = measure.in_fresh_process(work, *arguments)
    found.memory_mb = memory
    return found


def _compare(name: str, given: Texts, precisions: Sequence[str], rounds: int) -> list[measure.Row]:
    ours = {precision: partial(_measured, by_benchmark, given, precision) for precision in precisions}
    found = measure.take_turns({LIBRARIES: partial(_measured, by_libraries, given), **ours}, rounds)
    rows = []
    for precision in precisions:
        mine, theirs = found[precision], found[LIBRARIES]
        differences = _differences(mine[0], theirs[0])
        tolerances = {**dict.fromkeys(METRICS, TOLERANCE), "bertscore": TOLERANCE_BERTSCORE[precision]}
        facts = {
            "n": len(given.references),
            "models": len(given.systems),
            "precision": precision,
            "memory_mb": max(each.memory_mb for each in mine),
            "peer_memory_mb": max(each.memory_mb for each in theirs),
        }
        for part in (ALL, *METRICS, REST):
            metrics = METRICS if part == ALL else [part] if part in METRICS else []
            agreement = {
                "difference": max((differences[metric] for metric in metrics), default=0.0),
                "equal": all(differences[metric] <= tolerances[metric] for metric in metrics),
            }
            seconds = [[each.seconds[part] for each in side] for side in (mine, theirs)]
            what = f"{name}, {precision}: {part}"
            rows.append(measure.row(what, LIBRARIES, seconds[0], seconds[1], **facts, **agreement))
    return rows


def _differences(ours: Scored, theirs: Scored) -> dict[str, float]:
    """By metric, the largest distance between values."""
    return {
        metric: max(abs(a - b) for a, b in zip(ours.values[metric], theirs.values[metric], strict=True))
        for metric in METRICS
    }
