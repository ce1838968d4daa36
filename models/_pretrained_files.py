"""Which files of the hub's repositories the models begin with."""

from __future__ import annotations

from collections.abc import Mapping

_OF_TIMM = ("config.json", "model.safetensors")
_OF_GPT2 = ("*.json", "merges.txt", "model.safetensors")


def files(weights: Mapping[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    """A model's PRETRAINED from its WEIGHTS: what is not timm's is a GPT-2."""
    every = [hub_id for hub_ids in weights.values() for hub_id in hub_ids]
    return {hub_id: _OF_TIMM if hub_id.startswith("timm/") else _OF_GPT2 for hub_id in every}
