"""Every metric against the library called directly, on the 590 test reports of IU X-Ray where they are at hand.

The reports are CC BY-NC-ND: they are read where they lie and nothing of them stands here.
"""

import json
import random
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from benchmark import protocols, score
from benchmark.contracts import MetricContext, Unavailable
from benchmark.metrics.bertscore import Metric as BertScore

ANNOTATION = Path(__file__).parents[3] / "shared" / "iu_xray" / "annotation.json"
pytestmark = pytest.mark.skipif(not ANNOTATION.exists(), reason="the IU X-Ray reports are not in ../shared/iu_xray")


@pytest.fixture(scope="module")
def reports():
    """By split. One copy of the file calls the test split by four spaces, so entries are grouped by their own field."""
    found: dict[str, list[str]] = {"train": [], "val": [], "test": []}
    for entries in json.loads(ANNOTATION.read_text(encoding="utf-8")).values():
        for entry in entries:
            found[entry["split"]].append(entry["report"])
    assert len(found["test"]) == 590
    return found


@pytest.fixture(scope="module")
def tokens():
    protocol = protocols.load("default")
    return lambda texts: [" ".join(words) for words in protocol.tokenize(texts)]


def commonest(reports):
    return [Counter(reports["train"]).most_common(1)[0][0]] * 590


def with_empty_ones(reports):
    drawn = random.Random(0).choices(reports["train"], k=590)
    return ["" if i % 17 == 0 else text for i, text in enumerate(drawn)]


def shuffled(reports):
    return random.Random(0).sample(reports["test"], 590)


def value(name, hypotheses, references):
    (metric,) = score.load_metrics(MetricContext(), [name])
    return {k: float(v) for k, v in metric.aggregate(metric.rows(hypotheses, references).sum(axis=0)).items()}


def coco(hypotheses, references):
    return {i: [t] for i, t in enumerate(references)}, {i: [t] for i, t in enumerate(hypotheses)}


def test_tokens(reports, tokens, coco_tokenizer):
    texts = reports["test"] + reports["val"]
    assert tokens(texts) == coco_tokenizer(texts)


@pytest.mark.parametrize("write", [commonest, with_empty_ones])
def test_ngram_metrics(reports, tokens, meteor, coco_meteor, write):
    from pycocoevalcap.bleu.bleu import Bleu
    from pycocoevalcap.cider.cider import Cider
    from pycocoevalcap.rouge.rouge import Rouge

    pairs = tokens(write(reports)), tokens(reports["test"])
    bleu = value("bleu", *pairs)
    assert list(bleu.values()) == pytest.approx(Bleu(4).compute_score(*coco(*pairs), verbose=0)[0], abs=1e-9)
    assert value("rouge-l-coco", *pairs)["rouge_l_coco"] == pytest.approx(Rouge().compute_score(*coco(*pairs))[0])
    assert value("cider", *pairs)["cider"] == pytest.approx(Cider().compute_score(*coco(*pairs))[0])
    rows = meteor.rows(*pairs)
    expected, each = coco_meteor.compute_score(*coco(*pairs))
    assert float(meteor.aggregate(rows.sum(axis=0))["meteor"]) == pytest.approx(expected, abs=1e-9)
    np.testing.assert_allclose(meteor.aggregate(rows)["meteor"], each, atol=1e-9)


def test_rouge_l(reports):
    from rouge_score.rouge_scorer import RougeScorer

    scorer = RougeScorer(["rougeL"], use_stemmer=True)
    pairs = with_empty_ones(reports)[:200], reports["test"][:200]
    expected = np.mean([scorer.score(r, h)["rougeL"].fmeasure for h, r in zip(*pairs, strict=True)])
    assert value("rouge-l", *pairs)["rouge_l"] == pytest.approx(expected, abs=1e-9)


def test_commonest_training_report(reports, tokens, meteor):
    """Values that the project measured with pycocoevalcap itself before this code was written, to three decimals."""
    pairs = tokens(commonest(reports)), tokens(reports["test"])
    assert list(value("bleu", *pairs).values()) == pytest.approx([0.178, 0.109, 0.079, 0.058], abs=6e-4)
    assert float(meteor.aggregate(meteor.rows(*pairs).sum(axis=0))["meteor"]) == pytest.approx(0.108, abs=6e-4)
    assert value("rouge-l-coco", *pairs)["rouge_l_coco"] == pytest.approx(0.251, abs=6e-4)
    assert value("cider", *pairs)["cider"] == pytest.approx(0.327, abs=6e-4)


def test_bertscore(reports):
    metric = BertScore(MetricContext())
    try:
        folder = str(metric.encoder.folder)
    except Unavailable as reason:
        pytest.skip(str(reason))
    from bert_score import score as bert_score

    pairs = shuffled(reports)[:20], reports["test"][:20]
    _, _, f1 = bert_score(*pairs, model_type=folder, num_layers=metric.layer, device="cpu")
    np.testing.assert_allclose(metric.rows(*pairs)[:, 0], f1.numpy(), atol=1e-5)
