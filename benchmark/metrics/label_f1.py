"""F1 of stated CheXpert classes: present against all else, uncertain labels as negative.

The positive-only F1 of R2GenCMN and CXRMate (blank and uncertain as 0), which is the same number as U-Zeros of the
CheXpert paper (Irvin et al., AAAI 2019). The counting stands in `_label_counts`.
"""

from __future__ import annotations

from typing import ClassVar

from benchmark.metrics import _label_counts


class Metric(_label_counts.LabelF1):
    """Rows, shape (pairs, 47)."""

    PREFIX: ClassVar[str] = "label_f1"
    KEYS: ClassVar[tuple[str, ...]] = _label_counts.keys(PREFIX)
    UNCERTAIN: ClassVar[str] = "negative"
