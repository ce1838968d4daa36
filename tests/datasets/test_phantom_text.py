"""The phantom's text: what a report says is what was drawn, its labels follow from it, and studies stand alone."""

from __future__ import annotations

import re
from dataclasses import dataclass

import pytest

from benchmark.datasets._phantom_case import FORMS, NORMAL_SHARE, Case, Finding
from benchmark.datasets._phantom_grammar import Report, write_report
from benchmark.datasets._phantom_sampling import SPLITS, sample_patients, stream

SEED, STUDIES = 3, 300
HEADER = re.compile(r"\n ([A-Z ()/,-]+):\s")
"""How MIT-LCP's section parser finds a section."""

MENTION = {
    "Atelectasis": r"atelecta|collapse",
    "Cardiomegaly": r"cardiomegaly|enlarged heart|heart (?:is|size is)[\w ]* (?:enlarged|increased)"
    r"|(?:enlarged|enlargement of the) cardiac silhouette|cardiac silhouette is[\w ]* enlarged",
    "Consolidation": r"consolidat(?:ion|ive)",
    "Edema": r"edema|vascular congestion",
    "Enlarged Cardiomediastinum": r"(?:widened|widening of the|increased width of the)[\w ]*mediastin"
    r"|mediastin[\w ]* (?:widened|width of)",
    "Fracture": r"fracture",
    "Lung Lesion": r"nodule|nodular|\bmass\b",
    "Lung Opacity": r"opaci(?:ty|ties|fication)",
    "Pleural Effusion": r"effusion|pleural fluid",
    "Pleural Other": r"pleural thickening|apex shows",
    "Pneumonia": r"pneumonia",
    "Pneumothorax": r"pneumothorax",
    "Support Devices": r"pacemaker|pacing|central (?:venous )?(?:line|catheter)|endotracheal|intubated|sternotomy"
    r"|chest tube|pleural drain",
}
DENIED = re.compile(
    r"^(?:no |there is no |neither |nothing )|without (?:focal|an |effusion|infiltrate)|, and no |\bis not "
)
DOUBTED = re.compile(r"possibl[ey]|may represent|could reflect|questionable|concerning for|suspicious for|likely")
SIDED = {
    "effusion": r"pleural effusion|costophrenic angle",
    "pneumothorax": r"pneumothorax",
    "consolidation": r"consolidat",
    "nodule": r"nodul",
    "mass": r"\bmass\b",
    "rib fracture": r"\brib\b",
    "lobar collapse": r"collapse|volume loss",
    "pacemaker": r"pacemaker|pacing",
    "central line": r"central",
    "chest tube": r"chest tube|pleural drain",
}


@dataclass(frozen=True)
class Written:
    index: int
    case: Case
    previous: Case | None
    first: Report
    second: Report

    def readers(self) -> tuple[Report, Report]:
        return self.first, self.second


def everyone(n: int = STUDIES, seed: int = SEED, split: str = "test") -> list[Written]:
    written = []
    for patient in sample_patients(seed, n, split=split):
        previous = None
        for index, case in enumerate(patient.studies, patient.first):
            first = write_report(case, stream(seed, split, "report", index), 0, previous)
            second = write_report(case, stream(seed, split, "second reader", index), 1, previous)
            written.append(Written(index, case, previous, first, second))
            previous = case
    return written


@pytest.fixture(scope="module")
def written() -> list[Written]:
    return everyone()


def sentences(report: Report) -> list[str]:
    text = f"{report.findings} {report.impression}".replace("Dr. ", "Dr ")
    text = re.sub(r"\b\d\. (?=[A-Z])", "", text)  # numbers of a list
    return [sentence.lower() for sentence in re.split(r"(?<=\.)\s+", text.strip())]


def body(text: str) -> dict[str, str]:
    """Sections as the official parser cuts them, with runs of white space as one space."""
    found = list(HEADER.finditer(text))
    ends = [match.start() for match in found[1:]] + [len(text)]
    parts = zip(found, ends, strict=True)
    return {match[1].strip().lower(): " ".join(text[match.end() : end].split()) for match, end in parts}


def test_sections_parse_as_they_were_written(written: list[Written]) -> None:
    indications = {"indication", "history", "reason for exam"}
    for study in written:
        for report in study.readers():
            assert report.text.startswith(" " * 33 + "FINAL REPORT\n ")
            assert max(map(len, report.text.splitlines())) <= 80
            sections = body(report.text)
            for name in ("findings", "impression", "examination", "comparison", "technique"):
                assert sections.pop(name, "") == getattr(report, name)
            (indication,) = sections
            assert indication in indications
            assert sections[indication] == report.indication


def test_official_parser_of_the_project_agrees(written: list[Written]) -> None:
    parser = pytest.importorskip("benchmark.sections")
    for study in written[:100]:
        findings, impression = parser.findings_and_impression(study.first.text, "s50000000")
        assert " ".join(findings.split()) == study.first.findings
        assert " ".join(impression.split()) == study.first.impression


def test_some_sections_are_left_out_but_never_both(written: list[Written]) -> None:
    reports = [report for study in written for report in study.readers()]
    assert 0.08 < sum(not report.impression for report in reports) / len(reports) < 0.16
    assert 0.03 < sum(not report.findings for report in reports) / len(reports) < 0.09
    assert all(report.findings or report.impression for report in reports)
    assert any("___" in report.findings for report in reports)


def test_stated_labels_follow_from_the_text(written: list[Written]) -> None:
    """Independent patterns find a mention of every class that is stated, and none of those that are not."""
    for study in written:
        for report in study.readers():
            text = sentences(report)
            for label, pattern in MENTION.items():
                mentions = [sentence for sentence in text if re.search(pattern, sentence)]
                sure = [s for s in mentions if not DENIED.search(s) and not DOUBTED.search(s)]
                value = report.stated.get(label)
                where = (study.index, label, value, mentions)
                if label in ("Cardiomegaly", "Enlarged Cardiomediastinum") and value == 0.0:
                    assert not sure, where
                    continue
                assert bool(mentions) == (value is not None), where
                if value == 0.0:
                    assert all(DENIED.search(sentence) for sentence in mentions), where
                if value == -1.0:
                    assert not sure and any(DOUBTED.search(sentence) for sentence in mentions), where
                if value == 1.0:
                    assert any(not DENIED.search(sentence) for sentence in mentions), where


def test_no_finding_where_only_devices_are_stated(written: list[Written]) -> None:
    for study in written:
        for report in study.readers():
            others = set(report.stated) - {"No Finding", "Support Devices"}
            abnormal = any(report.stated[label] != 0.0 for label in others)
            assert ("No Finding" in report.stated) == (not abnormal)
            assert report.stated.get("No Finding", 1.0) == 1.0


def test_reports_say_only_what_was_drawn(written: list[Written]) -> None:
    """Nothing is invented, nothing drawn is denied, and nearly everything drawn is mentioned."""
    drawn = mentioned = 0
    for study in written:
        for report in study.readers():
            stated = {label for label, value in report.stated.items() if value != 0.0} - {"No Finding"}
            # An opacity is the word for several findings, and pneumonia the usual reading of two of them.
            assert stated <= study.case.labels | {"Lung Opacity", "Pneumonia"}
            if "Pneumonia" in stated:
                assert study.case.labels & {"Consolidation", "Lung Opacity"}
            if "Lung Opacity" in stated:
                assert study.case.labels - {"Cardiomegaly", "Enlarged Cardiomediastinum", "Support Devices"}
            assert not any(report.stated.get(label) == 0.0 for label in study.case.labels)
            drawn += len(study.case.labels)
            mentioned += len(study.case.labels & stated)
    assert 0.96 < mentioned / drawn < 1.0


def test_sides_lobes_and_sizes_agree(written: list[Written]) -> None:
    for study in written:
        for report in study.readers():
            for finding in study.case.findings:
                for sentence in sentences(report):
                    if finding.form in SIDED and re.search(SIDED[finding.form], sentence):
                        check_place(finding, study.case, sentence)


def check_place(finding: Finding, case: Case, sentence: str) -> None:
    """Each side and lobe that a sentence names belongs to something drawn; so does each diameter."""
    sides = {f.side for f in case.findings}
    lobes = {(f.side, f.lobe) for f in case.findings}
    for side in ("left", "right"):
        # The ventricle and atrium are the right ones wherever the pacemaker lies.
        if re.search(rf"\b{side}\b(?! ventricle| atrium)", sentence):
            assert side in sides, (finding, sentence)
    for side, lobe in re.findall(r"(left|right) (upper|middle|lower) lobe", sentence):
        assert (side, lobe) in lobes, (finding, sentence)
    for number, unit in re.findall(r"(\d+(?:\.\d)?) (mm|cm)", sentence):
        millimetres = float(number) * (10 if unit == "cm" else 1)
        assert any(f.size_mm and abs(f.size_mm - millimetres) <= 2.6 for f in case.findings), (finding, sentence)


def test_the_second_reader_words_the_same_facts_differently(written: list[Written]) -> None:
    with_text = [study for study in written if study.first.findings and study.second.findings]
    same = sum(study.first.findings == study.second.findings for study in with_text)
    assert same / len(with_text) < 0.05
    assert len({study.first.text for study in written}) > 0.95 * len(written)


def test_the_likeliest_wording_needs_no_random_numbers(written: list[Written]) -> None:
    for study in written[:50]:
        report = write_report(study.case, None)
        assert report == write_report(study.case, None)
        assert report.findings and report.impression


def test_a_study_does_not_depend_on_how_many_there_are() -> None:
    few, many = everyone(20), everyone(60)
    assert few == many[:20]
    assert everyone(20, seed=SEED + 1) != few
    assert everyone(20, split="train") != few


def test_cases_are_plausible() -> None:
    patients = [patient for split in SPLITS for patient in sample_patients(0, 1000, split=split)]
    cases = [case for patient in patients for case in patient.studies]
    normal = sum(not case.findings for case in cases) / len(cases)
    assert normal == pytest.approx(NORMAL_SHARE, abs=0.06)
    assert 0.2 < sum(len(patient.studies) > 1 for patient in patients) / len(patients) < 0.3
    names = [finding.form for case in cases for finding in case.findings]
    for form in FORMS:
        assert names.count(form.name) / len(cases) == pytest.approx(form.prevalence, abs=0.02 + 0.25 * form.prevalence)
    for case in cases:
        assert len(case.findings) <= 4
        assert len({finding.form for finding in case.findings}) == len(case.findings)
        assert ("left", "middle") not in {(finding.side, finding.lobe) for finding in case.findings}
        dense = [(f.side, f.lobe) for f in case.findings if f.form in ("consolidation", "lobar collapse")]
        assert len(set(dense)) == len(dense)
        lesions = [f.side for f in case.findings if f.label == "Lung Lesion"]
        assert len(set(lesions)) == len(lesions)
        if case.view == "PA":
            assert "endotracheal tube" not in {finding.form for finding in case.findings}


def test_prevalence_scales_the_share_of_abnormal_first_studies() -> None:
    def abnormal(prevalence: float) -> float:
        patients = sample_patients(0, 800, prevalence)
        return sum(bool(patient.studies[0].findings) for patient in patients) / len(patients)

    assert abnormal(0.0) == 0.0
    assert abnormal(0.5) == pytest.approx(0.5 * abnormal(1.0), rel=0.15)
