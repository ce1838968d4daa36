"""Groups of studies that results are shown for: normal and abnormal, findings, views, sex, age, length, copies."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmark import labeler
from benchmark.labeler.label import label
from benchmark.schema import Reference, Study

AGES = (18, 40, 60, 80)
"""Lower bounds, in years, of the age bands after the first."""
WORDS = (21, 41, 81)
"""Lower bounds of the bands of report length after the first."""
UNSTATED = "not stated"
"""In place of the value of an attribute that a study lacks."""
MAX_VALUES = 20
"""An attribute with more different values than this is no grouping but an identifier."""
FEW = 50
"""Studies; below, a slice's values are shown with a warning."""


@dataclass(frozen=True)
class Slice:
    """Studies that have something in common."""

    name: str
    """`finding:Edema`, `sex:F`, `length:1-20 words`, …"""
    attribute: str
    """What it is a value of: `labels`, `finding`, `length`, `copies`, or an attribute of the data set."""
    studies: frozenset[str]
    """Their ids."""


def slices(
    studies: Sequence[Study], references: Sequence[Reference], copied: Sequence[bool] | None = None
) -> list[Slice]:
    """The slices of a set of studies, by name.

    Findings are those of the first labeller that the data set has, else of the rule labeler. `copied` tells which
    references stand in the texts that the model was trained on. A slice of all studies or of none says nothing and is
    left out.
    """
    found: dict[tuple[str, str], set[str]] = defaultdict(set)
    values: dict[str, set[str]] = defaultdict(set)
    for study in studies:
        for key, value in study.attributes.items():
            values[key].add(_value(key, value))
    by_rules = labelled_by(references) == RULES
    for i, (study, reference) in enumerate(zip(studies, references, strict=True)):
        name = study.study_id
        text = f"{reference.findings} {reference.impression}"
        labels: Mapping[str, float] = label(text) if by_rules else next(iter(reference.label_sets.values()), {})
        normal = "normal" if labels.get("No Finding") == 1 else "abnormal"
        found["labels", normal if labels else "unlabelled"].add(name)
        for finding, stated in labels.items():
            if stated == 1 and finding != "No Finding":
                found["finding", f"finding:{finding}"].add(name)
        for key, different in values.items():
            if len(different) <= MAX_VALUES:
                found[key, f"{key}:{_value(key, study.attributes.get(key, '')) or UNSTATED}"].add(name)
        found["length", f"length:{_band(str(len(text.split())), WORDS, 'words')}"].add(name)
        if copied is not None:
            found["copies", "copied from training" if copied[i] else "not copied from training"].add(name)
    return [
        Slice(name, attribute, frozenset(members))
        for (attribute, name), members in sorted(found.items(), key=lambda each: each[0][1])
        if len(members) < len(studies)
    ]


RULES = f"rules-{labeler.VERSION}"


def labelled_by(references: Sequence[Reference]) -> str:
    """Who says which findings a study has: the data set's first labeller, or the rule labeler where it has none."""
    return next((name for reference in references for name in reference.label_sets), RULES)


def _value(key: str, value: str) -> str:
    return _band(value, AGES, "years") if key == "age" else value


def _band(value: str, bounds: Sequence[int], unit: str) -> str:
    """`47` years → `40-59 years`; what is no number stays as it is."""
    try:
        number = float(value)
    except ValueError:
        return value
    low = max((bound for bound in bounds if bound <= number), default=0)
    high = min((bound for bound in bounds if bound > number), default=None)
    return f"{low}+ {unit}" if high is None else f"{low}-{high - 1} {unit}"
