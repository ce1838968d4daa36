"""R2GenGPT on IU X-Ray: findings, references cut to 60 sub-words of Llama 2."""

from __future__ import annotations

from benchmark.protocols import _cleaners, _r2gengpt


class Protocol(_r2gengpt.R2GenGPT):
    """Annotation ids of IU X-Ray are studies; their reports are findings."""

    NAME, VERSION = "r2gengpt-iu", 1
    TARGET = "findings"
    UNIT = "annotation id, which in IU X-Ray's annotation.json is a study"
    CLEANING = "R2Gen's cleaner, IU form"
    CUT = "first 60 sub-words of the language model's tokenizer"
    PARTS = "unit:study|clean:r2gen-iu|cut:60-subwords|unknown:removed|tok:space"
    CLEANER = _cleaners.R2GENGPT_IU
    SUBWORDS_KEPT = 60
