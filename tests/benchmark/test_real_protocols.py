"""Every protocol, in all parts that can be had here, against its peer's own scorers on the IU X-Ray test reports.

The reports are CC BY-NC-ND: they are read where they lie and nothing of them stands here. What a peer does to texts is
written here again from words, in the plainest way; its scorers are called directly.
"""

import json
import random
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from benchmark import protocols, score
from benchmark.contracts import MetricContext
from benchmark.metrics.meteor import Metric as Meteor
from benchmark.protocols import _cleaners

ANNOTATION = Path(__file__).parents[3] / "shared" / "iu_xray" / "annotation.json"
pytestmark = pytest.mark.skipif(not ANNOTATION.exists(), reason="the IU X-Ray reports are not in ../shared/iu_xray")

THREE = "The heart is normal in size. The lungs are clear. No acute cardiopulmonary abnormality."
TEXT_METRICS = ("bleu", "meteor", "rouge-l", "rouge-l-coco", "cider", "sentence-bleu")


@pytest.fixture(scope="module")
def reports():
    """By split, a dict of texts by id."""
    found = {"train": {}, "val": {}, "test": {}}
    for entries in json.loads(ANNOTATION.read_text(encoding="utf-8")).values():
        for entry in entries:
            found[entry["split"]][entry["id"]] = entry["report"]
    return found


@pytest.fixture(scope="module")
def references(reports):
    return list(reports["test"].values())


@pytest.fixture(scope="module")
def drawn(reports):
    """Training reports drawn at random, some of them empty."""
    texts = random.Random(0).choices(list(reports["train"].values()), k=590)
    return ["" if i % 17 == 0 else text for i, text in enumerate(texts)]


@pytest.fixture(scope="module")
def fitted(reports):
    return lambda name: protocols.load(name).fitted(list(reports["train"].values()))


@pytest.fixture(scope="module")
def values(meteor):
    """A protocol's values on texts. METEOR's process stays alive with the fixture."""

    def compute(protocol, hypotheses, references, only=TEXT_METRICS):
        variants = {variant.metric for variant in protocol.METRICS} or set(only)
        metrics = [m for m in protocol.metrics(MetricContext()) if name(m) in variants & set(only)]
        ids = [str(i) for i in range(len(references))]
        found = score.score_pairs(ids, ids, hypotheses, references, protocol=protocol, metrics=metrics, draws=0)
        return {key: metric.value for key, metric in found.metrics.items()}

    def name(metric):
        return score.metric_name(metric).replace("_", "-")

    return compute


def coco(hypotheses, references):
    return {i: [t] for i, t in enumerate(references)}, {i: [t] for i, t in enumerate(hypotheses)}


def coco_scores(pairs, meteor=None):
    from pycocoevalcap.bleu.bleu import Bleu
    from pycocoevalcap.cider.cider import Cider
    from pycocoevalcap.rouge.rouge import Rouge

    bleu, _ = Bleu(4).compute_score(*coco(*pairs), verbose=0)
    found = {f"bleu_{n}": value for n, value in enumerate(bleu, 1)}
    found["rouge_l_coco"] = Rouge().compute_score(*coco(*pairs))[0]
    found["cider"] = Cider().compute_score(*coco(*pairs))[0]
    if meteor:
        found["meteor"] = meteor.compute_score(*coco(*pairs))[0]
    return found


def rouge_l(hypotheses, references):
    from rouge_score.rouge_scorer import RougeScorer

    scorer = RougeScorer(["rougeL"], use_stemmer=True)
    return np.mean([scorer.score(r, h)["rougeL"].fmeasure for h, r in zip(hypotheses, references, strict=True)])


def close(found, expected):
    assert expected.items() and {key: found[key] for key in expected} == pytest.approx(expected, abs=1e-5)


# --- protocol by protocol ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "limit", "threshold"), [("r2gen-iu", 60, 3), ("r2gen-mimic", 100, 10)])
def test_r2gen(reports, references, drawn, fitted, values, coco_meteor, name, limit, threshold):
    clean = _cleaners.R2GEN_IU if name == "r2gen-iu" else _cleaners.R2GEN_MIMIC
    counts = Counter(word for text in reports["train"].values() for word in clean(text).split())
    index = {word: i for i, word in enumerate(sorted([w for w, n in counts.items() if n >= threshold] + ["<unk>"]), 1)}
    words = {i: word for word, i in index.items()}

    def ids(text):
        return [0, *(index.get(word, index["<unk>"]) for word in clean(text).split()), 0]

    def decoded(numbers):
        return " ".join(words[i] for i in numbers if i)

    expected_references = [decoded(ids(text)[:limit]) for text in references]
    expected_hypotheses = [decoded(ids(text)) if text else "" for text in drawn]
    meteor = coco_meteor if name == "r2gen-iu" else None
    found = values(fitted(name), drawn, references, TEXT_METRICS if meteor else ("bleu", "rouge-l-coco", "cider"))
    close(found, coco_scores((expected_hypotheses, expected_references), meteor))


def test_what_r2gen_does_to_the_references(references, fitted, values, meteor):
    """Counts and values that were measured with R2Gen's own code; its perfect system is not made of known words."""
    protocol = fitted("r2gen-iu")
    scored = [protocol.reference(text) for text in references]
    assert len(protocol.vocabulary) == 759
    assert sum(protocol.clean(text) != text_ for text, text_ in zip(references, scored, strict=True)) == 120
    assert sum("<unk>" in text.split() for text in scored) == 111
    whole = [" ".join(protocol.clean(text).split()) for text in references]
    found = coco_scores((whole, scored))
    assert found["bleu_4"] == pytest.approx(0.951, abs=6e-4) and found["cider"] == pytest.approx(9.37, abs=6e-3)
    rows = meteor.rows(whole, scored)
    assert float(meteor.aggregate(rows.sum(axis=0))["meteor"]) == pytest.approx(0.707, abs=6e-4)


@pytest.mark.parametrize("name", ["vilmedic", "vilmedic-ifcc"])
def test_vilmedic(reports, references, drawn, fitted, values, name):
    from nltk.tokenize import wordpunct_tokenize

    def clean(text):
        return _cleaners.VILMEDIC(text) if name == "vilmedic" else " ".join(wordpunct_tokenize(text.lower()))

    known = {word for text in reports["train"].values() for word in clean(text).split()}

    def decoded(words):
        return " ".join(word for word in words if word in known)

    pairs = [decoded(clean(t).split()) for t in drawn], [decoded(clean(t).split()[:98]) for t in references]
    expected = {"bleu_4": coco_scores(pairs)["bleu_4"], "rouge_l": rouge_l(*pairs)}
    close(values(fitted(name), drawn, references, ("bleu", "rouge-l")), expected)


def test_radeval(references, drawn, values):
    pairs = drawn, references
    expected = {"bleu_4": coco_scores(pairs)["bleu_4"], "rouge_l": rouge_l(*pairs)}
    close(values(protocols.load("radeval"), *pairs), expected)


@pytest.mark.parametrize("name", ["cxr-report-metric", "rexrank"])
def test_cxr_report_metric(references, drawn, values, name):
    """NLTK's smoothing method 1 is that of fast_bleu, which CXR-Report-Metric calls."""
    from nltk.translate.bleu_score import SmoothingFunction, sentence_bleu

    protocol = protocols.load(name)
    if name == "rexrank":
        references = [protocol.joined(text, "") for text in references]
        assert references[0].startswith("Findings: ") and references[0].endswith(" Impression: None")

    def words(text):
        return [word for word in text.lower().replace(".", " .").split(" ") if word]

    smooth = SmoothingFunction(epsilon=0.1).method1
    expected = [
        sentence_bleu([words(r)], words(h), weights=(0.5, 0.5), smoothing_function=smooth) if h else 0.0
        for h, r in zip(drawn, references, strict=True)
    ]
    close(values(protocol, drawn, references), {"bleu_2": np.mean(expected)})


def test_cxrmate(references, drawn, values, coco_tokenizer, coco_meteor):
    from pycocoevalcap.bleu.bleu import Bleu
    from pycocoevalcap.rouge.rouge import Rouge

    lines = coco_tokenizer([re.sub(" +", " ", text) for text in [*drawn, *references]])
    pairs = coco(lines[:590], lines[590:])
    bleu = np.mean(Bleu(4).compute_score(*pairs, verbose=0)[1], axis=1)
    expected = {f"bleu_{n}": value for n, value in enumerate(bleu, 1)}
    expected["meteor"] = np.mean(coco_meteor.compute_score(*pairs)[1])
    expected["rouge_l_coco"] = np.mean(Rouge().compute_score(*pairs)[1])
    close(values(protocols.load("cxrmate"), drawn, references), expected)


# --- trivial baselines ------------------------------------------------------------------------------------------

BASELINES = {
    "commonest": (0.242, 0.147, 0.106, 0.081, 0.120, 0.312, 0.344),
    "No acute cardiopulmonary abnormality.": (0.002, 0.001, 0.000, 0.000, 0.019, 0.111, 0.001),
    THREE: (0.247, 0.155, 0.107, 0.079, 0.119, 0.331, 0.143),
    "CXR2365_IM-0927": (0.467, 0.303, 0.210, 0.155, 0.197, 0.371, 0.427),
    "CXR1489_IM-0315": (0.505, 0.319, 0.219, 0.159, 0.195, 0.383, 0.344),
    "CXR90_IM-2407": (0.500, 0.338, 0.240, 0.172),
}
"""Of one text for every study under r2gen-iu: BLEU-1 to BLEU-4, METEOR, ROUGE-L, CIDEr, as the project measured them
with pycocoevalcap before this code was written, to three decimals."""
KEYS = ("bleu_1", "bleu_2", "bleu_3", "bleu_4", "meteor", "rouge_l_coco", "cider")


def baseline(reports, which):
    if which == "commonest":
        return Counter(reports["train"].values()).most_common(1)[0][0]
    return reports["train"].get(which, which)


@pytest.mark.parametrize("which", BASELINES)
def test_a_constant_under_r2gen_iu(reports, references, fitted, values, which):
    expected = dict(zip(KEYS, BASELINES[which], strict=False))
    only = TEXT_METRICS if "meteor" in expected else ("bleu",)
    found = values(fitted("r2gen-iu"), [baseline(reports, which)] * 590, references, only)
    assert {key: found[key] for key in expected} == pytest.approx(expected, abs=6e-4)


def test_a_constant_under_default(reports, references, values):
    expected = dict(zip(KEYS, (0.453, 0.274, 0.187, 0.129, 0.182, 0.329, 0.318), strict=True))
    found = values(protocols.load("default"), [reports["train"]["CXR1489_IM-0315"]] * 590, references)
    assert {key: found[key] for key in expected} == pytest.approx(expected, abs=6e-4)


def test_the_shared_process_is_one(meteor):
    assert Meteor(MetricContext(), level="mean")._jar is meteor._jar
