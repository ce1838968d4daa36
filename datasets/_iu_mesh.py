"""IU X-Ray's MeSH codes as CheXpert classes, positives alone.

The National Library of Medicine coded the reports (Demner-Fushman et al. 2016). A class that no code names is not
negative: it was not coded. The rules take what a code says itself and leave its like (scar, congestion, clips) out; the
numbers of studies that they give stand in the tests.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

DEVICES = frozenset({"Catheters, Indwelling", "Implanted Medical Device", "Medical Device", "Tube, Inserted"})
NOT_CODED = "No Indexing"
_ENLARGED = frozenset({"enlarged", "prominent"})


@dataclass(frozen=True)
class _Rule:
    """A code counts where its head is one of `heads`, and its qualifiers hold one of `one_of` (if any) and no `but`."""

    heads: frozenset[str]
    one_of: frozenset[str] = frozenset()
    but: frozenset[str] = frozenset()

    def holds(self, head: str, qualifiers: frozenset[str]) -> bool:
        return head in self.heads and (not self.one_of or bool(self.one_of & qualifiers)) and not self.but & qualifiers


def _rule(*heads: str, one_of: frozenset[str] = frozenset(), but: frozenset[str] = frozenset()) -> _Rule:
    return _Rule(frozenset(heads), one_of, but)


_RULES: dict[str, tuple[_Rule, ...]] = {
    "Atelectasis": (_rule("Pulmonary Atelectasis"),),
    "Cardiomegaly": (_rule("Cardiomegaly"), _rule("Cardiac Shadow", "Heart", one_of=_ENLARGED)),
    "Consolidation": (_rule("Consolidation"),),
    "Edema": (_rule("Pulmonary Edema"),),
    "Enlarged Cardiomediastinum": (_rule("Mediastinum", one_of=_ENLARGED, but=frozenset({"lymph nodes"})),),
    "Fracture": (_rule("Fractures, Bone"),),
    "Lung Lesion": (_rule("Nodule", "Mass", but=frozenset({"breast", "thorax"})), _rule("Cavitation")),
    "Lung Opacity": (_rule("Opacity", one_of=frozenset({"lung"})), _rule("Airspace Disease", "Infiltrate")),
    "Pleural Effusion": (_rule("Pleural Effusion", "Hydropneumothorax", "Hemothorax", "Hemopneumothorax"),),
    "Pleural Other": (_rule("Thickening", "Cicatrix", one_of=frozenset({"pleura"})),),
    "Pneumonia": (_rule("Pneumonia"),),
    "Pneumothorax": (_rule("Pneumothorax", "Hydropneumothorax", "Hemopneumothorax"),),
    "Support Devices": (_Rule(DEVICES),),
}


def labels(codes: Sequence[str]) -> dict[str, dict[str, float]]:
    """A label set `mesh` of a study's codes (`head/qualifier/…`): 1.0 for each class named; no set where it has none.

    `No Finding` where the only codes are `normal` and devices.
    """
    parsed = [tuple(part.strip() for part in code.split("/")) for code in codes if code.strip()]
    heads = {code[0] for code in parsed}
    if not heads or NOT_CODED in heads:
        return {}
    found = {
        name
        for name, rules in _RULES.items()
        if any(rule.holds(head, frozenset(qualifiers)) for rule in rules for head, *qualifiers in parsed)
    }
    if heads <= DEVICES | {"normal"}:
        found.add("No Finding")
    return {"mesh": dict.fromkeys(sorted(found), 1.0)}
