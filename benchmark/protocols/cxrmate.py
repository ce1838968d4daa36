"""CXRMate: findings and impression of studies that have both; BLEU and METEOR as means over studies."""

from __future__ import annotations

from collections.abc import Sequence

from benchmark.protocols import _base, _cleaners, _ptb
from benchmark.protocols._base import Variant

MOST_IMAGES = 5


class Protocol(_base.Protocol):
    """BERTScore reads the text as it is, the other metrics Penn Treebank tokens."""

    NAME, VERSION = "cxrmate", 1
    SOURCE = "CXRMate (Nicolson et al., 2024): tools/metrics/coco.py, tools/metrics/bertscore.py"
    SECTIONS = ("report",)
    UNIT = "study with at most five images, findings and impression both there"
    CLEANING = "runs of spaces become one"
    TOKENS = _ptb.WORDS
    LABELS = "CheXbert, positives only; micro, macro and per example"
    METRICS = (
        Variant("bleu", "mean over studies of BLEU-1 to BLEU-4 of the COCO scorer", {"level": "mean"}),
        Variant("meteor", "mean over studies of METEOR 1.5, -l en -norm", {"level": "mean"}),
        Variant("rouge-l-coco", "ROUGE-L of the COCO scorer, beta 1.2, mean"),
        Variant("cider", "CIDEr of the COCO scorer, mean"),
        Variant(
            "bertscore",
            "BERTScore F1, roberta-large, layer 17, rescaled, no idf",
            {"encoder": "roberta-large", "layer": 17, "rescale": True},
        ),
        Variant(
            "chexbert", "F1 of CheXbert's 14 classes, positives only; micro, macro, per example", {"undefined": "zero"}
        ),
    )

    @property
    def signature(self) -> str:
        head = f"protocol:{self.name}|version:{self.version}|unit:study-of-{MOST_IMAGES}-images-at-most"
        return f"{head}|clean:spaces|{_ptb.SIGNATURE}"

    def clean(self, text: str) -> str:
        return _cleaners.spaces(text)

    def hypothesis(self, text: str) -> str:
        return text if text.strip() else ""

    def reference(self, text: str) -> str:
        return text

    def tokenize(self, texts: Sequence[str]) -> list[list[str]]:
        """Line separators count as spaces. Raises Unavailable where Java is missing."""
        return _ptb.tokenize([" ".join(self.clean(text).split()) for text in texts])

    def rows(self, images: int) -> int:
        return int(images <= MOST_IMAGES)
