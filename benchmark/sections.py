"""Findings and impression out of a report's text.

`section_text` and `label_text` behave as the official MIMIC-CXR parser does (MIT-LCP/mimic-cxr,
txt/section_parser.py and create_section_files.py), oddities included: the published references and labels
came out of it. `tolerant_findings_and_impression` reads other hospitals' reports.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from benchmark import _headings
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


def label_text(text: str, study_id: str | int) -> str:
    """The part of a report that MIMIC-CXR's CheXpert and NegBio labels were made from; empty where there is none.

    `study_id` with or without its `s`, or a number. Raises ValueError where one of the studies that the official code
    treats by name lacks the section named.
    """
    study = str(study_id).removeprefix("s")
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


def findings_and_impression(text: str, study_id: str | int) -> tuple[str, str]:
    """The reference sections of a MIMIC-CXR report: what `mimic_cxr_sectioned.csv` holds, empty where absent.

    The 54 special studies have no row in that file, so both are empty for them.
    """
    if str(study_id).removeprefix("s") in SPECIAL_SLICE | SPECIAL_SECTION:
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


def tolerant_findings_and_impression(text: str) -> tuple[str, str]:
    """Findings and impression of a report as any hospital may write it, in the languages of `_headings`.

    A heading is a known name before a colon or a dash, or alone on its line: in any case, indented or not, in Markdown,
    numbered, and after a sentence within a line too. Sections of one kind are joined in order by a line break. Text
    without a heading of its own is findings where no heading names any: a report without headings whole, else what
    stands before the impression, or in a new paragraph behind indication, technique and the like (but for lines in
    capitals alone, which are titles). Otherwise nothing but headings and other sections is left out. Line breaks
    within a section are kept; their form (Windows, Unix) is not.
    """
    text = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    headings = list(_headings_of(text))
    if not headings:
        return text.strip(), ""
    kinds = [_headings.TITLE] + [heading.kind for heading in headings]
    begins = [0] + [heading.end for heading in headings]
    ends = [heading.begin for heading in headings] + [len(text)]
    sections = [(kind, _section(text[begin:end])) for kind, begin, end in zip(kinds, begins, ends, strict=True)]
    findings, impression = (
        "\n".join(section for kind, section in sections if kind == wanted and section)
        for wanted in (_headings.FINDINGS, _headings.IMPRESSION)
    )
    return findings or _untitled(sections), impression


@dataclass(frozen=True)
class _Found:
    """A heading: its kind, and where it and its section begin."""

    kind: str
    begin: int
    end: int


_COLON = re.compile(r"[:：]\s?")
_DASH = re.compile(r"[ \t]*([^\W\d_][^\n:–—]{1,40}?)[ \t]+[-–—]+(?:[ \t]+|$)")
_WORD = re.compile(r"\S+")
_EMPHASIS = re.compile(r"[ \t#>-]*[*_]+")
_RULE = re.compile(r"\A(?:[-=*~]{3,}\s*\n)+|(?:\n\s*[-=*~]{3,}\s*)+\Z")
_SENTENCE_END = ".!?:;)]}>"
_OUTPUT_NAMES = ("Findings", "Impression")
"""What this project's own models write, with or without a full stop before (see `split_output`)."""
_WRAPPED = 60
"""A line of so many characters may have been broken within a sentence."""


def _headings_of(text: str) -> Iterator[_Found]:
    """The headings that bound sections, in order."""
    current, line_begin = _headings.TITLE, 0
    for line in text.split("\n"):
        for found in _headings_in(text, line_begin, line_begin + len(line)):
            if found.kind == _headings.VIEW and current in (_headings.FINDINGS, _headings.IMPRESSION, _headings.VIEW):
                continue  # CHEST TUBES: within findings is no new section
            yield found
            current = found.kind
        line_begin += len(line) + 1


def _headings_in(text: str, begin: int, end: int) -> Iterator[_Found]:
    """The headings of a line."""
    at = begin
    for colon in _COLON.finditer(text, begin, end):
        if found := _before_colon(text, begin, at, colon.start()):
            # What opens before the name, as in **Findings:**, closes behind the colon.
            marks = _EMPHASIS.match(text, colon.end(), end) if _EMPHASIS.match(text, found.begin) else None
            yield _Found(found.kind, found.begin, marks.end() if marks else colon.end())
        at = colon.end()
    if at == begin:
        dash = _DASH.match(text, begin, end)
        name, rest = (dash[1], dash.end()) if dash else (text[begin:end], end)
        name = _headings.bare(name, numbered=True)
        kind = _headings.kind_of(name)
        if kind and name[0].isupper() and (dash or name.isupper() or _sentence_ended(text, begin)):
            yield _Found(kind, begin, rest)


def _before_colon(text: str, line: int, begin: int, colon: int) -> _Found | None:
    """The heading that ends at a colon and begins at `begin` (behind the colon before, or with the line) or later."""
    if begin == line:
        name = _headings.bare(text[begin:colon], numbered=True)
        kind = _headings.kind_in_capitals(name)
        if kind and (not name[0].islower() or _sentence_ended(text, begin)):
            return _Found(kind, begin, colon)
    words = list(_WORD.finditer(text, max(begin, colon - 60), colon))
    for word in words[-5:]:
        name = _headings.bare(text[word.start() : colon])
        kind = _headings.kind_of(name)
        if kind and (name.isupper() or name in _OUTPUT_NAMES or _sentence_ended(text, word.start())):
            return _Found(kind, word.start(), colon)
    return None


def _sentence_ended(text: str, at: int) -> bool:
    """Whether what stands before `at` is a whole sentence, and not one that goes on there."""
    before = text[max(0, at - 200) : at]
    words = before.rstrip(" \t\n\u00a0*_#>-")
    gap, line = before[len(words) :], words.rpartition("\n")[2]
    return not words or words[-1] in _SENTENCE_END or gap.count("\n") > 1 or ("\n" in gap and len(line) < _WRAPPED)


def _section(text: str) -> str:
    return _RULE.sub("", text.strip()).strip()


def _untitled(sections: Sequence[tuple[str, str]]) -> str:
    """What stands under no heading of its own, see `tolerant_findings_and_impression`."""
    kinds = [kind for kind, _ in sections]
    impression = kinds.index(_headings.IMPRESSION) if _headings.IMPRESSION in kinds else len(kinds)
    context = kinds.index(_headings.CONTEXT) if _headings.CONTEXT in kinds else 0
    spoken = any(letter.islower() for _, section in sections for letter in section)

    def prose(paragraphs: Sequence[str]) -> list[str]:
        return [text for text in paragraphs if text and (any(map(str.islower, text)) or not spoken)]

    named: list[str] = []
    body: list[str] = []
    title: list[str] = []
    for at, (kind, section) in enumerate(sections):
        paragraphs = re.split(r"\n\s*\n", section)
        if kind == _headings.VIEW:
            named += prose(paragraphs)
        elif kind == _headings.TITLE:
            (title if at < context else body).extend(prose(paragraphs))
        elif kind == _headings.CONTEXT and at < impression:
            body += prose(paragraphs[1:])
    return "\n\n".join(named or body or title).strip()
