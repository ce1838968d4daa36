"""CheXbert F1 with uncertain labels as positive.

The rule of f1chexbert, vilmedic and RadEval. See `_chexbert_f1`; needs CheXbert's weights (`bench fetch chexbert`).
"""

from __future__ import annotations

from typing import ClassVar

from benchmark.metrics import _chexbert_f1, _label_counts


class Metric(_chexbert_f1.CheXbertF1):
    """Rows, shape (pairs, 47)."""

    PREFIX: ClassVar[str] = "chexbert_uncertain"
    KEYS: ClassVar[tuple[str, ...]] = _label_counts.keys(PREFIX)
    IN_DEFAULT: ClassVar[bool] = False
    UNCERTAIN: ClassVar[str] = "positive"
