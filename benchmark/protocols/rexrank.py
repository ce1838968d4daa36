"""ReXrank: `Findings: … Impression: …` scored as CXR-Report-Metric does."""

from __future__ import annotations

from benchmark.protocols import cxr_report_metric
from benchmark.schema import section_text


class Protocol(cxr_report_metric.Protocol):
    """References carry their headings, and the word None for a section that is missing."""

    NAME, VERSION = "rexrank", 1
    SOURCE = "ReXrank (Zhang et al., 2024): example_files/evaluation_script.md, with CXR-Report-Metric's scores"
    SECTIONS = ("report",)
    KEEPS_HEADINGS = True
    CLEANING = (
        "reference `Findings: … Impression: …`, a missing section as the word None; then as cxr-report-metric "
        "(lower case, `.` becomes ` .`, split at single spaces; BERTScore reads the text as it is)"
    )
    PARTS = "unit:study|join:findings-impression-none|clean:cxr-report-metric|tok:space"

    def joined(self, findings: str, impression: str) -> str:
        if not findings and not impression:
            return ""
        return f"Findings: {findings or None} Impression: {impression or None}"

    def reference_text(self, section: str, findings: str, impression: str) -> str:
        if section == "report":
            return self.joined(findings, impression)
        return section_text(section, findings, impression)
