"""R2Gen and R2GenCMN on IU X-Ray: findings of studies with two images, rare words as `<unk>`."""

from __future__ import annotations

from benchmark.protocols import _cleaners, _r2gen


class Protocol(_r2gen.R2Gen):
    """A perfect system does not get full marks: references are cut."""

    NAME, VERSION = "r2gen-iu", 1
    UNIT = "study with exactly two images"
    CLEANING = "R2Gen's cleaner, IU form"
    CUT = "59 words"
    UNKNOWN = "fewer than 3 times in the training texts: <unk> in both texts, counts as a match"
    PARTS = "unit:study-of-2-images|clean:r2gen-iu|cut:59-words|unknown:<unk>-below-3|tok:space"
    CLEANER = _cleaners.R2GEN_IU
    WORDS_KEPT = 59
    THRESHOLD = 3

    def rows(self, images: int) -> int:
        return int(images == 2)
