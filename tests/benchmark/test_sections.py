"""The section parser. Expected outputs of the shared cases come from the official parser."""

import json
from pathlib import Path

import pytest

from benchmark import sections

SHARED = Path(__file__).parents[2].parent / "shared" / "section_cases.json"


def official_cases():
    if not SHARED.exists():
        return [pytest.param(None, marks=pytest.mark.skip(reason="section_cases.json lies outside the repository"))]
    return [pytest.param(case, id=case["id"]) for case in json.loads(SHARED.read_text())["cases"]]


@pytest.mark.parametrize("case", official_cases())
def test_agrees_with_the_official_parser(case):
    # The cases hold file content; the official code reads files in text mode, which turns CRLF into LF.
    text = case["text"].replace("\r\n", "\n").replace("\r", "\n")
    found = sections.section_text(text)
    expected = case["section_text"]
    assert (found[0], found[1], found[2]) == (expected["sections"], expected["names"], expected["idx"])
    assert sections.label_text(text, case["study"]) == case["label_text"]
    row = case["sectioned_row"] or {"findings": "", "impression": ""}
    assert sections.findings_and_impression(text, case["study"]) == (row["findings"] or "", row["impression"] or "")


REPORT = (
    "                                 FINAL REPORT\n EXAMINATION:  CHEST (PA AND LAT)\n \n FINDINGS: \n \n"
    " The lungs are clear.\n \n IMPRESSION: \n \n No acute process.\n"
)


def test_finds_both_sections():
    assert sections.findings_and_impression(REPORT, "50000001") == ("The lungs are clear.", "No acute process.")


def test_a_swallowed_heading_becomes_findings():
    text = " X\n FINDINGS:\n IMPRESSION: Clear.\n"
    assert sections.section_text(text)[1] == ["preamble", "findings"]


def test_special_study_without_its_section_is_an_error():
    with pytest.raises(ValueError, match="recommendations"):
        sections.label_text(REPORT, "s50913680")


def test_special_studies_are_54():
    assert len(sections.SPECIAL_SLICE) + len(sections.SPECIAL_SECTION) == 54


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Findings: A b. Impression: C.", ("A b.", "C.")),
        ("Impression: C. Findings: A.", ("A.", "C.")),
        ("no headings at all", ("no headings at all", "")),
        ("", ("", "")),
        ("FINDINGS : A IMPRESSION:", ("A", "")),
        ("Findings: A Impression: B Impression: C", ("A", "B C")),
    ],
)
def test_split_output(text, expected):
    assert sections.split_output(text) == expected


def test_join_output_is_undone_by_split_output():
    assert sections.split_output(sections.join_output("A\n b.", "C.")) == ("A b.", "C.")
    assert sections.join_output("", "C.") == "Impression: C."
