"""What there is to know of a model before it is used."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from typing import Any

from benchmark import contracts, hub
from benchmark.registry import MODELS


def outline(name: str) -> dict[str, Any]:
    """A model in a few words, as JSON types, read without importing it: one row of `bench models`."""
    return _outline(name, {**vars(contracts.Model), **MODELS.variables(name)})


def card(name: str) -> dict[str, Any]:
    """All of a model's card, as JSON types. Raises UserError for an unknown name."""
    plugin: type[contracts.Model] = MODELS.load(name)
    facts = {key: getattr(plugin, key) for key in dir(plugin) if key.isupper()}
    return {
        **_outline(name, facts),
        "trains": plugin.CAN_TRAIN,
        "needs_images": plugin.NEEDS_IMAGES,
        "note": plugin.NOTE,
        "released_weights": plugin.RELEASED,
        "takes_prompt": plugin.TAKES_PROMPT,
        "decodings": {key: dict(values) for key, values in plugin.DECODINGS.items()},
        "weights": {preset: list(ids) for preset, ids in plugin.WEIGHTS.items()},
        "parameters_by_preset": dict(plugin.PARAMETERS),
        # A preset's own settings first.
        "presets": {preset: {**values, **plugin.DEFAULTS, **values} for preset, values in plugin.PRESETS.items()},
    }


def _outline(name: str, facts: Mapping[str, Any]) -> dict[str, Any]:
    presets = list(facts["PRESETS"])
    first = presets[0] if presets else ""
    return {
        "name": name,
        "summary": MODELS.summary(name),
        "paper": facts["PAPER"],
        "parameters": facts["PARAMETERS"].get(first),
        "licence": facts["LICENCE"],
        "presets": presets,
        "needs": _needs(facts, first),
        "trains_here": _trains_here(facts, presets),
    }


def _needs(facts: Mapping[str, Any], preset: str) -> list[str]:
    return [
        *(["images"] if facts["NEEDS_IMAGES"] else []),
        *(facts["NEEDS"] if facts["CAN_TRAIN"] else []),
        *(f"hub: {hub_id}" for hub_id in facts["WEIGHTS"].get(preset, ())),
        *(f"package {package}" for package in facts["PACKAGES"]),
    ]


def _trains_here(facts: Mapping[str, Any], presets: list[str]) -> str:
    """In words, whether it can be trained on this machine as it is."""
    if not facts["CAN_TRAIN"]:
        return "no"
    if missing := [package for package in facts["PACKAGES"] if importlib.util.find_spec(package) is None]:
        return f"not without {', '.join(missing)}"
    ready = [preset for preset in presets if all(map(at_hand, facts["WEIGHTS"].get(preset, ())))]
    if ready == presets:
        return "yes"
    return f"{', '.join(ready) or 'none'} now; the other presets fetch weights from the hub"


def at_hand(hub_id: str) -> bool:
    """Whether the hub's cache on this machine holds something of that id."""
    return any((hub.cache() / f"models--{hub_id.replace('/', '--')}" / "snapshots").glob("*/*"))
