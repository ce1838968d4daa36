"""A metric on the validation split: what the best checkpoint may be chosen by besides the loss."""

from __future__ import annotations

from collections.abc import Sequence

from benchmark import protocols, registry, score
from benchmark.contracts import Example, Metric, MetricContext, Unavailable
from benchmark.errors import UserError, unknown
from benchmark.schema import Prediction, scored_section
from benchmark.sections import join_output, split_output

TRIED = 50
"""References that must be scored before training begins."""


class ValidationJudge:
    """A value of the default protocol (`cider`, `bleu_4`), of one section; else of whole reports, where there are such.

    Raises UserError for an unknown name, and where the value cannot be computed here: that is tried at once, on the
    references themselves, since an epoch may take hours.
    """

    def __init__(self, key: str, examples: Sequence[Example], section: str = ""):
        self.key = key
        self.references = [example.reference for example in examples]
        self.section = section or scored_section(self.references)
        self.metric = metric_of(key)(MetricContext())
        self.higher_is_better = self.metric.HIGHER_IS_BETTER
        self([join_output(r.findings, r.impression) for r in self.references[:TRIED]])

    def __call__(self, texts: Sequence[str]) -> float:
        references = self.references[: len(texts)]
        try:
            scored = score.score_pairs(
                [reference.study_id for reference in references],
                [reference.patient_id for reference in references],
                [Prediction("", text, *split_output(text)).section(self.section) for text in texts],
                [reference.section(self.section) for reference in references],
                protocol=protocols.load("default"),
                metrics=[self.metric],
                draws=0,
            ).metrics[self.key]
        except ImportError as missing:
            raise self._refusal(f"the package {missing.name} is not installed") from None
        except Unavailable as missing:
            raise self._refusal(str(missing)) from None
        if scored.value is None:
            raise self._refusal(scored.reason)
        return scored.value

    def _refusal(self, reason: str) -> UserError:
        return UserError(f"The best checkpoint cannot be chosen by {self.key}: {reason.rstrip('.')}. Or take loss.")


def metric_of(key: str) -> type[Metric]:
    metrics: dict[str, type[Metric]] = dict(registry.METRICS.each())
    for metric in metrics.values():
        if key in metric.KEYS:
            return metric
    keys = ["loss", *(key for metric in metrics.values() for key in metric.KEYS)]
    few = "Take loss, or a metric's value, such as cider, bleu_4 or rouge_l; `bench metrics` lists the metrics."
    raise unknown("value of select_by", key, keys, few)
