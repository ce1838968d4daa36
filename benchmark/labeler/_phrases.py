"""The little language of the vocabulary: phrases of words, as regular expressions."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from importlib import resources
from typing import Any

BETWEEN = r"[ /-]+"
"""What stands between two words."""
GAP = rf"(?:{BETWEEN}(?!(?:normal|unremarkable|clear|with|without|but|no|there)\b)[\w%.'/]+){{0,6}}?"
"""What `...` stands for."""


def read(name: str) -> dict[str, Any]:
    """A TOML file of this package."""
    return tomllib.loads(resources.files(__package__).joinpath(name).read_text(encoding="utf-8"))


def pattern(phrase: str) -> str:
    """A regular expression for one phrase in lower-case text; vocabulary.toml says how phrases are written."""
    made, before = "", ""
    for word in phrase.split():
        if word == "...":
            made += GAP
            continue
        forms = (re.escape(form).replace(r"\*", r"\w*") for form in word.rstrip("?").split("|"))
        either = rf"(?:{'|'.join(forms)})\b"
        if not word.endswith("?"):
            made, before = f"{made}{before}{either}", BETWEEN
        else:
            made += f"(?:{before}{either}{'' if before else BETWEEN})?"
    return rf"\b{made}"


def any_of(phrases: Iterable[str]) -> str:
    """A regular expression for the first phrase that fits."""
    return f"(?:{'|'.join(map(pattern, phrases))})"


def compiled(lists: Mapping[str, Iterable[str]]) -> re.Pattern[str]:
    """One expression of named lists of phrases; a match's `lastgroup` tells the list. Earlier lists go first."""
    return re.compile("|".join(f"(?P<{name}>{any_of(phrases)})" for name, phrases in lists.items()))
