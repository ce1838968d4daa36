"""Label F1 against nltk's F-measure on the sets of what two texts state, and what it does where nothing is stated."""

import random

import numpy as np
import pytest
from nltk.metrics.scores import f_measure

from benchmark import labeler, registry
from benchmark.contracts import MetricContext
from benchmark.labeler.label import label
from benchmark.metrics._label_counts import SETS

SENTENCES = (
    "The lungs are clear.", "No pleural effusion.", "Small left pleural effusion.", "Possible right effusion.",
    "Moderate cardiomegaly.", "The heart is normal in size.", "Left basilar atelectasis.", "Opacity may be pneumonia.",
    "Possible pulmonary edema.", "Pulmonary edema.", "Right rib fracture.", "A pacemaker is in place.",
    "Right lower lobe consolidation.", "No focal consolidation.", "Questionable cardiomegaly.", "",
)  # fmt: skip
RULES = {"label-f1": (1,), "label-f1-uncertain": (1, -1), "label-f1-certain": (1,)}


def written(seed, n=80):
    drawn = random.Random(seed)
    return [" ".join(drawn.choices(SENTENCES, k=drawn.randint(1, 4))) for _ in range(n)]


HYPOTHESES, REFERENCES = [*written(1), "", "Clear."], [*written(2), "Pulmonary edema.", "No edema."]


def metric_of(name):
    return registry.METRICS.load(name)(MetricContext())


def stated(name, classes, hypotheses=HYPOTHESES, references=REFERENCES):
    """What each side states as positive under the rule: sets of (study, class)."""
    sides = [[label(text) for text in texts] for texts in (hypotheses, references)]
    cells = [(i, each) for i in range(len(hypotheses)) for each in classes]
    if name == "label-f1-certain":
        cells = [(i, each) for i, each in cells if -1 not in (sides[0][i].get(each), sides[1][i].get(each))]
    return [{(i, each) for i, each in cells if side[i].get(each) in RULES[name]} for side in sides]


def f1(hypothesis, reference):
    """nltk's F-measure, which is None where a set is empty."""
    if not hypothesis and not reference:
        return None
    return f_measure(reference, hypothesis) or 0.0 if hypothesis and reference else 0.0


def part(pairs, at, key):
    return {pair for pair in pairs if pair[at] == key}


@pytest.mark.parametrize("classes", SETS)
@pytest.mark.parametrize("name", RULES)
def test_averages_are_those_of_nltks_f_measure(name, classes):
    metric = metric_of(name)
    rows = metric.rows(HYPOTHESES, REFERENCES)
    found = {key: float(value) for key, value in metric.aggregate(rows.sum(axis=0)).items()}
    hypothesis, reference = stated(name, SETS[classes])
    by_class = {each: f1(part(hypothesis, 1, each), part(reference, 1, each)) for each in SETS[classes]}
    occurring = {each: value for each, value in by_class.items() if value is not None}
    support = {each: len(part(reference, 1, each)) for each in occurring}
    by_study = [f1(part(hypothesis, 0, i), part(reference, 0, i)) for i in range(len(HYPOTHESES))]
    agreed = [bool(text.strip()) for text in HYPOTHESES]
    expected = {
        "micro": f1(hypothesis, reference),
        "macro": np.mean(list(occurring.values())),
        "weighted": sum(occurring[each] * n for each, n in support.items()) / sum(support.values()),
        "example": np.mean([agreed[i] if value is None else value for i, value in enumerate(by_study)]),
    }
    prefix = name.replace("-", "_")
    for average, value in expected.items():
        assert 0 < value < 1
        assert found[f"{prefix}_{average}_{classes}"] == pytest.approx(value, abs=1e-12), average
    for each, value in occurring.items():
        assert metric.by_class(rows.sum(axis=0))[each] == pytest.approx(value)


def test_sets():
    assert [len(classes) for classes in SETS.values()] == [14, 13, 5]
    assert set(SETS["14"]) - set(SETS["13"]) == {"No Finding"}


def value(name, key, hypotheses, references):
    metric = metric_of(name)
    return float(metric.aggregate(metric.rows(hypotheses, references).sum(axis=0))[key])


def test_the_rule_decides_about_uncertain_labels():
    pair = ["Possible pulmonary edema. Effusion."], ["Pulmonary edema. Effusion."]
    assert value("label-f1", "label_f1_micro_13", *pair) == pytest.approx(2 / 3)
    assert value("label-f1-uncertain", "label_f1_uncertain_micro_13", *pair) == 1
    assert value("label-f1-certain", "label_f1_certain_micro_13", *pair) == 1
    pair = ["Possible pulmonary edema. Effusion."], ["No pulmonary edema. Effusion."]
    assert value("label-f1", "label_f1_micro_13", *pair) == 1
    assert value("label-f1-uncertain", "label_f1_uncertain_micro_13", *pair) == pytest.approx(2 / 3)
    assert value("label-f1-certain", "label_f1_certain_micro_13", *pair) == 1


def test_rows_add_up():
    metric = metric_of("label-f1")
    rows = metric.rows(HYPOTHESES, REFERENCES)
    half = metric.rows(HYPOTHESES[:40], REFERENCES[:40]).sum(axis=0) + metric.rows(
        HYPOTHESES[40:], REFERENCES[40:]
    ).sum(axis=0)
    np.testing.assert_allclose(half, rows.sum(axis=0))
    tp, fp, fn = rows[:, :42].reshape(-1, 3, 14).swapaxes(0, 1)
    read = [[label(text).get(name) == 1 for name in labeler.CLASSES] for text in REFERENCES]
    np.testing.assert_array_equal(tp + fn, np.array(read))
    assert fp.sum() > 0


def test_an_empty_report_is_wrong_even_about_a_normal_chest():
    for text, expected in (("", 0.0), ("The lungs are clear.", 1.0)):
        for classes in SETS:
            for average in ("micro", "macro", "weighted", "example"):
                key = f"label_f1_{average}_{classes}"
                assert value("label-f1", key, [text], ["No acute disease."]) == expected, key


def test_the_signature_names_labeler_rule_and_classes():
    signatures = {name: metric_of(name).signature for name in RULES}
    assert len(set(signatures.values())) == 3
    rule = f"label_f1|labeler:rules-{labeler.VERSION}|uncertain:negative|classes:14,13,5|"
    assert signatures["label-f1"].startswith(rule)
