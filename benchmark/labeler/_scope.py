"""What a sentence says of a finding in it: that it is there, that it is not, or that it may be.

After NegEx (Chapman et al., J Biomed Inform 2001) and NegBio (Peng et al., AMIA 2018): cues before and behind a finding
reach it unless something between ends their reach. The cues are data (cues.toml).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from benchmark.labeler._phrases import any_of, compiled, read

POSITIVE, NEGATIVE, UNCERTAIN = 1, 0, -1
Span = tuple[int, int]

_LISTS = read("cues.toml")
_CUES = compiled(_LISTS["cues"])
_OPENING = {word: any_of(phrases) for word, phrases in _LISTS["opening"].items()}
_NEW_STATEMENT = re.compile(
    rf",(?: and| with)? {_OPENING['comma']}|\band {_OPENING['and']}|\bwith {_OPENING['with']}",
)
_FORWARD = frozenset({"denial_before", "doubt_before", "doubt_around", "aside"})
_BACKWARD = frozenset({"denial_after", "doubt_after", "doubt_around"})
_PAST_AND = frozenset({"denial_before", "aside"})
"""Their reach goes past an `and` that joins findings: "no effusion and pneumothorax"; "no effusion is seen and …" has
said its say, and a doubt never goes on ("possible effusion and rib fracture")."""
_NEAREST = frozenset({"doubt_around"})
"""They reach one finding on either side and none beyond it."""
_AND = re.compile(r"\band\b")
_VERB = re.compile(r"\b(?:is|are|was|were|has|have|shows?|demonstrates?|seen|noted|present|identified)\b")


@dataclass(frozen=True)
class _Cue:
    """Words that change what findings around them are worth."""

    begin: int
    end: int
    kind: str
    """The list of cues.toml that they stand in."""


def values(sentence: str, spans: Sequence[Span]) -> list[int | None]:
    """What a sentence in lower case says of each finding, given their spans: POSITIVE, NEGATIVE or UNCERTAIN.

    None for what is only asked for or remembered. A denial goes before a doubt that stands between it and the finding
    ("no opacity to suggest pneumonia").
    """
    cues = [_Cue(*found.span(), str(found.lastgroup)) for found in _CUES.finditer(sentence)]
    return [_value({cue.kind for cue in cues if _reaches(cue, sentence, span, cues, spans)}) for span in spans]


def _value(kinds: set[str]) -> int | None:
    if "aside" in kinds:
        return None
    if kinds & {"denial_before", "denial_after"}:
        return NEGATIVE
    return UNCERTAIN if kinds & {"doubt_before", "doubt_after", "doubt_around"} else POSITIVE


def _reaches(cue: _Cue, sentence: str, span: Span, cues: Sequence[_Cue], spans: Sequence[Span]) -> bool:
    """Whether a finding lies within the reach of a cue."""
    begin, end = span
    if begin <= cue.begin and cue.end <= end:  # the heart is not enlarged
        return True
    if cue.end <= begin and cue.kind in _FORWARD:
        at, to = cue.end, begin
        joint = _AND.search(sentence, at, to)
        past = cue.kind in _PAST_AND and not (joint and _VERB.search(sentence, at, joint.start()))
        ended = bool(_NEW_STATEMENT.search(sentence, at, end) or (joint and not past))
    elif end <= cue.begin and cue.kind in _BACKWARD:
        at, to = end, cue.begin
        joint = _AND.search(sentence, at, to)
        ended = "," in sentence[at:to] or bool(joint and _VERB.search(sentence, begin, to))
    else:
        return False
    barred = any(other.kind == "barrier" and at <= other.begin < to for other in cues)
    passed = cue.kind in _NEAREST and any(at <= other < to for other, _ in spans)
    return not (ended or barred or passed)
