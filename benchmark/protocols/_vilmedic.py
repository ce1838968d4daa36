"""What vilmedic's two cleanings share: texts as word ids, unknown words dropped.

Source: vilmedic (Delbrouck et al., ACL 2022), vilmedic/datasets/base/TextDataset.py without a pretrained tokenizer, as
in config/RRG/baseline-mimic.yml: each word of the training texts is an id, 100 ids at most with start and end mark.
"""

from __future__ import annotations

from benchmark.protocols._base import Variant
from benchmark.protocols._spaced import VocabularyProtocol

DISTILBERT = Variant(
    "bertscore",
    "BERTScore F1, distilbert-base-uncased, layer 5, rescaled, no idf",
    {"encoder": "distilbert-base-uncased", "layer": 5, "rescale": True},
)
CHEXBERT = Variant(
    "chexbert-uncertain",
    "F1 of CheXbert's 14 classes and the top 5, uncertain as positive (f1chexbert's rule)",
    {"undefined": "zero"},
)
ROUGE_L = Variant("rouge-l", "ROUGE-L F1 of rouge-score, stemmed, mean")
WORDS_KEPT = 98


class Vilmedic(VocabularyProtocol):
    """Texts as vilmedic decodes them. Unlike there, hypotheses are cleaned too: they may come from any system."""

    SOURCE = "vilmedic (Delbrouck et al., ACL 2022): vilmedic/datasets/base, vilmedic/blocks/scorers"
    SECTIONS = ("findings", "impression")
    TARGET = "impression"
    UNIT = "study, of which models see one image (PA before AP before lateral)"
    CUT = "100 word ids with start and end mark, so 98 words"
    UNKNOWN = "not in the training texts: dropped from both texts"
    LABELS = "CheXbert with uncertain as positive, 14 classes and the top 5; micro and macro"
    METRICS = (
        Variant("bleu", "corpus BLEU-4 of the COCO scorer (and BLEU-1 to BLEU-3)"),
        Variant("meteor", "METEOR 1.5, -l en -norm, corpus aggregate"),
        ROUGE_L,
        DISTILBERT,
        CHEXBERT,
    )
    THRESHOLD = 1

    def hypothesis(self, text: str) -> str:
        return self._decoded(self.clean(text).split())

    def reference(self, text: str) -> str:
        return self._decoded(self.clean(text).split()[:WORDS_KEPT])

    def _decoded(self, words: list[str]) -> str:
        known = self.known()
        return " ".join(word for word in words if word in known)
