"""Groups of studies that results are shown for: normal and abnormal, findings, views, sex, age, length, copies."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from benchmark.schema import Reference, Study

AGES = (18, 40, 60, 80)
"""Lower bounds, in years, of the age bands after the first."""
WORDS = (21, 41, 81)
"""Lower bounds of the bands of report length after the first."""
MAX_VALUES = 20
"""An attribute with more different values than this is no grouping but an identifier."""
FEW = 50
"""Studies; below, a slice's values are shown with a warning."""


def slices(
    studies: Sequence[Study], references: Sequence[Reference], copied: Sequence[bool] | None = None
) -> dict[str, list[int]]:
    """Positions of the studies of each slice, by its name (`finding:Edema`, `sex:F`, `length:1-20 words`, …).

    Findings are those of the first labeller that the data set has. `copied` tells which references stand in the texts
    that the model was trained on. A slice of all studies or of none says nothing and is left out.
    """
    found: dict[str, list[int]] = defaultdict(list)
    values: dict[str, set[str]] = defaultdict(set)
    for study in studies:
        for key, value in study.attributes.items():
            values[key].add(_band(value, AGES, "years") if key == "age" else value)
    for i, (study, reference) in enumerate(zip(studies, references, strict=True)):
        labels = next(iter(reference.label_sets.values()), {})
        if labels:
            found["normal" if labels.get("No Finding") == 1.0 else "abnormal"].append(i)
        for name, label in labels.items():
            if label == 1.0 and name != "No Finding":
                found[f"finding:{name}"].append(i)
        for key, value in study.attributes.items():
            if value and len(values[key]) <= MAX_VALUES:
                found[f"{key}:{_band(value, AGES, 'years') if key == 'age' else value}"].append(i)
        n_words = len(f"{reference.findings} {reference.impression}".split())
        found[f"length:{_band(str(n_words), WORDS, 'words')}"].append(i)
        if copied is not None:
            found["copied from training" if copied[i] else "not copied from training"].append(i)
    return {name: members for name, members in sorted(found.items()) if len(members) < len(studies)}


def _band(value: str, bounds: Sequence[int], unit: str) -> str:
    """`47` years → `40-59 years`; what is no number stays as it is."""
    try:
        number = float(value)
    except ValueError:
        return value
    low = max((bound for bound in bounds if bound <= number), default=0)
    high = min((bound for bound in bounds if bound > number), default=None)
    return f"{low}+ {unit}" if high is None else f"{low}-{high - 1} {unit}"
