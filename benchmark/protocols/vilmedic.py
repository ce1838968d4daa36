"""vilmedic: impression (or findings) under R2Gen's cleaner, words unseen in training dropped."""

from __future__ import annotations

from benchmark.protocols import _cleaners, _vilmedic


class Protocol(_vilmedic.Vilmedic):
    """With `r2gen_clean_report`, vilmedic's usual processing."""

    NAME, VERSION = "vilmedic", 1
    CLEANING = "R2Gen's cleaner, MIMIC form, but an empty report stays empty"
    PARTS = "unit:study|clean:r2gen-mimic-empty|cut:98-words|unknown:dropped|tok:space"

    def clean(self, text: str) -> str:
        return _cleaners.VILMEDIC(text)
