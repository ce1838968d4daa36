"""RadEval: texts as given; corpus BLEU-4 between spaces, ROUGE-L and BERTScore."""

from __future__ import annotations

from benchmark.protocols._base import Variant
from benchmark.protocols._spaced import SpacedProtocol
from benchmark.protocols._vilmedic import DISTILBERT, ROUGE_L


class Protocol(SpacedProtocol):
    """Case and punctuation stay, so `clear.` and `clear` are two words to BLEU."""

    NAME, VERSION = "radeval", 1
    SOURCE = "RadEval (Xu et al., EMNLP 2025 system demonstrations): RadEval/metrics"
    UNIT = "as given"
    CLEANING = "none"
    TOKENS = "words between white space"
    LABELS = "CheXbert with uncertain as positive, 14 classes and the top 5; micro, macro and weighted"
    METRICS = (
        Variant("bleu", "corpus BLEU-4 of the COCO scorer (and BLEU-1 to BLEU-3)"),
        ROUGE_L,
        DISTILBERT,
    )
    PARTS = "unit:given|clean:none|tok:space"

    def clean(self, text: str) -> str:
        return text
