"""Sentences of a report."""

from __future__ import annotations

import re
from collections.abc import Iterator

_END = re.compile(
    r"(?<=[\w)\]%])[.!?;]+(?=\s|$)"
    r"|\s[.!?;]+(?=\s|$)"  # as tokens: clear . heart
    r"|(?<=[^\W\d_][^\W\d_])[.;](?=[^\W\d_]{2})"  # clear.Heart
    r"|\n\s*\n|\n\s*[-*•]\s"
)
_NO_END = re.compile(r"(?:\b(?:dr|mr|mrs|ms|vs|approx|st|e\.g|i\.e|a\.p|p\.a)|^\s*\(?\d+)$", re.IGNORECASE)


LONGEST = 600
"""Characters. What goes on for longer is no sentence, and is cut between words so that time grows with length alone."""


def sentences(text: str) -> Iterator[tuple[int, str]]:
    """Where each sentence begins, and the sentence without the mark at its end; a list's number is none by itself."""
    for begin, sentence in _marked(text):
        while len(sentence) > LONGEST:
            cut = sentence.rfind(" ", 0, LONGEST) + 1 or LONGEST
            yield begin, sentence[:cut]
            begin, sentence = begin + cut, sentence[cut:]
        yield begin, sentence


def _marked(text: str) -> Iterator[tuple[int, str]]:
    begin = 0
    for end in _END.finditer(text):
        sentence = text[begin : end.start()]
        if end.group() == "." and _NO_END.search(sentence[-40:]):
            continue
        if sentence.strip():
            yield begin, sentence
        begin = end.end()
    if text[begin:].strip():
        yield begin, text[begin:]
