"""F1 of stated CheXpert classes where neither text is uncertain.

U-Ignore of the CheXpert paper (Irvin et al., AAAI 2019): a class that either text calls uncertain is not counted for
that pair. The counting stands in `_label_counts`.
"""

from __future__ import annotations

from typing import ClassVar

from benchmark.metrics import _label_counts


class Metric(_label_counts.LabelF1):
    """Rows, shape (pairs, 47)."""

    PREFIX: ClassVar[str] = "label_f1_certain"
    KEYS: ClassVar[tuple[str, ...]] = _label_counts.keys(PREFIX)
    UNCERTAIN: ClassVar[str] = "left-out"
