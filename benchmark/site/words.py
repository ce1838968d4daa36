"""What a report shares with its reference, and where it says the opposite: pieces of its text to mark."""

from __future__ import annotations

import re
from collections.abc import Sequence

from benchmark.labeler import CLASSES
from benchmark.labeler.label import label, stated

PLAIN, SHARED, OPPOSED = 0, 1, 2
"""Nothing to say of it; in the longest common subsequence of words, which is what ROUGE-L counts; a finding that one
text states and the other denies."""

Pieces = list[tuple[str, int]]
"""A text cut into pieces, each with what is to be said of it."""

Span = tuple[int, int]
"""Where a piece begins and ends in its text."""

_WORD = re.compile(r"\w+(?:[-.']\w+)*")


def marked(text: str, reference: str, against: Sequence[Span]) -> Pieces:
    """The text in pieces, with what is `opposed` in it. Joined they are the text."""
    kinds = [PLAIN] * len(text)
    for begin, end in _shared(text, reference):
        kinds[begin:end] = [SHARED] * (end - begin)
    for begin, end in against:
        kinds[begin:end] = [OPPOSED] * (end - begin)
    pieces: Pieces = []
    for letter, kind in zip(text, kinds, strict=True):
        if pieces and pieces[-1][1] == kind:
            pieces[-1] = pieces[-1][0] + letter, kind
        else:
            pieces.append((letter, kind))
    return pieces


def opposed(text: str, reference: str) -> list[Span]:
    """Where findings stand in a text that its reference contradicts: present here and denied there, or the other way
    round.
    """
    expected = label(reference)
    return [span for name, value, span in stated(text) if name in CLASSES and {value, expected.get(name)} == {0, 1}]


def _shared(text: str, reference: str) -> Sequence[Span]:
    """Where the words of a longest common subsequence stand in the text."""
    from rapidfuzz.distance import LCSseq

    here = list(_WORD.finditer(text))
    words = [match.group().lower() for match in here]
    blocks = LCSseq.opcodes(words, [match.group().lower() for match in _WORD.finditer(reference)])
    return [here[i].span() for block in blocks if block.tag == "equal" for i in range(block.src_start, block.src_end)]
