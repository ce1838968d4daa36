"""Side, place, severity and size of a finding: the words nearest to it in its part of the sentence."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from benchmark.labeler._phrases import any_of, compiled, read
from benchmark.labeler._scope import Span

_VOCABULARY = read("vocabulary.toml")
_SIDE, _LOCATION, _SEVERITY = (compiled(_VOCABULARY[name]) for name in ("side", "location", "severity"))
_SIZE = re.compile(r"(?<![\d.])(?P<number>\d+(?:\.\d+)?) ?-?(?P<unit>mm|millimeters?|cm|centimeters?)\b")
_LINK = re.compile(any_of(read("cues.toml")["link"]["words"]))
_BREAK = re.compile(r",|\band\b|\bwith\b")


@dataclass(frozen=True)
class Place:
    """What is said about a finding besides that it is there; empty strings and None where nothing is."""

    side: str = ""
    """left, right or bilateral."""
    location: str = ""
    """upper, middle or lower."""
    severity: str = ""
    """mild, moderate or severe."""
    size_mm: float | None = None


def places(sentence: str, spans: Sequence[Span]) -> list[Place]:
    """One for each finding of a sentence in lower case, given their spans in order of their beginnings.

    A property is looked for in the finding's own words, before them as far as the finding before, a comma, `and` or
    `with`, then behind them likewise. A finding that has no place of its own takes that of the one before where words
    such as "consistent with" join them.
    """
    found: list[Place] = []
    for i, (begin, end) in enumerate(spans):
        others = [span for j, span in enumerate(spans) if j != i]
        low = max([other for _, other in others if other <= begin], default=0)
        high = min([other for other, _ in others if other >= end], default=len(sentence))
        breaks = [at.end() for at in _BREAK.finditer(sentence, low, begin)]
        stop = _BREAK.search(sentence, end, high)
        before, behind = (max([low, *breaks]), end), (end, stop.start() if stop else high)
        side, location, severity = (_word(words, sentence, before, behind) for words in (_SIDE, _LOCATION, _SEVERITY))
        place = Place(side, location, severity, _size(sentence, before, behind))
        if i and not (place.side or place.location) and _LINK.search(sentence, spans[i - 1][1], begin):
            place = replace(place, side=found[-1].side, location=found[-1].location)
        found.append(place)
    return found


def _nearest(words: re.Pattern[str], sentence: str, before: Span, behind: Span) -> re.Match[str] | None:
    """The last match before the end of the finding, else the first behind it."""
    matches = list(words.finditer(sentence, *before))
    return matches[-1] if matches else words.search(sentence, *behind)


def _word(words: re.Pattern[str], sentence: str, before: Span, behind: Span) -> str:
    found = _nearest(words, sentence, before, behind)
    return str(found.lastgroup) if found else ""


def _size(sentence: str, before: Span, behind: Span) -> float | None:
    found = _nearest(_SIZE, sentence, before, behind)
    if found is None:
        return None
    return float(found["number"]) * (10 if found["unit"].startswith("c") else 1)
