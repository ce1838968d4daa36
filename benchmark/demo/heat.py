"""Where the decoder looked for each sentence, as pictures to lay over the radiograph."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from PIL import Image

from benchmark.contracts import Looks
from benchmark.demo.pictures import data_uri
from benchmark.images import Geometry

SIDE = 120
"""Of a map before the picture's part is cut out of it, in pixels; the page stretches it."""
OPAQUE = 0.8
"""Of the place looked at most."""
COLD, HOT = np.array([255.0, 214.0, 10.0]), np.array([208.0, 0.0, 0.0])
_SENTENCE = re.compile(r"\S.*?(?:[.!?](?=\s)|$)", re.DOTALL)


@dataclass(frozen=True)
class Sentence:
    """One of a section, with where the decoder looked as a data URI, empty where that is not known."""

    text: str
    heat: str


def sentences(text: str) -> Iterator[str]:
    """They end at a full stop, question or exclamation mark before white space, or with the text."""
    return (match.group().strip() for match in _SENTENCE.finditer(text))


def sections(
    text: str, findings: str, impression: str, looks: Looks | None, size: tuple[int, int]
) -> tuple[list[Sentence], list[Sentence]]:
    """The sentences of both sections of a report `text` about a picture of `size` (width, height)."""
    at = 0
    both: list[list[Sentence]] = []
    for section in (findings, impression):
        both.append([])
        for sentence in sentences(section):
            begin = text.find(sentence, at)
            if begin >= 0:
                at = begin + len(sentence)
            drawn = heat(looks, begin, at, size) if looks and begin >= 0 else ""
            both[-1].append(Sentence(sentence, drawn))
    return both[0], both[1]


def heat(looks: Looks, begin: int, end: int, size: tuple[int, int]) -> str:
    """The mean map of the tokens that wrote these characters; empty where none did."""
    rows = [i for i, (first, last) in enumerate(looks.spans) if first < end and last > begin]
    if not rows:
        return ""
    square = Image.fromarray(looks.maps[rows].mean(axis=0).astype(np.float32))
    inner = Geometry(SIDE, looks.keep_aspect).inner(size)
    left, top = (SIDE - inner[0]) // 2, (SIDE - inner[1]) // 2
    whole = square.resize((SIDE, SIDE), Image.Resampling.BICUBIC)
    values = np.asarray(whole.crop((left, top, left + inner[0], top + inner[1])))
    low, high = values.min(), values.max()
    share = ((values - low) / (high - low if high > low else 1.0))[..., None]
    colours = COLD + (HOT - COLD) * share
    pixels = np.concatenate([colours, share * OPAQUE * 255.0], axis=2).round().astype(np.uint8)
    return data_uri(Image.fromarray(pixels), "PNG")
