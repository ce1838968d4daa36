"""Scoring in memory: what is counted, what is sent to a metric, and what a metric that is not here leaves behind."""

import json
from typing import ClassVar

import numpy as np
import pytest

from benchmark import protocols, score
from benchmark.contracts import Metric, MetricContext, Unavailable
from benchmark.errors import UserError
from benchmark.protocols import Protocol

IDS = ["s1", "s2", "s3", "s4", "s5"]
PATIENTS = ["p1", "p1", "p2", "p3", "p4"]
REFERENCES = ["The lungs are clear.", "Heart size is normal.", "", "No effusion.", "___ ."]
HYPOTHESES = ["The lungs are clear.", " \n", "No effusion.", "Small effusion.", "Clear."]


class Plain(Protocol):
    """White-space tokens, so that most tests need no Java."""

    NAME, VERSION = "plain", 1
    signature = "protocol:plain|version:1"

    def clean(self, text):
        return " ".join(text.split())

    def tokenize(self, texts):
        self.calls = getattr(self, "calls", 0) + 1
        return [self.clean(text).lower().split() for text in texts]


class Overlap(Metric):
    """Shared words over words of the reference, and remembers what it was given."""

    KEYS: ClassVar[tuple[str, ...]] = ("overlap", "overlap_2")
    INPUT = "tokens"
    HIGHER_IS_BETTER = False
    signature = "overlap|impl:test"

    def rows(self, hypotheses, references):
        self.given = list(zip(hypotheses, references, strict=True))
        return np.array([[len(set(h.split()) & set(r.split())), len(r.split())] for h, r in self.given])

    def aggregate(self, sums):
        value = sums[..., 0] / np.maximum(sums[..., 1], 1)
        return {"overlap": value, "overlap_2": value**2}


def run(metrics, *, hypotheses=HYPOTHESES, references=REFERENCES, protocol=None, **options):
    return score.score_pairs(
        IDS[: len(references)],
        PATIENTS[: len(references)],
        hypotheses,
        references,
        protocol=protocol or Plain(),
        metrics=metrics,
        **options,
    )


def test_what_is_counted():
    metric = Overlap()
    scores = run([metric])
    assert (scores.n, scores.n_unscored, scores.n_empty_hypotheses) == (5, 2, 1)
    found = scores.metrics["overlap"]
    assert (found.n_scored, found.n_unscored, found.reason) == (3, 2, "")
    assert scores.scored.tolist() == [True, True, False, True, False]


def test_a_reference_without_words_reaches_no_metric_and_an_empty_hypothesis_does():
    metric = Overlap()
    run([metric])
    assert metric.given == [
        ("the lungs are clear.", "the lungs are clear."),
        ("", "heart size is normal."),
        ("small effusion.", "no effusion."),
    ]


def test_values_intervals_and_rows():
    scores = run([Overlap()])
    found = scores.metrics["overlap"]
    assert found.value == (4 + 0 + 1) / (4 + 4 + 2) and type(found.value) is float
    assert scores.metrics["overlap_2"].value == found.value**2
    assert 0 <= found.low <= found.value <= found.high <= 1
    assert found.seconds >= 0 and found.signature == "overlap|impl:test" and not found.higher_is_better
    np.testing.assert_array_equal(scores.rows["test_score"], [[4, 4], [0, 4], [1, 2]])
    np.testing.assert_array_equal(scores.values["overlap"], [1, 0, 0.5])


def test_the_same_seed_gives_the_same_interval_and_no_draws_give_none():
    ends = [(s.low, s.high) for s in (run([Overlap()], seed=seed).metrics["overlap"] for seed in (3, 3))]
    assert ends[0] == ends[1]
    none = run([Overlap()], draws=0).metrics["overlap"]
    assert none.value == 0.5 and none.low is None and none.high is None


def test_per_study_is_json_and_keeps_the_unscored():
    per_study = run([Overlap()]).per_study()
    assert list(per_study) == IDS
    assert per_study["s3"] is None and per_study["s5"] is None
    assert per_study["s4"] == {"values": {"overlap": 0.5, "overlap_2": 0.25}, "rows": {"test_score": [1.0, 2.0]}}
    json.dumps(per_study)


def test_the_record_as_json_holds_aggregates_alone():
    record = run([Overlap()]).to_dict()
    text = json.dumps(record, allow_nan=False)
    assert not any(study in text for study in IDS)
    assert {"n", "n_unscored", "n_empty_hypotheses", "signature", "metrics"} <= set(record)
    assert {"value", "low", "high", "signature", "n_scored", "n_unscored", "seconds", "reason"} <= set(
        record["metrics"]["overlap"]
    )
    assert record["signature"] == "protocol:plain|version:1 overlap|impl:test"


class Missing(Overlap):
    KEYS = ("missing",)

    def rows(self, hypotheses, references):
        raise Unavailable("The encoder is missing: name one.")


Missing.__module__ = "metrics.missing"


def test_a_metric_that_is_not_here_has_a_reason_and_no_value():
    scores = run([Missing(), Overlap()])
    found = scores.metrics["missing"]
    assert (found.value, found.low, found.high, found.n_scored, found.n_unscored) == (None, None, None, 0, 5)
    assert found.reason == "The encoder is missing: name one."
    assert scores.metrics["overlap"].value == 0.5
    assert "missing:unavailable" in scores.signature
    assert "missing" not in scores.rows and "missing" not in scores.values


def test_a_tokenizer_that_is_not_here_leaves_the_text_metrics():
    class NoJava(Plain):
        def tokenize(self, texts):
            raise Unavailable("Java is missing.")

    class OnText(Overlap):
        KEYS = ("on_text",)
        INPUT = "text"

        def aggregate(self, sums):
            return {"on_text": sums[..., 0]}

    OnText.__module__ = "metrics.on_text"
    scores = run([Overlap(), OnText()], protocol=NoJava())
    assert scores.metrics["overlap"].reason == "Java is missing."
    assert scores.metrics["on_text"].value == 5


def test_texts_are_tokenized_once_for_all_metrics():
    class Other(Overlap):
        KEYS = ("other",)

        def aggregate(self, sums):
            return {"other": sums[..., 0]}

    Other.__module__ = "metrics.other"
    protocol = Plain()
    steps: list[int] = []
    run([Overlap(), Other()], protocol=protocol, progress=steps.append)
    assert protocol.calls == 1 and steps == [1, 1]


@pytest.mark.parametrize("references", [["", "", ""], ["...", "___", "\n"], []])
def test_nothing_to_score_against_is_a_reason_and_not_0(references):
    scores = run([Overlap()], hypotheses=["clear"] * len(references), references=references)
    assert scores.metrics["overlap"].value is None
    assert "No study has a reference" in scores.metrics["overlap"].reason
    assert scores.n_unscored == len(references) and scores.per_study() == dict.fromkeys(IDS[: len(references)])


def test_wrong_input_is_refused():
    with pytest.raises(ValueError, match="of one length"):
        run([Overlap()], hypotheses=["clear"])
    with pytest.raises(ValueError, match="two metrics are called test_score"):
        run([Overlap(), Overlap()])


def test_load_metrics():
    names = {score.metric_name(metric) for metric in score.load_metrics(MetricContext())}
    assert {"bleu", "meteor", "rouge_l", "rouge_l_coco", "cider", "bertscore"} <= names
    (bleu,) = score.load_metrics(MetricContext(), ["bleu"])
    assert bleu.KEYS == ("bleu_1", "bleu_2", "bleu_3", "bleu_4")
    with pytest.raises(UserError, match="Did you mean"):
        score.load_metrics(MetricContext(), ["blue"])


@pytest.mark.parametrize(
    ("hypotheses", "references"),
    [
        (["", "", ""], ["lungs clear", "no effusion", "heart normal"]),
        (["lungs clear"], ["lungs clear"]),
        (["心影大小正常", "the heart " * 50_000, "😀"], ["Сердце не увеличено", "the heart is normal", "القلب طبيعي"]),
    ],
)
def test_real_metrics_on_hard_corpora(meteor, hypotheses, references):
    metrics = [meteor, *score.load_metrics(MetricContext(), ["bleu", "rouge-l", "rouge-l-coco", "cider"])]
    scores = run(metrics, hypotheses=hypotheses, references=references, protocol=protocols.load("default"), draws=100)
    json.dumps([scores.to_dict(), scores.per_study()], allow_nan=False)
    if not any(hypotheses):
        assert {found.value for found in scores.metrics.values()} == {0.0}
