"""The text of an example: what models are taught to write, what text baselines repeat, and what is known before."""

from __future__ import annotations

from benchmark.contracts import Example
from benchmark.schema import Study
from benchmark.sections import join_output


def report_text(example: Example) -> str:
    """The text a model is taught to write: "Findings: … Impression: …"; empty where the report has neither."""
    return join_output(example.reference.findings, example.reference.impression)


def indication_text(study: Study) -> str:
    """Why the examination was made, on one line, as models are given it; empty where it is not known."""
    indication = " ".join(study.context.get("indication", "").split())
    return f"Indication: {indication}" if indication else ""
