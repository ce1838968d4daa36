"""CXR-Report-Metric: texts as given; mean sentence BLEU-2, BERTScore, SembScore, RadGraph, RadCliQ."""

from __future__ import annotations

from collections.abc import Sequence

from benchmark.protocols import _cleaners
from benchmark.protocols._base import Variant
from benchmark.protocols._spaced import SpacedProtocol


class Protocol(SpacedProtocol):
    """BERTScore reads the text as it is, BLEU the cleaned one."""

    NAME, VERSION = "cxr-report-metric", 1
    SOURCE = "CXR-Report-Metric (Yu et al., Patterns 2023): CXRMetric/run_eval.py"
    CLEANING = "lower case, `.` becomes ` .`, split at single spaces; BERTScore reads the text as it is"
    LABELS = "CheXbert vector similarity; RadGraph, (entity + relation) / 2; RadCliQ from these, BERTScore and BLEU-2"
    METRICS = (
        Variant("sentence-bleu", "mean of sentence BLEU-2, smoothing method 1 with epsilon 0.1"),
        Variant(
            "bertscore",
            "BERTScore F1, distilroberta-base, layer 5, rescaled, no idf",
            {"encoder": "distilroberta-base", "layer": 5, "rescale": True},
        ),
        Variant("semb-score", "similarity of CheXbert's vectors"),
        Variant("radgraph", "RadGraph 1, (entity F1 + relation F1) / 2, as `radgraph`", {"model": "radgraph"}),
        Variant("radcliq", "RadCliQ v0 and v1 of these four, raw; lower is better"),
    )
    PARTS = "unit:study|clean:cxr-report-metric|tok:space"

    def clean(self, text: str) -> str:
        return _cleaners.cxr_report_metric(text)

    def hypothesis(self, text: str) -> str:
        return text if text.strip() else ""

    def reference(self, text: str) -> str:
        return text

    def tokenize(self, texts: Sequence[str]) -> list[list[str]]:
        return super().tokenize([self.clean(text) for text in texts])
