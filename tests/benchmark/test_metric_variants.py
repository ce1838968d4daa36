"""Metrics as other protocols count them, against the library that those use."""

import numpy as np
import pytest

from benchmark import java
from benchmark.contracts import MetricContext, Unavailable
from benchmark.metrics import _encoder
from benchmark.metrics.bertscore import Metric as BertScore
from benchmark.metrics.bleu import Metric as Bleu
from benchmark.metrics.meteor import Metric as Meteor
from benchmark.metrics.sentence_bleu import Metric as SentenceBleu

PAIRS = [
    ("the lungs are clear .", "the lungs are clear ."),
    ("clear lungs the", "the lungs are clear ."),
    ("heart", "the lungs are clear ."),
    ("the", "the lungs are clear ."),
    ("the lungs are clear . " * 9, "the lungs are clear ."),
    ("the lungs", "lungs"),
    ("", "the lungs are clear ."),
    ("small left effusion , unchanged .", "there is a small left effusion ."),
]
HYPOTHESES, REFERENCES = map(list, zip(*PAIRS, strict=True))


def mean(metric):
    values = metric.aggregate(metric.rows(HYPOTHESES, REFERENCES).sum(axis=0))
    return {key: float(value) for key, value in values.items()}


def test_sentence_bleu_is_nltk_s():
    from nltk.translate.bleu_score import SmoothingFunction, sentence_bleu

    smooth = SmoothingFunction(epsilon=0.1).method1
    expected = [
        sentence_bleu([r.split()], h.split(), weights=(0.5, 0.5), smoothing_function=smooth) if h else 0.0
        for h, r in PAIRS
    ]
    metric = SentenceBleu(MetricContext())
    np.testing.assert_allclose(metric.rows(HYPOTHESES, REFERENCES)[:, 0], expected, atol=1e-12)
    assert mean(metric)["bleu_2"] == pytest.approx(np.mean(expected))


def test_mean_bleu_is_the_mean_of_pycocoevalcap_s_own_sentence_scores():
    from pycocoevalcap.bleu.bleu import Bleu as CocoBleu

    _, expected = CocoBleu(4).compute_score(
        {i: [r] for i, r in enumerate(REFERENCES)}, {i: [h] for i, h in enumerate(HYPOTHESES)}, verbose=0
    )
    metric = Bleu(MetricContext(), level="mean")
    np.testing.assert_allclose(metric.rows(HYPOTHESES, REFERENCES)[:, :4].T, expected, atol=1e-9)
    assert list(mean(metric).values()) == pytest.approx(np.mean(expected, axis=1), abs=1e-9)
    assert "level:mean" in metric.signature != Bleu(MetricContext()).signature


def test_mean_meteor_is_the_mean_of_the_pairs(meteor):
    metric = Meteor(MetricContext(), level="mean")
    each = meteor.aggregate(meteor.rows(HYPOTHESES, REFERENCES))["meteor"]
    assert mean(metric)["meteor"] == pytest.approx(each.mean(), abs=1e-12)
    assert metric._jar is meteor._jar  # one process for all
    assert metric.signature == meteor.signature.replace("corpus", "mean")


@pytest.fixture(scope="module")
def minilm():
    try:
        return _encoder.find("")
    except Unavailable as reason:
        pytest.skip(str(reason))


def test_bertscore_rescaled_is_bert_score_s(minilm):
    """MiniLM in the place of the named encoder: the arithmetic is the same."""
    import bert_score
    from bert_score import score

    name = "distilbert-base-uncased"
    context = MetricContext(extra={"folders": {name: minilm.folder}})
    metric = BertScore(context, encoder=name, layer=5, rescale=True)
    baseline = f"{bert_score.__path__[0]}/rescale_baseline/en/{name}.tsv"
    filled = [pair for pair in PAIRS if pair[0]]
    expected = score(
        [h for h, _ in filled], [r for _, r in filled], model_type=str(minilm.folder), num_layers=5, device="cpu",
        lang="en", rescale_with_baseline=True, baseline_path=baseline,
    )  # fmt: skip
    rows = metric.rows(HYPOTHESES, REFERENCES)
    places = [i for i, h in enumerate(HYPOTHESES) if h]
    for column, values in zip((1, 2, 0), expected, strict=True):
        np.testing.assert_allclose(rows[places, column], values.numpy(), atol=1e-5)
    np.testing.assert_array_equal(rows[HYPOTHESES.index("")], [0, 0, 0, 1])
    assert f"encoder:{name}|sha256:53aa51172d14|layer:5|idf:no|rescale:en" in metric.signature


def test_an_encoder_that_is_not_here_is_no_other_one(minilm):
    metric = BertScore(MetricContext(), encoder="nobody/nothing", layer=5, rescale=True)
    with pytest.raises(Unavailable, match="nobody/nothing"):
        _ = metric.signature
    context = MetricContext(extra={"folders": {"nobody/nothing": minilm.folder}})
    with pytest.raises(Unavailable, match="no baseline"):
        BertScore(context, encoder="nobody/nothing", layer=5, rescale=True).rows(["clear"], ["clear"])


def test_java_missing_is_said_by_every_variant(monkeypatch):
    def missing():
        raise Unavailable("Java is missing.")

    monkeypatch.setattr(java, "find", missing)
    with pytest.raises(Unavailable, match="Java is missing"):
        Meteor(MetricContext(), level="mean").rows(["clear"], ["clear"])
