"""What R2Gen's two protocols share: sentences as word ids, rare words as one and the same word.

R2Gen (Chen et al., EMNLP 2020) and R2GenCMN (Chen et al., ACL 2021) score texts decoded from word ids, references too:
those are cut at the model's length, and every word that is rare in training is `<unk>`, which matches any other.
"""

from __future__ import annotations

from typing import ClassVar

from benchmark.protocols._base import Variant
from benchmark.protocols._cleaners import SentenceCleaner
from benchmark.protocols._spaced import VocabularyProtocol

UNKNOWN = "<unk>"
SOURCE = (
    "R2Gen (Chen et al., EMNLP 2020) and R2GenCMN (Chen et al., ACL 2021): modules/tokenizers.py, modules/metrics.py"
)
COCO_METRICS = (
    Variant("bleu", "corpus BLEU-1 to BLEU-4 of the COCO scorer, closest reference length, no smoothing"),
    Variant("meteor", "METEOR 1.5, -l en -norm, corpus aggregate"),
    Variant("rouge-l-coco", "ROUGE-L of the COCO scorer, beta 1.2, mean"),
    Variant("cider", "CIDEr of the COCO scorer, mean"),
)

CHEXBERT = Variant(
    "chexbert", "F1 of CheXbert's 14 classes, blank and uncertain as 0, macro and micro", {"undefined": "zero"}
)


class R2Gen(VocabularyProtocol):
    """Texts as R2Gen decodes them. Unlike there, hypotheses are cleaned too: they may come from any system."""

    SOURCE = SOURCE
    SECTIONS = ("findings",)
    TARGET = "findings"
    METRICS = (*COCO_METRICS, CHEXBERT)
    LABELS = "R2GenCMN: 14 CheXpert columns, blank and uncertain as 0, macro and micro"
    CLEANER: ClassVar[SentenceCleaner]
    WORDS_KEPT: ClassVar[int]
    """Of a reference; the model's length less its start mark."""

    def clean(self, text: str) -> str:
        return self.CLEANER(text)

    def hypothesis(self, text: str) -> str:
        return self._decoded(self.clean(text).split()) if text.strip() else ""

    def reference(self, text: str) -> str:
        return self._decoded(self.clean(text).split()[: self.WORDS_KEPT])

    def _decoded(self, words: list[str]) -> str:
        known = self.known()
        return " ".join(word if word in known else UNKNOWN for word in words)
