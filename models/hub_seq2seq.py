"""Any captioning checkpoint of the Hugging Face hub: VisionEncoderDecoder, BLIP, GIT, Pix2Struct."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from benchmark.errors import UserError

from ._hub_inputs import CAPTIONING, CaptionInputs, Inputs, decoder_start
from ._hub_model import HUB_OPTIONS, Card, HubModel
from ._hub_network import Parts


class Model(HubModel):
    """Image to text with nothing asked: `prompt` is what every text begins with (Donut's task token, say)."""

    NAME = "hub-seq2seq"
    PRESETS: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "zero-shot": HUB_OPTIONS,
        "full": {
            **HUB_OPTIONS,
            "tuning": "full",
            "learning_rate": 5e-5,
            "warmup": 0.1,
            "batch_size": 8,
            "epochs": 4,
        },
        "lora": {**HUB_OPTIONS, "tuning": "lora", "batch_size": 8, "epochs": 4},
    }

    @classmethod
    def make_inputs(cls, parts: Parts, card: Card) -> Inputs:
        if parts.config.model_type not in CAPTIONING:
            raise UserError(
                f"{card.hub_id} is a '{parts.config.model_type}', which is asked with a prompt: take hub-vlm for it."
            )
        if card.indication or card.views != 1 or card.system:
            raise UserError("hub-seq2seq reads one image and no text: indication, system and more views need hub-vlm.")
        begin = [decoder_start(parts.config), *parts.tokenizer.encode(card.prompt, add_special_tokens=False)]
        decodes = getattr(parts.config, "is_encoder_decoder", False)
        return CaptionInputs(parts.image_processor, begin, "decoder_input_ids" if decodes else "input_ids")
