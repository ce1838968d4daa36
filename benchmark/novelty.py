"""Does a model write, or does it recite? What of its reports stands word for word in the texts it was trained on.

Training leaves the hashes of its texts beside the checkpoint, so that this can be asked without the training data at
hand. Hashes are of 64 bits: among ten million n-grams one in a trillion is taken for another.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.schema import Prediction, Reference
from benchmark.sections import join_output

if TYPE_CHECKING:
    import numpy as np

FILE = "training-texts.npz"
N = 4
"""Length of the n-grams, in words."""
_FIELDS = ("reports", "findings", "impressions", "ngrams")


@dataclass(frozen=True)
class TrainingTexts:
    """Sorted 64-bit hashes of what a model was trained on; arrays of uint64."""

    reports: np.ndarray
    findings: np.ndarray
    impressions: np.ndarray
    ngrams: np.ndarray

    @classmethod
    def of(cls, references: Sequence[Reference]) -> TrainingTexts:
        """The hashes of reports, their sections, and all n-grams of the reports as a model is taught to write them."""
        reports = [join_output(reference.findings, reference.impression) for reference in references]
        return cls(
            _hashes(map(plain, reports)),
            _hashes(plain(reference.findings) for reference in references),
            _hashes(plain(reference.impression) for reference in references),
            _hashes(gram for report in reports for gram in _ngrams(report)),
        )

    def save(self, folder: Path) -> None:
        import numpy as np

        np.savez_compressed(folder / FILE, **{name: getattr(self, name) for name in _FIELDS})

    @classmethod
    def load(cls, folder: Path) -> TrainingTexts | None:
        """What `save` wrote; None where a checkpoint was made elsewhere and has none."""
        import numpy as np

        if not (folder / FILE).is_file():
            return None
        with np.load(folder / FILE, allow_pickle=False) as found:
            return cls(*(found[name] for name in _FIELDS))

    def copied(self, references: Sequence[Reference]) -> list[bool]:
        """For each reference, whether its findings (its impression where it has none) stand in the training texts."""
        return [
            _among(_hash(plain(reference.findings or reference.impression)), known)
            for reference in references
            for known in [self.findings if reference.findings else self.impressions]
        ]

    def describe(self, predictions: Sequence[Prediction]) -> dict[str, Any]:
        """How many of a model's reports are copies, and how much of what they say was never written in training.

        One of findings alone, or an impression, is a copy also where the report that it stands in had more. Reports are
        read as a model is taught to write them, whatever headings they have. `novel_4gram_share` is None where no
        report has N words.
        """
        reports = [join_output(prediction.findings, prediction.impression) for prediction in predictions]
        grams = [_hash(gram) for report in reports for gram in _ngrams(report)]
        novel = sum(not _among(gram, self.ngrams) for gram in grams)
        copies = sum(map(self._is_copy, predictions, reports))
        return {
            "copied_from_training_share": copies / len(predictions),
            f"novel_{N}gram_share": novel / len(grams) if grams else None,
        }

    def _is_copy(self, prediction: Prediction, report: str) -> bool:
        if _among(_hash(plain(report)), self.reports):
            return True
        if prediction.findings and prediction.impression:
            return False
        known = self.findings if prediction.findings else self.impressions
        return _among(_hash(plain(prediction.findings or prediction.impression)), known)


def plain(text: str) -> str:
    """The words of a text in lower case, without punctuation: two texts that agree in this are copies."""
    return " ".join(re.findall(r"\w+", text.lower()))


def _ngrams(text: str) -> Iterator[str]:
    words = plain(text).split()
    return (" ".join(words[i : i + N]) for i in range(len(words) - N + 1))


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=8).digest(), "big")


def _hashes(texts: Iterable[str]) -> np.ndarray:
    import numpy as np

    return np.array(sorted({_hash(text) for text in texts if text}), dtype=np.uint64)


def _among(value: int, known: np.ndarray) -> bool:
    import numpy as np

    if not len(known):
        return False
    wanted = np.uint64(value)
    place = int(np.searchsorted(known, wanted))
    return place < len(known) and bool(known[place] == wanted)
