"""How the phantom's radiologists write: a case becomes a MIMIC-style report and the values that it states.

Everything a reader may put in several ways goes through `Voice.pick`, which prefers what stands first in a list.
So wording has habits, as people's has, and a writer of most likely words exists (`rng=None`) to measure against.
"""

from __future__ import annotations

import re
import textwrap
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import TypeVar

import numpy as np

from . import _phantom_phrases as words
from ._phantom_case import GRADES, Case, Finding
from ._phantom_phrases import ABSENT, PRESENT, UNCERTAIN, Phrase

Item = TypeVar("Item")
Stated = dict[str, float]

HABITS = (
    (0.60, 0.18, 0.10, 0.06, 0.04, 0.03, 0.02),
    (0.35, 0.35, 0.15, 0.08, 0.05, 0.03, 0.02),
)
"""How much each reader likes the first, second, … wording of a list; rescaled to the list's length."""
BOILERPLATE = (
    (0.22, 0.17, 0.15, 0.13, 0.11, 0.09, 0.08, 0.07, 0.06),
    (0.18, 0.18, 0.16, 0.12, 0.10, 0.08, 0.07, 0.06, 0.05),
)
"""The same for what is normal, which is worded less steadily: else one normal report would suit most studies."""

NO_FINDING, DEVICES = "No Finding", "Support Devices"

ORDERS = (
    ("devices", "lungs", "pleura", "heart", "bones"),
    ("lungs", "pleura", "heart", "bones", "devices"),
    ("devices", "heart", "lungs", "pleura", "bones"),
    ("heart", "lungs", "pleura", "bones", "devices"),
    ("lungs", "heart", "pleura", "devices", "bones"),
)
"""Where the eye goes first."""
GROUPS = {
    "heart": ("cardiomegaly", "wide mediastinum"),
    "lungs": (
        "edema", "consolidation", "ground-glass opacity", "plate-like atelectasis", "lobar collapse", "nodule", "mass",
    ),
    "pleura": ("effusion", "pneumothorax", "apical pleural thickening"),
    "bones": ("rib fracture",),
    "devices": ("endotracheal tube", "central line", "chest tube", "pacemaker", "sternotomy wires"),
}  # fmt: skip
IMPORTANCE = (
    "pneumothorax", "mass", "consolidation", "edema", "lobar collapse", "effusion", "nodule", "ground-glass opacity",
    "wide mediastinum", "rib fracture", "cardiomegaly", "plate-like atelectasis", "apical pleural thickening",
    *GROUPS["devices"],
)  # fmt: skip
"""Order of the impression."""
MINOR = ("cardiomegaly", "plate-like atelectasis", "apical pleural thickening")
"""What an impression may pass over when there is worse."""
OVERLOOKED = ("plate-like atelectasis", "apical pleural thickening", "sternotomy wires")
"""What a reader may not mention at all. None of them is ever denied in words."""
DENSE = ("consolidation", "ground-glass opacity", "lobar collapse")
"""With these in the lungs nobody adds that there is no consolidation."""

P_OVERLOOKED, P_HEDGED, P_COMPARES = 0.08, 0.12, 0.5
P_SECTIONS = (("both", 0.82), ("no impression", 0.12), ("no findings", 0.06))


@dataclass(frozen=True)
class Report:
    """One reader's report of one study. A section that was left out is an empty string."""

    examination: str
    indication: str
    technique: str
    comparison: str
    findings: str
    impression: str
    text: str
    """The report file, laid out as MIMIC-CXR's."""
    stated: Stated
    """CheXpert classes that findings and impression state: 1 present, 0 denied, -1 uncertain."""


class Voice:
    """One reader's choices. Without random numbers, always the most likely one."""

    def __init__(self, rng: np.random.Generator | None, reader: int) -> None:
        self.rng = rng
        self.habit, self.boilerplate = HABITS[reader], BOILERPLATE[reader]

    def pick(self, options: Sequence[Item]) -> Item:
        """By habit: options stand in order of liking."""
        return self.weigh(options, self.habit[: len(options)])

    def vary(self, options: Sequence[Item]) -> Item:
        """By the looser habit of boilerplate."""
        return self.weigh(options, self.boilerplate[: len(options)])

    def weigh(self, options: Sequence[Item], weights: Iterable[float]) -> Item:
        """By explicit weights, which need not sum to 1; the first option must be the likeliest."""
        if self.rng is None:
            return options[0]
        limits = list(accumulate(weights))
        return options[bisect_right(limits, self.rng.random() * limits[-1])]

    def happens(self, probability: float) -> bool:
        """For what is rare: never, where the most likely is asked for."""
        return self.weigh((False, True), (1 - probability, probability))


@dataclass(frozen=True)
class Remark:
    """What the reader has decided about one finding before wording it in either section."""

    finding: Finding
    fields: dict[str, str]
    hedged: bool
    since: str
    """Comparison with the last study, ready to be appended to a sentence."""

    def phrases(self, sure: dict[str, tuple[Phrase, ...]], hedged: dict[str, tuple[Phrase, ...]]) -> tuple[Phrase, ...]:
        """The wordings to pick from."""
        if self.hedged:
            return hedged[self.finding.form]
        both = f"bilateral {self.finding.form}"
        return sure[both] if self.finding.side == "bilateral" and both in sure else sure[self.finding.form]

    def statement(self, phrase: Phrase) -> Phrase:
        """The phrase with its fields filled in; unhedged, it states the finding's class."""
        own = () if self.hedged else ((self.finding.label, PRESENT),)
        return Phrase(_fill(phrase.text, self.fields), (*own, *phrase.states))


def write_report(
    case: Case,
    rng: np.random.Generator | None,
    reader: int = 0,
    previous: Case | None = None,
    both_views: bool = False,
) -> Report:
    """One reader's report. `rng=None` takes the likeliest wording of everything; `previous` is the last study.

    With `both_views` the study has a PA and an AP image.
    """
    voice = Voice(rng, reader)
    remarks = _remarks(case, voice, previous)
    findings, impression = _findings(case, remarks, voice), _impression(case, remarks, voice)
    kind = voice.weigh([name for name, _ in P_SECTIONS], [share for _, share in P_SECTIONS])
    if kind == "no impression":
        impression = []
    elif kind == "no findings":
        findings, impression = [], findings + impression
    head = _head(case, voice, previous, "both" if both_views else case.view)
    body = {"findings": _join(findings), "impression": _join(impression)}
    text = _lay_out({**head, **body}, voice)
    return Report(**head, **body, text=text, stated=_stated(findings + impression))


def _remarks(case: Case, voice: Voice, previous: Case | None) -> list[Remark]:
    """What is mentioned and how surely, most important first."""
    remarks = []
    for finding in sorted(case.findings, key=lambda finding: IMPORTANCE.index(finding.form)):
        if finding.form in OVERLOOKED and voice.happens(P_OVERLOOKED):
            continue
        hedged = finding.grade == 1 and finding.form in words.HEDGED and finding.side != "bilateral"
        hedged = (hedged or finding.form == "edema" and finding.grade == 1) and voice.happens(P_HEDGED)
        since = "" if hedged or previous is None else _since(finding, previous, voice)
        remarks.append(Remark(finding, _fields(finding, voice), hedged, since))
    return remarks


def _since(finding: Finding, previous: Case, voice: Voice) -> str:
    if finding.label == DEVICES or not voice.happens(P_COMPARES):
        return ""
    before = next((old for old in previous.findings if _same_place(old, finding)), None)
    if before is None:
        return voice.pick(words.SINCE["new"])
    change = (finding.grade - before.grade) or (finding.size_mm - before.size_mm)
    return voice.pick(words.SINCE["more" if change > 0 else "less" if change < 0 else "same"])


def _same_place(one: Finding, other: Finding) -> bool:
    return (one.form, one.side, one.lobe) == (other.form, other.side, other.lobe)


def _fields(finding: Finding, voice: Voice) -> dict[str, str]:
    """The words for side, place, severity and diameter."""
    side, lobe, grade = finding.side, finding.lobe, finding.grade
    zone = {"upper": "upper lung zone", "middle": "mid lung zone", "lower": "lung base"}.get(lobe, "lung")
    severity = ("", *GRADES)[grade]
    return {
        "side": side,
        "lobe": f"{side} {lobe} lobe",
        "zone": f"{side} {zone}",
        "region": lobe,
        "a_rib": f"a {side} {lobe} rib",
        "grade": severity,
        "gradely": f"{severity}ly" if severity else "",
        "size": ("", "small", "moderate", "large")[grade],
        "word": words.WORDS.get(finding.form, ("",) * 4)[grade],
        "long": _diameter(finding, voice) if finding.size_mm else "",
    }


def _diameter(finding: Finding, voice: Voice) -> str:
    """Readers round: nodules to 5 mm, masses to half a centimetre, unless they measure with care."""
    size = finding.size_mm
    if finding.form == "nodule":
        return voice.pick((f"{5 * round(size / 5)} mm", f"{size} mm", f"{size / 10:.1f} cm"))
    return voice.pick((f"{round(size / 5) / 2:.1f} cm", f"{size / 10:.1f} cm", f"{size} mm"))


def _fill(text: str, fields: dict[str, str]) -> str:
    """Fields in, article agreeing with the number or word after it, first letter large."""
    filled = re.sub(r"\b([Aa]) (?=[aeio]|8|11 |18 )", r"\1n ", " ".join(text.format(**fields).split()))
    return filled[:1].upper() + filled[1:]


def _findings(case: Case, remarks: list[Remark], voice: Voice) -> list[Phrase]:
    """Sentences of the findings section."""
    groups = {
        group: [_sentence(remark, voice) for remark in remarks if remark.finding.form in forms]
        for group, forms in GROUPS.items()
    }
    drawn = {finding.form for finding in case.findings}
    _add_negatives(groups, drawn, voice)
    order = voice.vary(ORDERS)
    return [phrase for group in order for phrase in groups[group] if phrase.text]


def _sentence(remark: Remark, voice: Voice) -> Phrase:
    statement = remark.statement(voice.pick(remark.phrases(words.FINDINGS, words.HEDGED)))
    return Phrase(statement.text.removesuffix(".") + remark.since + ".", statement.states)


def _add_negatives(groups: dict[str, list[Phrase]], drawn: set[str], voice: Voice) -> None:
    """What is normal. Nothing that was drawn is ever denied."""
    clear = not drawn.intersection(GROUPS["lungs"])
    dry = not drawn & {"effusion", "pneumothorax"}
    if clear and dry and voice.weigh((False, True), (0.8, 0.2)):
        groups["lungs"].append(voice.vary(words.CLEAR_AND_DRY))
    else:
        groups["lungs"].append(voice.vary(_lung_negatives(drawn, clear)))
        groups["pleura"].append(voice.vary(_pleura_negatives(drawn)))
    if "edema" not in drawn and "Edema" not in _stated(groups["lungs"]):
        groups["lungs"].append(voice.vary(words.NO_EDEMA))
    groups["heart"].append(voice.vary(_heart_negatives(drawn)))
    if "rib fracture" not in drawn:
        groups["bones"].append(voice.vary(words.BONES_NORMAL))


def _lung_negatives(drawn: set[str], clear: bool) -> tuple[Phrase, ...]:
    if clear:
        return words.LUNGS_CLEAR
    return words.LUNGS_OTHERWISE if drawn.intersection(DENSE) else words.NO_CONSOLIDATION


def _pleura_negatives(drawn: set[str]) -> tuple[Phrase, ...]:
    if {"effusion", "pneumothorax"} <= drawn:
        return (Phrase(""),)
    if "effusion" in drawn:
        return words.NO_PNEUMOTHORAX
    return words.NO_EFFUSION if "pneumothorax" in drawn else words.PLEURA_NORMAL


def _heart_negatives(drawn: set[str]) -> tuple[Phrase, ...]:
    if {"cardiomegaly", "wide mediastinum"} <= drawn:
        return (Phrase(""),)
    if "cardiomegaly" in drawn:
        return words.MEDIASTINUM_NORMAL
    return words.SIZE_NORMAL if "wide mediastinum" in drawn else words.HEART_NORMAL


def _impression(case: Case, remarks: list[Remark], voice: Voice) -> list[Phrase]:
    """Sentences of the impression: what matters, or that nothing does."""
    serious = [remark for remark in remarks if remark.finding.label != DEVICES]
    devices = [remark for remark in remarks if remark.finding.label == DEVICES]
    if not serious:
        kept = [remark for remark in devices[:2] if voice.weigh((True, False), (0.65, 0.35))]
        nothing = words.NOTHING_ACUTE if case.findings else words.NORMAL_CHEST
        return _listed([_summary(remark, voice) for remark in kept], voice) + [voice.vary(nothing)]
    major = [remark for remark in serious if remark.finding.form not in MINOR]
    kept = [
        remark for remark in serious
        if not major or remark in major or voice.weigh((True, False), (0.75, 0.25))
    ]  # fmt: skip
    sentences = _listed([_summary(remark, voice) for remark in kept], voice)
    last = [voice.pick(words.NOTHING_ELSE)]
    if any(remark.finding.form == "pneumothorax" for remark in kept):
        last.append(Phrase(voice.weigh(words.ASIDES, (0.7, 0.2, 0.1))))
    return sentences + [phrase for phrase in last if phrase.text]


def _summary(remark: Remark, voice: Voice) -> Phrase:
    return remark.statement(voice.pick(remark.phrases(words.SUMMARIES, words.HEDGED_SUMMARIES)))


def _listed(items: list[Phrase], voice: Voice) -> list[Phrase]:
    """Noun phrases as sentences, as a pair joined by `and`, or numbered."""
    style = voice.weigh(("sentences", "pair", "numbered"), (0.7, 0.15, 0.15)) if len(items) > 1 else "sentences"
    if style == "pair" and "," not in items[0].text:
        first, second = items[:2]
        joined = f"{first.text} and {second.text[:1].lower()}{second.text[1:]}"
        items = [Phrase(joined, first.states + second.states), *items[2:]]
    if style == "numbered":
        return [Phrase(f"{n}. {item.text}.", item.states) for n, item in enumerate(items, 1)]
    return [Phrase(f"{item.text}.", item.states) for item in items]


def _stated(phrases: list[Phrase]) -> Stated:
    """A class once called present is present, and once called uncertain is not absent, whatever else is said."""
    stated: Stated = {}
    for phrase in phrases:
        for name, value in phrase.states:
            rank = (ABSENT, UNCERTAIN, PRESENT)
            stated[name] = max(stated.get(name, value), value, key=rank.index)
    if not any(value != ABSENT for name, value in stated.items() if name != DEVICES):
        stated[NO_FINDING] = PRESENT
    return stated


def _join(phrases: list[Phrase]) -> str:
    return " ".join(phrase.text for phrase in phrases)


def _head(case: Case, voice: Voice, previous: Case | None, view: str) -> dict[str, str]:
    """The sections before the findings. They tell nothing about the image but its view."""
    person = ("woman", "F") if case.sex == "F" else ("man", "M")
    opening = voice.pick((f"___ year old {person[0]} with", f"___{person[1]} with", f"___-year-old {person[0]} with"))
    complaint = voice.weigh(words.COMPLAINTS, [1.0] * len(words.COMPLAINTS))
    return {
        "examination": voice.pick(words.EXAMINATION[view]),
        "indication": f"{opening} {complaint}. {voice.pick(words.QUESTIONS)}",
        "technique": voice.weigh((voice.pick(words.TECHNIQUE[view]), ""), (0.65, 0.35)),
        "comparison": voice.pick(words.FIRST_COMPARISON if previous is None else words.LATER_COMPARISON),
    }


def _lay_out(sections: dict[str, str], voice: Voice) -> str:
    """The file: one leading blank a line, sections apart by a line of one blank, which is what the parser expects."""
    indication = voice.pick(("INDICATION", "HISTORY", "REASON FOR EXAM"))
    apart = voice.weigh((True, False), (0.6, 0.4))
    blocks = []
    for name, text in sections.items():
        if not text:
            continue
        header = indication if name == "indication" else name.upper()
        own_line = apart and name in ("findings", "impression")
        blocks.append(f" {header}: \n \n{_wrap(text)}" if own_line else _wrap(f"{header}:  {text}"))
    return " " * 33 + "FINAL REPORT\n" + "\n \n".join(blocks) + "\n"


def _wrap(text: str) -> str:
    lines = textwrap.wrap(text, 78, break_on_hyphens=False, break_long_words=False)
    return "\n".join(f" {line}" for line in lines)
