"""Any image-text-to-text checkpoint of the Hugging Face hub, as it is or fine-tuned with LoRA."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from benchmark.errors import UserError

from ._hub_inputs import CAPTIONING, Inputs, prompt_inputs
from ._hub_model import HUB_OPTIONS, Card, HubModel
from ._hub_network import Parts

PROMPT = (
    "You are a radiologist. Write the report of this chest X-ray as plain text in the form "
    '"Findings: ... Impression: ...".'
)


class Model(HubModel):
    """Images and a prompt to a report, through the checkpoint's processor and chat template."""

    NAME = "hub-vlm"
    PRESETS: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "zero-shot": {**HUB_OPTIONS, "prompt": PROMPT},
        "lora": {
            **HUB_OPTIONS,
            "prompt": PROMPT,
            "tuning": "lora",
            "gradient_checkpointing": True,
            "batch_size": 1,
            "accumulation": 16,
        },
        "full": {
            **HUB_OPTIONS,
            "prompt": PROMPT,
            "tuning": "full",
            "gradient_checkpointing": True,
            "learning_rate": 1e-5,
            "batch_size": 1,
            "accumulation": 16,
        },
    }

    @classmethod
    def make_inputs(cls, parts: Parts, card: Card) -> Inputs:
        if parts.config.model_type in CAPTIONING:
            raise UserError(
                f"{card.hub_id} is a '{parts.config.model_type}', which is asked nothing: take hub-seq2seq."
            )
        return prompt_inputs(parts, card.hub_id, card.system, card.prompt)
