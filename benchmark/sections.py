"""Findings and impression out of a report's text.

`section_text` and `label_text` behave as the official MIMIC-CXR parser does (MIT-LCP/mimic-cxr,
txt/section_parser.py and create_section_files.py), oddities included: the published references and labels
came out of it.
"""

from __future__ import annotations

import re

from benchmark._mimic_sections import CONTAINED, NAMES, SPECIAL_SECTION, SPECIAL_SLICE, VIEW_WORDS

_HEADING = re.compile(r"\n ([A-Z ()/,-]+):\s")
_PARAGRAPH_BREAK = "\n \n"
_LABEL_ORDER = ("impression", "findings", "last_paragraph", "comparison")


def section_text(text: str) -> tuple[list[str], list[str], list[int]]:
    """Split a report as the official parser does.

    Returns the sections' texts (unstripped), their normalised names, and where each begins in `text`. A report
    with no heading is one section, `full report`. Give the text as it is in the file, read in text mode:
    stripped or dedented text has no headings any more.
    """
    headings = list(_HEADING.finditer(text))
    if headings:
        ends = [heading.start() for heading in headings[1:]] + [len(text)]
        sections = [text[: headings[0].start(1)]]
        sections += [text[heading.end() : end] for heading, end in zip(headings, ends, strict=True)]
        names = ["preamble"] + [_canonical(heading.group(1)) for heading in headings]
        starts = [0] + [heading.end() for heading in headings]
    else:
        sections, names, starts = [text], ["full report"], [0]

    for at in reversed(range(len(names))):
        if names[at] in ("impression", "findings") and not sections[at].strip():
            del sections[at], names[at], starts[at]

    if not {"impression", "findings"} & set(names) and _PARAGRAPH_BREAK in sections[-1]:
        sections[-1], last = sections[-1].split(_PARAGRAPH_BREAK, 1)
        sections.append(last)
        names.append("last_paragraph")
        # The official index points at the break, not at the text behind it.
        starts.append(starts[-1] + len(sections[-2]))
    return sections, names, starts


def label_text(text: str, study_id: str) -> str:
    """The part of a report that MIMIC-CXR's CheXpert and NegBio labels were made from; empty where there is none.

    `study_id` with or without its `s`. Raises ValueError where one of the studies that the official code
    treats by name lacks the section named.
    """
    study = study_id.removeprefix("s")
    if study in SPECIAL_SLICE:
        return text[slice(*SPECIAL_SLICE[study])]
    sections, names, _ = section_text(text)
    by_name = dict(zip(names, sections, strict=True))
    if study in SPECIAL_SECTION:
        if SPECIAL_SECTION[study] not in by_name:
            raise ValueError(
                f"Study {study_id} has no section '{SPECIAL_SECTION[study]}', which the official rules name."
            )
        return by_name[SPECIAL_SECTION[study]].strip()
    return next((by_name[name].strip() for name in _LABEL_ORDER if name in by_name), "")


def findings_and_impression(text: str, study_id: str) -> tuple[str, str]:
    """The reference sections of a MIMIC-CXR report: what `mimic_cxr_sectioned.csv` holds, empty where absent.

    The 54 special studies have no row in that file, so both are empty for them.
    """
    if study_id.removeprefix("s") in SPECIAL_SLICE | SPECIAL_SECTION:
        return "", ""
    sections, names, _ = section_text(text)
    by_name = dict(zip(names, sections, strict=True))  # of two sections with one name the last wins
    return by_name.get("findings", "").strip(), by_name.get("impression", "").strip()


_OUTPUT_HEADING = re.compile(r"\b(findings|impression)\s*:", re.IGNORECASE)


def split_output(text: str) -> tuple[str, str]:
    """Findings and impression of a generated report of the form "Findings: … Impression: …".

    Text before the first heading counts as findings: a model that writes no headings wrote findings. Of a
    repeated heading all texts are kept, in order.
    """
    parts: dict[str, list[str]] = {"findings": [], "impression": []}
    name, begin = "findings", 0
    for heading in _OUTPUT_HEADING.finditer(text):
        parts[name].append(text[begin : heading.start()].strip())
        name, begin = heading.group(1).lower(), heading.end()
    parts[name].append(text[begin:].strip())
    findings, impression = (" ".join(filter(None, parts[key])) for key in ("findings", "impression"))
    return findings, impression


def join_output(findings: str, impression: str) -> str:
    """The text a model is taught to write: white space runs to one space, a section the report lacks is left out."""
    named = (("Findings:", findings), ("Impression:", impression))
    return " ".join(f"{heading} {' '.join(section.split())}" for heading, section in named if section.strip())


def _canonical(heading: str) -> str:
    name = heading.lower().strip()
    if name in NAMES:
        return NAMES[name]
    for word in CONTAINED:
        if word in name:
            return word
    if any(word in name for word in VIEW_WORDS):
        return "findings"
    return name
