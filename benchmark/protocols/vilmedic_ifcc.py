"""vilmedic with its other cleaning: lower case, words and punctuation divided."""

from __future__ import annotations

from benchmark.protocols import _cleaners, _vilmedic


class Protocol(_vilmedic.Vilmedic):
    """With `ifcc_clean_report`."""

    NAME, VERSION = "vilmedic-ifcc", 1
    CLEANING = "lower case; words and runs of punctuation divided by spaces"
    PARTS = "unit:study|clean:lower-wordpunct|cut:98-words|unknown:dropped|tok:space"

    def clean(self, text: str) -> str:
        return _cleaners.word_punctuation(text)
