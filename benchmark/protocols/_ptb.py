"""The Penn Treebank tokenizer of the COCO caption evaluation (`pycocoevalcap.tokenizer.PTBTokenizer`).

It runs the same jar (Stanford CoreNLP 3.4.1) with the same options and drops the same punctuation, but is fed through
standard input, where the original writes a file into site-packages.
"""

from __future__ import annotations

import subprocess
from collections.abc import Sequence

from benchmark import java
from benchmark.contracts import Unavailable

JAR = "pycocoevalcap/tokenizer/stanford-corenlp-3.4.1.jar"
SIGNATURE = "tok:ptb|jar:stanford-corenlp-3.4.1|case:lower|punctuation:dropped"

WORDS = "Penn Treebank tokens (Stanford CoreNLP 3.4.1), lower case, punctuation dropped"

PUNCTUATION = frozenset("'' ' `` ` -LRB- -RRB- -LCB- -RCB- . ? ! , : - -- ... ;".split())
"""As pycocoevalcap has it. Because the tokenizer lower-cases, brackets come as `-lrb-` and stay; so they do there."""

SEPARATOR = "x x"
"""A line put after each text. The tokenizer looks past a line's end (`J.` is one token or two, according to the next
line's first letter); a plain lower-case word there gives each text the tokens it has when it is tokenized alone.
Two words, because a tag that runs over several lines swallows their spaces, which shows."""


def tokenize(texts: Sequence[str]) -> list[list[str]]:
    """Tokens of each text; one run of Java for all. Texts must hold no line separator, `str.split` ones included.

    Raises Unavailable where Java or the jar is missing, or Java fails.
    """
    distinct = list(dict.fromkeys(text for text in texts if text))
    lines = dict(zip(distinct, _run(distinct), strict=True)) if distinct else {}
    return [[token for token in lines.get(text, "").split(" ") if token and token not in PUNCTUATION] for text in texts]


def _run(texts: Sequence[str]) -> list[str]:
    """The tokenizer's line for each text."""
    command = java.command(
        "-cp", java.jar(JAR), "edu.stanford.nlp.process.PTBTokenizer", "-preserveLines", "-lowerCase"
    )
    # A lone surrogate, which JSON can carry, has no UTF-8 form: it becomes `?`, which is dropped as punctuation.
    given = "".join(f"{text}\n{SEPARATOR}\n" for text in texts).encode("utf-8", errors="replace")
    done = subprocess.run(command, input=given, capture_output=True, check=False)
    lines = done.stdout.decode("utf-8").split("\n")
    if done.returncode == 0 and lines[1::2] == [SEPARATOR] * len(texts):
        return [line.rstrip() for line in lines[:-1:2]]
    if done.returncode == 0 and len(texts) > 1:
        # A tag opened in one text and closed in another (`<a href="`, `">`) is one token to the tokenizer.
        middle = len(texts) // 2
        return _run(texts[:middle]) + _run(texts[middle:])
    said = done.stderr.decode("utf-8", errors="replace").strip().splitlines()
    raise Unavailable(
        f"The Penn Treebank tokenizer failed with exit code {done.returncode}{f', saying: {said[-1]}' if said else ''}."
    )
