"""The cases of metric_cases.json, values that another tool gave. To add one is to add an entry there."""

import json
from pathlib import Path

import pytest

from benchmark import registry
from benchmark.contracts import MetricContext, Unavailable

FILE = json.loads(Path(__file__).with_name("metric_cases.json").read_text("utf-8"))


@pytest.mark.parametrize("case", FILE["cases"], ids=lambda case: f"{case['metric']} {case['options']} {case['pairs']}")
def test_the_value_is_that_of_the_tool_named(case, meteor):
    metric = registry.METRICS.load(case["metric"])(MetricContext(), **case["options"])
    hypotheses, references = zip(*FILE["pairs"][case["pairs"]], strict=True)
    try:
        rows = metric.rows(hypotheses, references)
    except Unavailable as reason:
        pytest.skip(str(reason))
    found = {key: float(value) for key, value in metric.aggregate(rows.sum(axis=0)).items()}
    assert found == pytest.approx(case["expected"], abs=case["tolerance"]), case["origin"]
