"""R2Gen's words as a tokenizer: sentences in lower case without punctuation, each full stop a word of its own.

The cleaning is that of R2Gen (Chen et al. 2020) and R2GenCMN (Chen et al. 2021), slips included: a range meant as three
characters takes `: ; < = > ? @ [` and no hyphen, and numbers lose their point. It is written as the tokenizer's own
normalisation, so that `tokenizer.json` holds all of it. One difference: of a text of signs alone nothing is left, where
R2Gen has a lone full stop.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from benchmark.errors import unknown

END = "<end>"
"""Id 0: begins and ends a text, and fills up a batch."""
UNKNOWN = "<unk>"
"""Stands in the vocabulary like any other word, and models write it."""
HEADINGS = ("Findings:", "Impression:")

_SENTENCE = "\ue000"
"""Marks where a sentence ends, while the other full stops are removed."""
_NUMBERS = [("1. ", ""), *((f"{before}{n}. ", ". ") for before in (". ", " ") for n in range(2, 6))]
_BEFORE = {
    "mimic": [("\n", " "), *[("__", "_")] * 7, *[("  ", " ")] * 6, *[("..", ".")] * 8],
    "iu": [("..", ".")] * 3,
}
CLEANINGS = tuple(_BEFORE)


def word_tokenizer(
    texts: Sequence[str], threshold: int, cleaning: str, headings: bool = False
) -> PreTrainedTokenizerFast:
    """A tokenizer of the words that occur at least `threshold` times in the texts, with R2Gen's ids: 0 is the end, the
    words and `<unk>` follow in the order of their characters.

    `cleaning` is one of CLEANINGS. With `headings`, "Findings:" and "Impression:" are words too (R2Gen's texts have
    one section, and no headings). Raises UserError for another cleaning.
    """
    if cleaning not in _BEFORE:
        raise unknown("cleaning", cleaning, CLEANINGS)
    normalizer = _normalizer(cleaning)
    counts: Counter[str] = Counter()
    for text in texts:
        for section in _sections(text) if headings else [text]:
            counts.update(normalizer.normalize_str(section).split())
    words = sorted([word for word, n in counts.items() if n >= threshold] + [UNKNOWN])
    vocabulary = {END: 0} | {word: i for i, word in enumerate(words, 1)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=UNKNOWN))
    tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    if headings:
        # Found before the text is cleaned, so that what stands between two headings is cleaned by itself.
        tokenizer.add_tokens([AddedToken(heading, normalized=False) for heading in HEADINGS])
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token=END, eos_token=END, pad_token=END)


def _sections(text: str) -> list[str]:
    for heading in HEADINGS:
        text = text.replace(heading, _SENTENCE)
    return [section for section in text.split(_SENTENCE) if section]


def _normalizer(cleaning: str) -> normalizers.Normalizer:
    steps = [
        *(normalizers.Replace(old, new) for old, new in [*_BEFORE[cleaning], *_NUMBERS]),
        normalizers.Strip(),
        normalizers.Lowercase(),
        normalizers.Replace(". ", _SENTENCE),
        normalizers.Replace(Regex(r"""["/\\'.,?;*!%^&_+():-\[\]{}]"""), ""),
        normalizers.Replace(_SENTENCE, " . "),
        normalizers.Replace(Regex(r"\z"), " ."),
    ]
    return normalizers.Sequence(steps)
