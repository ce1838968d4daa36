"""How other projects clean a report before they score it, character by character.

Sources: R2Gen (Chen et al. 2020, modules/tokenizers.py), R2GenGPT (Wang et al. 2023, dataset/data_helper.py), vilmedic
(Delbrouck et al. 2022), CXR-Report-Metric (Yu et al. 2023). What looks like a slip there (a character range that was
meant as three characters, numbers that lose their point) is part of the published scores, so it is kept.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_QUOTES = str.maketrans("", "", "\"/\\'")


@dataclass(frozen=True)
class SentenceCleaner:
    """R2Gen's cleaner: sentences in lower case without punctuation, each full stop a token of its own."""

    dropped: re.Pattern[str]
    """Characters removed from a sentence."""
    collapses: tuple[tuple[str, str, int], ...]
    """What is replaced beforehand, by what, and how many times over."""
    spaced_colon: bool = False
    keeps_empty: bool = False
    """Whether a report of which nothing is left is empty instead of a lone full stop."""

    def __call__(self, text: str) -> str:
        for old, new, times in self.collapses:
            for _ in range(times):
                text = text.replace(old, new)
        text = text.replace("1. ", "")
        for before in (". ", " "):
            for number in range(2, 6):
                text = text.replace(f"{before}{number}. ", ". ")
        if self.spaced_colon:
            text = text.replace(":", " :")
        sentences = [self._sentence(sentence) for sentence in text.strip().lower().split(". ")]
        if self.keeps_empty and sentences == [""]:
            return ""
        return " . ".join(sentences) + " ."

    def _sentence(self, sentence: str) -> str:
        return self.dropped.sub("", sentence.translate(_QUOTES).strip().lower())


_RANGE = re.compile(r"[.,?;*!%^&_+():-\[\]{}]")
"""`:-\\[` is a range, U+003A to U+005B: it takes `: ; < = > ? @ [` and no hyphen."""
_NO_RANGE = re.compile(r"[.,?;*!%^&_+()\[\]{}]")
_MIMIC = (("\n", " ", 1), ("__", "_", 7), ("  ", " ", 6), ("..", ".", 8))
_IU = (("..", ".", 3),)

R2GEN_MIMIC = SentenceCleaner(_RANGE, _MIMIC)
R2GEN_IU = SentenceCleaner(_RANGE, _IU)
R2GENGPT_MIMIC = SentenceCleaner(_NO_RANGE, _MIMIC, spaced_colon=True)
R2GENGPT_IU = R2GEN_IU
VILMEDIC = SentenceCleaner(_RANGE, _MIMIC, keeps_empty=True)


def word_punctuation(text: str) -> str:
    """Lower case; runs of letters and digits and runs of other signs, divided by single spaces (vilmedic's `ifcc`)."""
    return " ".join(re.findall(r"\w+|[^\w\s]+", text.lower()))


def spaces(text: str) -> str:
    """Runs of spaces become one (CXRMate); other white space stays."""
    return re.sub(" +", " ", text)


def cxr_report_metric(text: str) -> str:
    """Lower case, a space before each full stop, and the words between single spaces joined again by one."""
    return " ".join(filter(None, text.lower().replace(".", " .").split(" ")))
