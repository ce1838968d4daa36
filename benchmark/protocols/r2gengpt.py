"""R2GenGPT on MIMIC-CXR: findings and impression, references cut to 100 sub-words of Llama 2."""

from __future__ import annotations

from benchmark.protocols import _cleaners, _r2gengpt


class Protocol(_r2gengpt.R2GenGPT):
    """Its annotation.json has one id an image, so every image of a study is a row."""

    NAME, VERSION = "r2gengpt", 1
    UNIT = "annotation id, which in MIMIC-CXR's annotation.json is an image"
    CLEANING = "R2Gen's cleaner, MIMIC form, but ` :` for `:`, and `: < = > @` stay"
    CUT = "first 100 sub-words of the language model's tokenizer"
    PARTS = "unit:image|clean:r2gengpt-mimic|cut:100-subwords|unknown:removed|tok:space"
    CLEANER = _cleaners.R2GENGPT_MIMIC
    SUBWORDS_KEPT = 100

    def rows(self, images: int) -> int:
        return images
