"""Texts of other programs against a data set or a file, under one protocol and several; the policies for ids."""

import json

import numpy as np
import pytest

from benchmark import rescore
from benchmark.contracts import Metric
from benchmark.errors import UserError
from benchmark.registry import DATASETS
from benchmark.rescore import Order
from benchmark.schema import Reference, Study, View


class Words(Metric):
    """Share of hypotheses that are the reference, and the texts that it saw."""

    KEYS = ("same",)
    INPUT = "text"
    signature = "words|impl:test"
    seen: list = []

    def rows(self, hypotheses, references):
        Words.seen = list(zip(hypotheses, references, strict=True))
        return np.array([[h == r, 1] for h, r in Words.seen], dtype=float)

    def aggregate(self, sums):
        return {"same": sums[..., 0] / np.maximum(sums[..., 1], 1)}


@pytest.fixture(autouse=True)
def words(monkeypatch):
    """Every protocol has this one metric, so that no test needs Java."""
    from benchmark.protocols import default
    from benchmark.protocols._base import Protocol

    for owner in (Protocol, default.Protocol):
        monkeypatch.setattr(owner, "metrics", lambda self, context: [Words(context)])
    return Words


class Copy(DATASETS.load("own")):
    """Studies in memory, with one, two and six images."""

    name, listing = "copy", {"a": 1, "b": 2, "c": 6}

    def __init__(self, splits=("train", "test")):
        self.options, self._here = {}, splits

    @property
    def splits(self):
        return self._here

    def resolve_split(self, split):
        return split

    def listed(self, split):
        views = {name: tuple(View(None, "", f"{name}-{i}") for i in range(n)) for name, n in self.listing.items()}
        return [Study(name, f"p{name}", split, views[name]) for name in self.listing]

    studies = listed

    def references(self, split):
        return [Reference(name, f"p{name}", f"Findings of {name}.", "" if name == "b" else "Normal.") for name in "abc"]

    def left_out(self, split):
        return {}

    def canonical_id(self, given):
        return given.removeprefix("s")


def write(path, texts):
    path.write_text("".join(json.dumps({"study_id": name, "text": text}) + "\n" for name, text in texts))
    return path


def score(path, protocols=("default",), dataset=None, **order):
    found = rescore.score_against(path, dataset or Copy(), "test", Order(protocols, **order))
    return found["protocols"] if len(protocols) > 1 else found["protocols"][protocols[0]]


ALL = [("c", "Findings of c."), ("sa", "Findings of a."), ("b", "wrong")]


def test_ids_are_matched_in_any_order_and_spelling(tmp_path):
    found = score(write(tmp_path / "h.jsonl", ALL), section="findings")
    assert found["metrics"]["same"]["value"] == pytest.approx(2 / 3) and found["n"] == 3
    assert found["policy"] == {"missing": "fail", "n_missing": 0, "n_several": 0, "n_unknown": 0}
    assert found["metrics"]["same"]["signature_short"].startswith("default.v1|words|")
    assert found["metrics"]["same"]["signature_long"] == f"{found['signature'].split()[0]} words|impl:test"


def test_the_target_section_is_each_protocol_s_own(tmp_path):
    path = tmp_path / "h.jsonl"
    lines = [{"study_id": n, "findings": f"Findings of {n}.", "impression": "Normal."} for n in "abc"]
    path.write_text("\n".join(map(json.dumps, lines)))
    found = score(path, ("rexrank", "vilmedic", "default"), training_texts=path)
    assert {name: each["section"] for name, each in found.items()} == {
        "rexrank": "report", "vilmedic": "impression", "default": "report",
    }  # fmt: skip
    assert found["default"]["n_unscored"] == found["vilmedic"]["n_unscored"] == 1
    assert found["rexrank"]["n_unscored"] == 0
    score(path, ("rexrank",))
    assert ("Findings: Findings of b. Impression: Normal.", "Findings: Findings of b. Impression: None") in Words.seen


def test_units(tmp_path, capsys):
    path = write(tmp_path / "h.jsonl", ALL)
    found = score(path, ("r2gen-iu", "r2gen-mimic", "cxrmate"), section="findings", training_texts=path)
    assert {name: each["n"] for name, each in found.items()} == {"r2gen-iu": 1, "r2gen-mimic": 9, "cxrmate": 2}
    assert "r2gen-iu: 2 studies left out, since its unit is: study with exactly two images." in capsys.readouterr().err


def test_hypotheses_may_be_named_by_images(tmp_path):
    images = [(f"{name}-{i}", f"{name}{i}") for name, n in Copy.listing.items() for i in range(n)]
    path = write(tmp_path / "h.jsonl", images)
    assert score(path, ("r2gen-mimic",), training_texts=path)["n"] == 9
    with pytest.raises(UserError, match="2 studies stand there twice or more, such as b"):
        score(path)
    one = write(tmp_path / "one.jsonl", [("a-0", "x"), ("b-1", "y"), ("c-3", "z")])
    assert score(one, section="findings")["n"] == 3
    assert [h for h, _ in Words.seen] == ["x", "y", "z"]


@pytest.mark.parametrize(
    ("texts", "says"),
    [
        (ALL[:2], "1 studies have no hypothesis in .*, such as b"),
        ([*ALL, ("a", "x")], "1 studies stand there twice or more, such as a .line 2, line 4."),
        ([*ALL, ("x", "y")], "1 studies have no reference, such as x"),
    ],
)
def test_by_default_what_does_not_match_fails(tmp_path, texts, says):
    with pytest.raises(UserError, match=says):
        score(write(tmp_path / "h.jsonl", texts))


@pytest.mark.parametrize(("policy", "n", "value"), [("zero", 3, 1 / 3), ("skip", 1, 1.0)])
def test_the_other_policies_are_counted(tmp_path, policy, n, value):
    path = write(tmp_path / "h.jsonl", [("c", "Findings of c."), ("a", "x"), ("a", "y"), ("q", "z")])
    found = score(path, section="findings", missing=policy)
    assert found["policy"] == {"missing": policy, "n_missing": 1, "n_several": 1, "n_unknown": 1}
    assert found["n"] == n and found["metrics"]["same"]["value"] == pytest.approx(value)
    assert found["n_empty_hypotheses"] == 3 - n + (2 if policy == "zero" else -2)


def test_what_cannot_be_scored_is_said(tmp_path):
    path = write(tmp_path / "h.jsonl", ALL)
    for order, says in (
        ({"missing": "guess"}, "--missing takes fail, zero, skip, not 'guess'"),
        ({"section": "history"}, "--section takes findings, impression, report"),
        ({"protocols": ("r2gen",)}, "Did you mean .*r2gen-iu"),
        ({"protocols": ("r2gengpt",)}, "--model-folder"),
    ):
        with pytest.raises(UserError, match=says):
            score(path, **order)
    with pytest.raises(UserError, match="has no training split here: name them with --training-texts"):
        score(path, ("r2gen-iu",), Copy(splits=("test",)))
    with pytest.raises(UserError, match="has a hypothesis for none of the 3 studies"):
        score(write(tmp_path / "none.jsonl", [("q", "z")]), missing="skip")
    (tmp_path / "lines.txt").write_text("one\ntwo\nthree\n")
    with pytest.raises(UserError, match="has no study ids, so its texts cannot be matched with copy"):
        score(tmp_path / "lines.txt")


def test_two_files_line_by_line(tmp_path):
    (tmp_path / "h.txt").write_text("one\n\nthree\n")
    (tmp_path / "r.txt").write_text("one\ntwo\nfour\n")
    found = rescore.score_files(tmp_path / "h.txt", tmp_path / "r.txt", Order(("radeval", "default")))["protocols"]
    assert all(each["metrics"]["same"]["value"] == pytest.approx(1 / 3) for each in found.values())
    assert found["radeval"]["n_empty_hypotheses"] == 1
    (tmp_path / "short.txt").write_text("one\n")
    with pytest.raises(UserError, match="2 studies have no hypothesis"):
        rescore.score_files(tmp_path / "short.txt", tmp_path / "r.txt", Order())
    write(tmp_path / "r.jsonl", ALL)
    with pytest.raises(UserError, match=r"h.txt has no study ids, but the other file has"):
        rescore.score_files(tmp_path / "h.txt", tmp_path / "r.jsonl", Order())
    with pytest.raises(UserError, match=r"The protocol r2gen-iu has a vocabulary .*--training-texts"):
        rescore.score_files(tmp_path / "h.txt", tmp_path / "r.txt", Order(("r2gen-iu",)))


def test_training_texts_may_be_plain_lines(tmp_path):
    (tmp_path / "t.txt").write_text("findings of a.\n" * 3)
    path = write(tmp_path / "h.jsonl", ALL)
    score(path, ("r2gen-iu",), training_texts=tmp_path / "t.txt")
    assert Words.seen == [("<unk> .", "findings of <unk> .")]


def test_references_of_a_file_are_one_a_study(tmp_path):
    path = write(tmp_path / "h.jsonl", ALL)
    twice = write(tmp_path / "r.jsonl", [*ALL, ("c", "again")])
    with pytest.raises(UserError, match="line 4: study c stands there twice"):
        rescore.score_files(path, twice, Order())
