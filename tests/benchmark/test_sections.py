"""The section parsers. Expected outputs of the official one come from running it (MIT-LCP/mimic-cxr)."""

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


# What the official parser does, oddity by oddity ----------------------------------------------------------------------

OFFICIAL = {
    "a heading needs a space after the newline": ("X\nFINDINGS: Clear.\n", ["full report"], "", ""),
    "a heading on the first line is none": (" FINDINGS: Clear.\n", ["full report"], "", ""),
    "more spaces do no harm": ("X\n    FINDINGS: Clear.\n", ["preamble", "findings"], "Clear.", ""),
    "a tab before it does": ("X\n\tFINDINGS: Clear.\n", ["full report"], "", ""),
    "a digit defeats it": ("X\n CHEST, 2 VIEWS: Clear.\n", ["full report"], "", ""),
    "an ampersand defeats it": ("X\n FINDINGS & IMPRESSION: Clear.\n", ["full report"], "", ""),
    "a full stop defeats it": ("X\n ST. IMPRESSION: Clear.\n", ["full report"], "", ""),
    "an underscore defeats it": ("X\n CHEST ___: Clear.\n", ["full report"], "", ""),
    "an apostrophe defeats it": ("X\n DOCTOR'S IMPRESSION: Clear.\n", ["full report"], "", ""),
    "lower case defeats it": ("X\n Findings: Clear.\n", ["full report"], "", ""),
    "a space before the colon does not": ("X\n FINDINGS : Clear.\n", ["preamble", "findings"], "Clear.", ""),
    "a colon needs white space": ("X\n FINDINGS:Clear.\n", ["full report"], "", ""),
    "the last characters are none": (
        "X\n FINDINGS: A.\n IMPRESSION:", ["preamble", "findings"], "A.\n IMPRESSION:", ""),
    "an empty section goes": ("X\n FINDINGS: A.\n IMPRESSION:\n", ["preamble", "findings"], "A.", ""),
    "a no-break space is white space": ("X\n FINDINGS:\u00a0Clear.", ["preamble", "findings"], "Clear.", ""),
    "a form feed too": ("X\n FINDINGS:\fClear.", ["preamble", "findings"], "Clear.", ""),
    "but none before a heading": ("X\n\u00a0FINDINGS: Clear.", ["full report"], "", ""),
    "none within a line": ("X\n A. FINDINGS: Clear.\n", ["full report"], "", ""),
    "a wrapped line in capitals is one": (
        "X\n IMPRESSION: Edema.\n OF NOTE: tube.\n", ["preamble", "impression", "of note"], "", "Edema."),
    "a swallowed heading": ("X\n FINDINGS:\n IMPRESSION: Clear.\n", ["preamble", "findings"], "IMPRESSION: Clear.", ""),
    "one space more saves it": ("X\n FINDINGS: \n IMPRESSION: Clear.\n", ["preamble", "impression"], "", "Clear."),
    "of two equal names the last wins": (
        "X\n IMPRESSION: A.\n FINDINGS: B.\n IMPRESSION: C.\n", ["preamble", "impression", "findings", "impression"],
        "B.", "C."),
    "a title is findings": ("X\n PORTABLE CHEST: At noon.\n IMPRESSION: B.\n",
        ["preamble", "findings", "impression"], "At noon.", "B."),
    "a title behind findings overrides them": ("X\n FINDINGS: A.\n CHEST TUBES: B.\n",
        ["preamble", "findings", "findings"], "B.", ""),
    "sub-headings empty the findings": ("X\n FINDINGS: \n LUNGS: Clear.\n HEART: Large.\n",
        ["preamble", "lungs", "heart"], "", ""),
    "impression before findings in a name": ("X\n IMPRESSION/FINDINGS: A.\n", ["preamble", "impression"], "", "A."),
    "findings before history": ("X\n HISTORY AND FINDINGS: A.\n", ["preamble", "findings"], "A.", ""),
    "findings before comparison": ("X\n COMPARISON AND FINDINGS: A.\n", ["preamble", "findings"], "A.", ""),
    "history before comparison": ("X\n COMPARISON AND HISTORY: A.\n", ["preamble", "history"], "", ""),
    "unknown names stay": (
        "X\n INDICATIONS: A.\n TYPE OF EXAM: B.\n STUDY: C.\n OPINION: D.\n REPORT: E.\n",
        ["preamble", "indications", "type of exam", "study", "opinion", "report"], "", ""),
    "view words anywhere": ("X\n LEFT RIBS: A.\n", ["preamble", "findings"], "A.", ""),
    "recommendations end the impression": (
        "X\n IMPRESSION: A.\n RECOMMENDATION(S): B.\n NOTIFICATION: C.\n WET READ: D.\n NOTE: E.\n",
        ["preamble", "impression", "recommendations", "notification", "wet read", "note"], "", "A."),
    "the preliminary findings": (
        "X\n PROVISIONAL FINDINGS IMPRESSION (PFI): A.\n", ["preamble", "impression"], "", "A."),
    "pfi alone is history": ("X\n PFI: A.\n", ["preamble", "history"], "", ""),
    "ndication is an impression": ("X\n NDICATION: A.\n", ["preamble", "impression"], "", "A."),
    "an addendum before the report": (
        "X\n ADDENDUM: A.\n IMPRESSION: B.\n", ["preamble", "addendum", "impression"], "", "B."),
    "an empty report": ("", ["full report"], "", ""),
    "an empty name": ("X\n  : A.\n IMPRESSION: B.\n", ["preamble", "", "impression"], "", "B."),
}  # fmt: skip


@pytest.mark.parametrize("case", OFFICIAL)
def test_official_oddity(case):
    text, names, findings, impression = OFFICIAL[case]
    found, found_names, starts = sections.section_text(text)
    assert found_names == names
    assert sections.findings_and_impression(text, "50000001") == (findings, impression)
    assert all(text[start:].startswith(section) for section, start in zip(found, starts, strict=True))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("X\n HISTORY: A.\n \n B.\n \n C.\n", ["X\n ", "A.", " B.\n \n C.\n"]),
        ("X\n HISTORY: A.\n\n B.\n", None),
        ("X\n HISTORY: A.\n  \n B.\n", None),
        ("X\r\n HISTORY: A.\r\n \r\n B.\r\n", None),
        ("X\n HISTORY: A.\n \n B.\n TECHNIQUE: C.\n", None),
        ("X\n IMPRESSION: A.\n \n B.\n", None),
        ("X\n COMPARISON: A.\n \n ", ["X\n ", "A.", " "]),
        ("A.\n \n B.", ["A.", " B."]),
    ],
)
def test_the_last_paragraph(text, expected):
    found, names, starts = sections.section_text(text)
    assert (names[-1] == "last_paragraph") == (expected is not None)
    if expected is not None:
        assert found == expected
        assert starts[-1] == starts[-2] + len(found[-2]), "it points at the break, three characters early"
        assert sections.label_text(text, "50000001") == expected[-1].strip()


def test_label_text_prefers_impression_then_findings_then_last_paragraph_then_comparison():
    def label(text):
        return sections.label_text(text, "s50000001")

    assert label("X\n IMPRESSION: A.\n FINDINGS: B.\n IMPRESSION: C.\n") == "C."
    assert label("X\n FINDINGS: B.\n COMPARISON: D.\n") == "B."
    assert label("X\n COMPARISON: D.\n \n E.\n") == "E."
    assert label("X\n COMPARISON: D.\n HISTORY: F.\n") == "D."
    assert label("X\n COMPARISON: D.\n \n ") == "", "an empty last paragraph still goes before"
    assert label("X\n HISTORY: F.\n") == label("") == label("No headings.") == ""


@pytest.mark.parametrize("study", ["50913680", "s50913680", 50913680])
def test_a_special_study_has_its_named_section_and_no_reference(study):
    text = "X\n IMPRESSION: A.\n RECOMMENDATION(S): B.\n RECOMMENDATION: C.\n"
    assert sections.label_text(text, study) == "C."
    assert sections.findings_and_impression(text, study) == ("", "")


@pytest.mark.parametrize("study", ["51410602", "s51410602", 51410602])
def test_a_special_study_has_its_slice_as_it_is(study):
    text = "x" * 47 + " A." + "y" * 400
    assert sections.label_text(text, study) == " A." + "y" * (320 - 50)
    assert sections.label_text("short", study) == ""
    assert sections.label_text(text, "s58235663") == ""


# What models write ----------------------------------------------------------------------------------------------------


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
