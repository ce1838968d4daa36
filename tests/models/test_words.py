"""R2Gen's words as a tokenizer."""

from __future__ import annotations

import random

import pytest

from benchmark.errors import UserError
from benchmark.models._tokenizer import load_tokenizer
from benchmark.models._words import HEADINGS, _normalizer, word_tokenizer
from benchmark.protocols import _cleaners

TEXT = "Findings: The heart is large. 1. No effusion, 2.5 cm. Impression: Cardiomegaly/failure."
PIECES = [*'abB.,-:;?@[]{}()/\\"_%^ \n', "..", "__", "  ", "1. ", " 2. ", ". 3. ", "5. ", ". ", "Heart ", "it's", "É"]


@pytest.mark.parametrize(("name", "cleaner"), [("mimic", _cleaners.R2GEN_MIMIC), ("iu", _cleaners.R2GEN_IU)])
def test_texts_are_cleaned_as_the_protocols_clean_them(name, cleaner):
    """Written by its rules there, as the tokenizer's normalisation here."""
    draw = random.Random(0)
    normalizer = _normalizer(name)
    for _ in range(3000):
        text = "a" + "".join(draw.choices(PIECES, k=draw.randint(0, 30)))
        assert normalizer.normalize_str(text).split() == cleaner(text).split(), repr(text)


def test_ids_are_r2gen_s():
    tokenizer = word_tokenizer(["b b a c.", "a b <unk> Zeta"], 2, "iu")
    assert tokenizer.convert_ids_to_tokens(range(len(tokenizer))) == ["<end>", ".", "<unk>", "a", "b"]
    assert tokenizer.bos_token_id == tokenizer.eos_token_id == tokenizer.pad_token_id == 0
    ids = tokenizer.encode("B zeta a.", add_special_tokens=False)
    assert ids == [4, 2, 3, 1]
    assert tokenizer.decode([*ids, 0], skip_special_tokens=True) == "b <unk> a ."


def test_headings_are_words_and_sections_are_cleaned_by_themselves(tmp_path):
    tokenizer = word_tokenizer([TEXT], 1, "mimic", headings=True)
    tokenizer.save_pretrained(tmp_path)
    for each in (tokenizer, load_tokenizer(tmp_path)):
        ids = each.encode(TEXT, add_special_tokens=False)
        assert each.decode(ids, skip_special_tokens=True) == (
            "Findings: the heart is large . no effusion 25 cm . Impression: cardiomegalyfailure ."
        )
    assert sorted(tokenizer.encode(" ".join(HEADINGS), add_special_tokens=False)) == [
        len(tokenizer) - 2,
        len(tokenizer) - 1,
    ]


def test_another_cleaning_is_refused():
    with pytest.raises(UserError, match=r"cleaning 'mimi'.*mimic"):
        word_tokenizer([TEXT], 1, "mimi")
