"""F1 of the classes that CheXbert reads in two texts (Smit et al., EMNLP 2020). The counting stands in `_label_counts`.

As the package f1chexbert, except that a text without a letter or digit states nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import ClassVar

import numpy as np

from benchmark import labeler
from benchmark.annotators import chexbert
from benchmark.annotators.once import annotate_once
from benchmark.metrics import _label_counts

_VALUES = {chexbert.POSITIVE: 1, chexbert.UNCERTAIN: -1, chexbert.NEGATIVE: 0, chexbert.BLANK: 0}


class CheXbertF1(_label_counts.LabelF1):
    """What the three rules for uncertain labels have in common. Raises Unavailable where CheXbert is not here."""

    FETCH: ClassVar[tuple[str, ...]] = ("chexbert",)

    @cached_property
    def annotator(self) -> chexbert.CheXbert:
        return chexbert.CheXbert(self.context)

    @property
    def labeler(self) -> str:
        return self.annotator.identity

    def rows(self, hypotheses: Sequence[str], references: Sequence[str]) -> np.ndarray:
        annotate_once(self.annotator, [*hypotheses, *references])
        return super().rows(hypotheses, references)

    def labels(self, texts: Sequence[str]) -> np.ndarray:
        read = annotate_once(self.annotator, texts)
        rows = [
            [_VALUES[read[text].outcomes[name]] if text in read else 0 for name in labeler.CLASSES] for text in texts
        ]
        return np.array(rows).reshape(len(texts), len(labeler.CLASSES))
