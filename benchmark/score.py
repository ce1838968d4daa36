"""Hypotheses and references to values with intervals, in memory."""

from __future__ import annotations

import hashlib
import sys
import time
import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from benchmark import grouped, protocols, registry
from benchmark.contracts import Metric, MetricContext, Unavailable
from benchmark.errors import UserError
from benchmark.grouped import GroupScores
from benchmark.protocols import Protocol
from benchmark.slices import Slice

SEED = 0
"""Of the bootstrap: the same for all runs, so that their draws are of the same patients."""


@dataclass(frozen=True)
class MetricScore:
    """One value of a section."""

    metric: str
    """Name of the metric that gave it; `bleu` gives four."""
    value: float | None
    """None where it could not be computed."""
    low: float | None
    high: float | None
    """Ends of the 95 % interval (`statistics.interval`), patients resampled; None without a value or without draws."""
    n_scored: int
    n_unscored: int
    seconds: float
    """Time of the metric's rows; shared by all values of one metric."""
    signature: str
    higher_is_better: bool
    reason: str
    """Why there is no value; empty where there is one."""
    extra: bool = False
    """True for a metric that the user added to those of the protocol."""


@dataclass(frozen=True)
class SectionScores:
    """All values of one section of a run."""

    protocol: str
    """The protocol's signature."""
    n: int
    n_patients: int
    """Of the scored studies."""
    n_unscored: int
    """Studies whose reference has no word in this section: nothing to score against."""
    n_empty_hypotheses: int
    """Of the scored studies. They score 0 and stay in."""
    draws: int
    seed: int
    metrics: Mapping[str, MetricScore]
    """By key, e.g. `bleu_4`."""
    study_ids: tuple[str, ...]
    """All studies, in the order given."""
    scored: np.ndarray
    """Which of them were scored; bool, shape (n,)."""
    rows: Mapping[str, np.ndarray]
    """By metric: additive statistics of the scored studies, shape (n_scored, columns)."""
    values: Mapping[str, np.ndarray]
    """By key: each scored study's own value, shape (n_scored,). Corpus BLEU and METEOR are not the mean of these."""
    slices: Mapping[str, GroupScores]
    """By name; those of which no study was scored are absent."""
    refused: str = ""
    """Why the protocol could not prepare the texts, so that no metric has a value; empty where it could."""

    @property
    def signature(self) -> str:
        """The signatures of the protocol and its metrics: what two rows of a leaderboard must share to be ranked.

        Metrics that the user added have signatures of their own and no part in this.
        """
        parts = [s.signature or f"{s.metric}:unavailable" for s in self.metrics.values() if not s.extra]
        return " ".join([self.protocol, *dict.fromkeys(parts)])

    def to_dict(self) -> dict[str, Any]:
        """Aggregates alone, as JSON types."""
        return {
            "n": self.n,
            "n_patients": self.n_patients,
            "n_unscored": self.n_unscored,
            "n_empty_hypotheses": self.n_empty_hypotheses,
            "draws": self.draws,
            "seed": self.seed,
            "signature": self.signature,
            "metrics": {key: asdict(score) | self._signatures(score) for key, score in self.metrics.items()},
            "slices": {name: each.to_dict() for name, each in self.slices.items()},
        }

    def _signatures(self, score: MetricScore) -> dict[str, str]:
        """Both forms of the signature of one number; empty where there is no number."""
        long = f"{self.protocol} {score.signature}" if score.signature else ""
        return {"signature_long": long, "signature_short": short_signature(long)}

    def per_study(self) -> dict[str, dict[str, Any] | None]:
        """`{"values": by key, "rows": by metric}` by study id, as JSON types; None for a study that was not scored."""
        found: dict[str, dict[str, Any] | None] = dict.fromkeys(self.study_ids)
        for i, place in enumerate(np.flatnonzero(self.scored)):
            found[self.study_ids[place]] = {
                "values": {key: float(values[i]) for key, values in self.values.items()},
                "rows": {name: rows[i].tolist() for name, rows in self.rows.items()},
            }
        return found


def short_signature(long: str) -> str:
    """`default.v1|bleu|1f3a9c2e`: protocol, metric, and 8 hexadecimal digits of the SHA-256 of the long form.

    The long form is a protocol's signature, a space, and a metric's. Numbers whose short forms agree were made alike.
    """
    protocol, _, metric = long.partition(" ")
    fields = dict(part.partition(":")[::2] for part in protocol.split("|"))
    digest = hashlib.sha256(long.encode("utf-8")).hexdigest()[:8]
    return f"{fields['protocol']}.v{fields['version']}|{metric.partition('|')[0]}|{digest}" if long else ""


def score_texts(
    hypotheses: Sequence[str],
    references: Sequence[str],
    protocol: str = "default",
    *,
    patients: Sequence[str] | None = None,
    training_texts: Sequence[str] = (),
    context: MetricContext | None = None,
) -> SectionScores:
    """Score texts against references, one for one, under a named protocol: values, 95 % intervals and signatures.

    The texts are taken as they are: give findings for findings, or whole reports for whole reports. Without `patients`
    every pair is a patient of its own when intervals are drawn. `training_texts` are for protocols with a vocabulary.
    Raises UserError for an unknown protocol, or one that cannot prepare texts here, and for lists of unlike length.
    """
    context = context or MetricContext()
    chosen = protocols.load(protocol, context.extra.get("folders"))
    if chosen.NEEDS_TRAINING_TEXTS:
        if not training_texts:
            raise UserError(f"The protocol {protocol} has a vocabulary of training texts: give training_texts.")
        chosen = chosen.fitted(training_texts)
    ids = [str(i) for i in range(len(references))]
    patients = ids if patients is None else patients
    for name, given in (("hypotheses", hypotheses), ("references", references), ("patients", patients)):
        if isinstance(given, str):
            raise UserError(f"{name} is one text; give a list of texts.")
        if len(given) != len(references):
            raise UserError(f"There are {len(given)} {name} for {len(references)} references; each needs its own.")
    metrics = chosen.metrics(context)
    scored = score_pairs(ids, patients, hypotheses, references, protocol=chosen, metrics=metrics)
    if scored.refused:
        raise UserError(scored.refused)
    return scored


def load_metrics(context: MetricContext, names: Sequence[str] | None = None) -> list[Metric]:
    """Instances of the metrics named, else of the default protocol's. Nothing is started before a metric is used.

    Raises UserError for an unknown name.
    """
    if names is None:
        return protocols.load("default").metrics(context)
    return [registry.METRICS.load(name)(context) for name in names]


def extra_metrics(context: MetricContext, names: Sequence[str], metrics: Sequence[Metric]) -> list[Metric]:
    """Instances of those of the metrics named that are not among `metrics`. Raises UserError for an unknown name."""
    known = {type(metric) for metric in metrics}
    return [metric for metric in load_metrics(context, list(dict.fromkeys(names))) if type(metric) not in known]


def metric_name(metric: Metric) -> str:
    """The file that defines it, e.g. `rouge_l`."""
    return type(metric).__module__.rpartition(".")[2]


def score_pairs(
    study_ids: Sequence[str],
    patients: Sequence[str],
    hypotheses: Sequence[str],
    references: Sequence[str],
    *,
    protocol: Protocol,
    metrics: Sequence[Metric],
    extra: Sequence[Metric] = (),
    slices: Sequence[Slice] = (),
    draws: int = 1000,
    seed: int = SEED,
    progress: Callable[[int], None] | None = None,
) -> SectionScores:
    """Score texts of one section, one hypothesis and one reference a study.

    `extra` metrics are scored beside `metrics`, those of the protocol. The values of `slices` come from the same rows
    and the same draws. A reference without a letter or digit (empty, or a lone `___`) cannot be scored against; its
    study is counted as unscored and no metric sees it. `progress` is called with 1 after each metric. A metric that is
    not available has no value and a reason. Raises ValueError where the four sequences differ in length or two metrics
    share a name or key.
    """
    if not len(study_ids) == len(patients) == len(hypotheses) == len(references):
        raise ValueError("study_ids, patients, hypotheses and references must be of one length")
    every = [*metrics, *extra]
    _refuse_duplicates([metric_name(metric) for metric in every])
    _refuse_duplicates([key for metric in every for key in metric.KEYS])

    scored = np.array([any(map(str.isalnum, reference)) for reference in references], dtype=bool)
    kept = [i for i, each in enumerate(scored) if each]
    for metric in metrics if kept else ():
        metric.warm_up()
    written = [hypotheses[i] for i in kept]
    texts = _Texts(written, [references[i] for i in kept], protocol)
    results: dict[Metric, _Result] = {}
    for metric in sorted(every, key=lambda metric: metric.PARALLEL):
        results[metric] = _run(metric, texts)
        if progress is not None:
            progress(1)

    results = {metric: results[metric] for metric in every}
    by_metric = {metric: result.rows for metric, result in results.items() if result.rows is not None}
    groups = [np.array([n for n, i in enumerate(kept) if study_ids[i] in each.studies], int) for each in slices]
    found, *sliced = grouped.score(by_metric, [patients[i] for i in kept], groups, draws, seed)
    scores: dict[str, MetricScore] = {}
    for metric, result in results.items():
        n = 0 if result.rows is None else len(kept)
        for key in metric.KEYS:
            value, low, high = found.metrics.get(key, (None, None, None))
            scores[key] = MetricScore(
                metric=metric_name(metric),
                value=value,
                low=low,
                high=high,
                n_scored=n,
                n_unscored=len(study_ids) - n,
                seconds=result.seconds,
                signature=result.signature,
                higher_is_better=metric.HIGHER_IS_BETTER,
                reason=result.reason,
                extra=metric in extra,
            )
    return SectionScores(
        protocol=protocol.signature,
        n=len(study_ids),
        n_patients=found.n_patients,
        n_unscored=len(study_ids) - len(kept),
        n_empty_hypotheses=sum(not text.strip() for text in written),
        draws=draws,
        seed=seed,
        metrics=scores,
        study_ids=tuple(study_ids),
        scored=scored,
        rows={metric_name(metric): rows for metric, rows in by_metric.items()},
        values={key: values for metric, rows in by_metric.items() for key, values in metric.aggregate(rows).items()},
        slices={
            each.name: replace(of, attribute=each.attribute) for each, of in zip(slices, sliced, strict=True) if of.n
        },
        refused=texts.refused,
    )


class _Texts:
    """The scored pairs as the protocol prepares them, tokenized once for all metrics when the first asks."""

    def __init__(self, hypotheses: Sequence[str], references: Sequence[str], protocol: Protocol):
        self.hypotheses: list[str] = []
        self.references: list[str] = []
        self.refused = ""
        self._protocol = protocol
        self._tokens: tuple[list[str], list[str]] | None = None
        try:
            self.hypotheses = [protocol.hypothesis(text) for text in hypotheses]
            self.references = [protocol.reference(text) for text in references]
        except Unavailable as missing:
            self.refused = str(missing)

    def pairs(self, kind: str) -> tuple[list[str], list[str]]:
        """Hypotheses and references as a metric's INPUT wants them.

        Raises Unavailable where the protocol cannot prepare them, or its tokenizer is not available.
        """
        if self.refused:
            raise Unavailable(self.refused)
        if kind == "text":
            return self.hypotheses, self.references
        if kind != "tokens":
            raise ValueError(f"a metric's INPUT must be 'tokens' or 'text', not {kind!r}")
        if self._tokens is None:
            n = len(self.hypotheses)
            lines = [" ".join(tokens) for tokens in self._protocol.tokenize([*self.hypotheses, *self.references])]
            self._tokens = lines[:n], lines[n:]
        return self._tokens


@dataclass(frozen=True)
class _Result:
    """What a metric gave: rows, or the reason why not."""

    rows: np.ndarray | None
    signature: str
    seconds: float
    reason: str


def _run(metric: Metric, texts: _Texts) -> _Result:
    began = time.perf_counter()
    rows, signature, reason = None, "", ""
    try:
        signature = metric.signature
        if texts.references or texts.refused:
            pairs = texts.pairs(metric.INPUT)
            began = time.perf_counter()  # Tokens are made once for all metrics: no single one's time.
            rows = np.asarray(metric.rows(*pairs), dtype=float)
        else:
            reason = "No study has a reference with words in this section."
    except Unavailable as missing:
        # The signature stands for a value; where there is none, two machines must not look alike.
        signature, reason = "", str(missing)
    return _Result(rows, signature, time.perf_counter() - began, reason)


def _refuse_duplicates(names: Sequence[str]) -> None:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"two metrics are called {', '.join(twice)}")


class _Callable(types.ModuleType):
    """This module, which `from benchmark import score` gives: can be called like the function that is meant there."""

    __call__ = staticmethod(score_texts)


sys.modules[__name__].__class__ = _Callable
