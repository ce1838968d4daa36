"""Findings stated in the text of a report, and the CheXpert labels that follow."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from benchmark.labeler._phrases import compiled, read
from benchmark.labeler._places import places
from benchmark.labeler._scope import NEGATIVE, POSITIVE, UNCERTAIN, Span, values
from benchmark.labeler._sentences import sentences

NO_FINDING, DEVICES, OTHER = "No Finding", "Support Devices", "Other"
REMEMBERED = 1 << 16
"""Texts and sentences whose findings are kept: reports repeat one another."""

_FINDINGS = {name: compiled(lists) for name, lists in read("vocabulary.toml")["findings"].items()}
_RANK = (NEGATIVE, UNCERTAIN, POSITIVE)
_LETTER = re.compile(r"[A-Za-z]")
_BLANK = re.compile(r"[\s_\u00ad]")


@dataclass(frozen=True)
class Mention:
    """One finding in a text."""

    label: str
    """A CheXpert class, or OTHER for what is abnormal and of none."""
    value: int
    """1 present, 0 denied, -1 uncertain."""
    side: str
    """left, right, bilateral, or empty."""
    location: str
    """upper, middle, lower, or empty."""
    severity: str
    """mild, moderate, severe, or empty."""
    size_mm: float | None
    """The length or diameter given with it."""
    span: Span
    """Where its words begin and end in the text."""


def label(text: str) -> dict[str, int]:
    """CheXpert classes that the text states: 1 present, 0 denied, -1 uncertain; what it does not mention is absent.

    Of several mentions of a class the strongest counts: present, then uncertain, then denied. `No Finding` is 1 where
    nothing is present or uncertain but Support Devices, abnormal findings of no class included; it is never 0. A text
    without a Latin letter states nothing.
    """
    return dict(_label(text))


def mentions(text: str) -> list[Mention]:
    """Every finding that the text names, in order. A sentence is read by itself."""
    found = []
    for begin, sentence in sentences(text):
        plain = _plain(sentence)
        found_here = _stated(plain)
        for (name, value, (first, last)), place in zip(
            found_here, places(plain, [span for _, _, span in found_here]), strict=True
        ):
            span = begin + first, begin + last
            found.append(Mention(name, value, place.side, place.location, place.severity, place.size_mm, span))
    return found


def stated(text: str) -> list[tuple[str, int, Span]]:
    """Label, value and span of the `mentions`, without the rest, which takes most of the time."""
    return [
        (name, value, (begin + first, begin + last))
        for begin, sentence in sentences(text)
        for name, value, (first, last) in _stated(_plain(sentence))
    ]


@lru_cache(REMEMBERED)
def _label(text: str) -> Mapping[str, int]:
    found: dict[str, int] = {}
    for _, sentence in sentences(text):
        for name, value, _ in _stated(_plain(sentence)):
            found[name] = max(found.get(name, value), value, key=_RANK.index)
    abnormal = any(value != NEGATIVE for name, value in found.items() if name != DEVICES)
    found.pop(OTHER, None)
    if not abnormal and _LETTER.search(text):
        found[NO_FINDING] = POSITIVE
    return found


@lru_cache(REMEMBERED)
def _stated(sentence: str) -> tuple[tuple[str, int, Span], ...]:
    """Label, value and span of every finding of a sentence, in order."""
    found = sorted(
        (match.span(), name, match.lastgroup)
        for name, phrases in _FINDINGS.items()
        for match in phrases.finditer(sentence)
        if match.lastgroup != "apart"
    )
    if not found:
        return ()
    said = values(sentence, [span for span, _, _ in found])
    valued = (
        (name, NEGATIVE if kind == "absent" else value, span)
        for (span, name, kind), value in zip(found, said, strict=True)
    )
    return tuple((name, value, span) for name, value, span in valued if value is not None)


def _plain(sentence: str) -> str:
    """Lower case, and blanks of one kind, underscores among them; every character stays where it was."""
    lowered = sentence.lower()
    if len(lowered) != len(sentence):  # İ becomes two characters
        lowered = "".join(each.lower() if len(each.lower()) == 1 else each for each in sentence)
    return _BLANK.sub(" ", lowered)
