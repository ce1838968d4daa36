"""CheXbert F1 of classes that neither text is uncertain about.

U-Ignore of the CheXpert paper. See `_chexbert_f1`; needs CheXbert's weights (`bench fetch chexbert`).
"""

from __future__ import annotations

from typing import ClassVar

from benchmark.metrics import _chexbert_f1, _label_counts


class Metric(_chexbert_f1.CheXbertF1):
    """Rows, shape (pairs, 47)."""

    PREFIX: ClassVar[str] = "chexbert_certain"
    KEYS: ClassVar[tuple[str, ...]] = _label_counts.keys(PREFIX)
    IN_DEFAULT: ClassVar[bool] = False
    UNCERTAIN: ClassVar[str] = "left-out"
