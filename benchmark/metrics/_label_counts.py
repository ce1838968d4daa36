"""F1 of CheXpert classes that two texts state, both read by one labeler: the rules, or CheXbert.

Rows, shape (pairs, 47): true positives, false positives and false negatives of the 14 classes; F1 of the pair in each
set of classes; 1 where the hypothesis has words; 1.

F1 of a class is 2 tp / (2 tp + fp + fn). `micro` adds the counts of all classes first; `macro` is the mean over the
classes that either side states at least once; `weighted` weighs it by how often the references state a class (so it is
the one that a missing report can raise: it adds weight to its classes); `example` is the mean of each pair's own F1.
These are scikit-learn's averages with undefined classes left out (`zero_division=nan`). Where nothing is defined,
because neither side states a class of the set, a hypothesis with words is right (1) and an empty one is not (0).

Where `undefined` is `zero`, all that is undefined counts as 0, as in scikit-learn's own default and the projects that
use it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np

from benchmark import contracts, labeler
from benchmark.labeler.label import label

COMPETITION = ("Atelectasis", "Cardiomegaly", "Consolidation", "Edema", "Pleural Effusion")
SETS: Mapping[str, tuple[str, ...]] = {
    "14": labeler.CLASSES,
    "13": tuple(name for name in labeler.CLASSES if name != "No Finding"),
    "5": COMPETITION,
}
"""All; without No Finding; those of the CheXpert competition (Irvin et al., AAAI 2019)."""
AVERAGES = ("micro", "macro", "weighted", "example")
_PICKED = {name: np.isin(labeler.CLASSES, classes) for name, classes in SETS.items()}
_N = len(labeler.CLASSES)
_WORDS, _PAIRS = 3 * _N + len(SETS), 3 * _N + len(SETS) + 1


def keys(prefix: str) -> tuple[str, ...]:
    """`prefix_micro_14` and so on, for every average and set."""
    return tuple(f"{prefix}_{average}_{name}" for name in SETS for average in AVERAGES)


class LabelF1(contracts.Metric):
    """What the three rules for uncertain labels have in common."""

    INPUT: ClassVar[str] = "text"
    PREFIX: ClassVar[str]
    """Of the keys."""
    UNCERTAIN: ClassVar[str]
    """What becomes of a label that one side calls uncertain: `negative`, `positive`, or `left-out` of both sides."""

    def __init__(self, context: contracts.MetricContext, undefined: str = "left-out"):
        super().__init__(context)
        self.undefined = undefined

    @property
    def labeler(self) -> str:
        """The labeler's part of the signature."""
        return f"rules-{labeler.VERSION}"

    def labels(self, texts: Sequence[str]) -> np.ndarray:
        """What each text states of each class: 1 present, -1 uncertain, else 0; shape (texts, 14)."""
        read = [label(text) for text in texts]
        return np.array([[one.get(name, 0) for name in labeler.CLASSES] for one in read]).reshape(len(texts), _N)

    @property
    def signature(self) -> str:
        labels = f"labeler:{self.labeler}|uncertain:{self.UNCERTAIN}|classes:14,13,5"
        return f"{self.PREFIX}|{labels}|undefined:{self.undefined}|empty:0"

    def rows(self, hypotheses: Sequence[str], references: Sequence[str]) -> np.ndarray:
        written, given = self.labels(hypotheses), self.labels(references)
        (present, doubted), (expected, unsure) = ((labels == 1, labels == -1) for labels in (written, given))
        if self.UNCERTAIN == "positive":
            present, expected = present | doubted, expected | unsure
        elif self.UNCERTAIN == "left-out":
            sure = ~(doubted | unsure)
            present, expected = present & sure, expected & sure
        counts = np.stack([present & expected, present & ~expected, expected & ~present], axis=1).astype(float)
        rows = np.ones((len(hypotheses), _PAIRS + 1))
        rows[:, : 3 * _N] = counts.reshape(len(rows), 3 * _N)
        rows[:, _WORDS] = [self.undefined != "zero" and any(map(str.isalnum, text)) for text in hypotheses]
        for column, picked in enumerate(_PICKED.values(), 3 * _N):
            tp, fp, fn = np.moveaxis(counts[..., picked].sum(axis=-1), 1, 0)
            rows[:, column] = _f1(tp, fp, fn, rows[:, _WORDS])
        return rows

    def aggregate(self, sums: np.ndarray) -> dict[str, np.ndarray]:
        pairs = sums[..., _PAIRS]
        nothing = np.zeros_like(pairs)
        right = _ratio(sums[..., _WORDS], pairs, nothing)
        found: dict[str, np.ndarray] = {}
        for column, (name, picked) in enumerate(_PICKED.items(), 3 * _N):
            tp, fp, fn = (counts[..., picked] for counts in _counts(sums))
            f1, support, occurs = _f1(tp, fp, fn, np.zeros_like(tp)), tp + fn, (tp + fp + fn > 0).sum(axis=-1)
            averaged = np.full_like(occurs, len(SETS[name])) if self.undefined == "zero" else occurs
            values = (
                _f1(tp.sum(axis=-1), fp.sum(axis=-1), fn.sum(axis=-1), right),
                _ratio(f1.sum(axis=-1), averaged, right),
                _ratio((f1 * support).sum(axis=-1), support.sum(axis=-1), np.where(occurs > 0, nothing, right)),
                _ratio(sums[..., column], pairs, nothing),
            )
            found |= {f"{self.PREFIX}_{average}_{name}": value for average, value in zip(AVERAGES, values, strict=True)}
        return found

    def by_class(self, sums: np.ndarray) -> dict[str, np.ndarray]:
        """F1 of each class from summed rows; 0 where neither side states it."""
        tp, fp, fn = _counts(sums)
        return dict(zip(labeler.CLASSES, np.moveaxis(_f1(tp, fp, fn, np.zeros_like(tp)), -1, 0), strict=True))


def _counts(sums: np.ndarray) -> list[np.ndarray]:
    """True positives, false positives and false negatives by class, shape (..., 14) each."""
    return np.split(sums[..., : 3 * _N], 3, axis=-1)


def _f1(tp: np.ndarray, fp: np.ndarray, fn: np.ndarray, undefined: np.ndarray) -> np.ndarray:
    return _ratio(2 * tp, 2 * tp + fp + fn, undefined)


def _ratio(numerator: np.ndarray, denominator: np.ndarray, undefined: np.ndarray) -> np.ndarray:
    """The quotient; `undefined` where the denominator is 0."""
    return np.divide(numerator, denominator, out=np.array(undefined, dtype=float), where=denominator > 0)
