"""R2Gen and R2GenCMN on MIMIC-CXR: findings, one row an image, rare words as `<unk>`."""

from __future__ import annotations

from benchmark.protocols import _cleaners, _r2gen


class Protocol(_r2gen.R2Gen):
    """Every image of a study is a row with the study's findings, in training texts too."""

    NAME, VERSION = "r2gen-mimic", 1
    UNIT = "image: every image of a study is a row with the study's findings"
    CLEANING = "R2Gen's cleaner, MIMIC form"
    CUT = "99 words"
    UNKNOWN = "fewer than 10 times in the training texts (by image): <unk> in both texts, counts as a match"
    PARTS = "unit:image|clean:r2gen-mimic|cut:99-words|unknown:<unk>-below-10|tok:space"
    CLEANER = _cleaners.R2GEN_MIMIC
    WORDS_KEPT = 99
    THRESHOLD = 10

    def rows(self, images: int) -> int:
        return images
