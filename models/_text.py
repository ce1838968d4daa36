"""The text of an example: what models are taught to write, and what text baselines repeat."""

from __future__ import annotations

from benchmark.contracts import Example
from benchmark.sections import join_output


def report_text(example: Example) -> str:
    """The text a model is taught to write: "Findings: … Impression: …"; empty where the report has neither."""
    return join_output(example.reference.findings, example.reference.impression)
