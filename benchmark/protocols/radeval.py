"""RadEval: texts as given; corpus BLEU-4 between spaces, ROUGE-L, BERTScore, CheXbert, RadGraph, RadCliQ."""

from __future__ import annotations

from benchmark.protocols._base import Variant
from benchmark.protocols._spaced import SpacedProtocol
from benchmark.protocols._vilmedic import CHEXBERT, DISTILBERT, ROUGE_L


class Protocol(SpacedProtocol):
    """Case and punctuation stay, so `clear.` and `clear` are two words to BLEU."""

    NAME, VERSION = "radeval", 1
    SOURCE = "RadEval (Xu et al., EMNLP 2025 system demonstrations): RadEval/metrics"
    UNIT = "as given"
    CLEANING = "none"
    TOKENS = "words between white space"
    LABELS = (
        "CheXbert with uncertain as positive, 14 classes and the top 5; micro, macro and weighted; RadGraph; RadCliQ"
    )
    METRICS = (
        Variant("bleu", "corpus BLEU-4 of the COCO scorer (and BLEU-1 to BLEU-3)"),
        ROUGE_L,
        DISTILBERT,
        CHEXBERT,
        Variant("radgraph", "RadGraph-XL: RG_E, RG_ER and RG_ER-bar", {"model": "radgraph-xl"}),
        Variant("radcliq", "RadCliQ-v1 (and v0), raw: RadEval prints 1 / mean, which is not monotone"),
    )
    PARTS = "unit:given|clean:none|tok:space"

    def clean(self, text: str) -> str:
        return text
