"""What the networks that write a report from timm's features share: configuration, views, losses, generation."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import DynamicCache, GenerationMixin, PreTrainedModel
from transformers.modeling_outputs import ModelOutput

from ._picture_config import PictureConfig
from ._vision_gpt2 import (
    RARE,
    count_targets,
    create_backbone,
    feature_map,
    position_code,
    token_losses,
    word_losses,
)


class CaptionerConfig(PictureConfig):
    """How images are made (see `PictureConfig`) and what all decoders have.

    `frozen`: whether the encoder stays as it is. `vocab_size`: of the tokenizer. `max_tokens`: longest text in training
    and generation. `width`: of the decoder. `dropout`: in the decoder; `feature_dropout`: of what is read of the image.
    """

    def __init__(
        self,
        frozen: bool = False,
        vocab_size: int = 1,
        max_tokens: int = 100,
        width: int = 512,
        dropout: float = 0.0,
        feature_dropout: float = 0.0,
        **kwargs: Any,
    ):
        self.frozen = frozen
        self.vocab_size = vocab_size
        self.max_tokens = max_tokens
        self.width = width
        self.dropout = dropout
        self.feature_dropout = feature_dropout
        kwargs.setdefault("tie_word_embeddings", False)
        super().__init__(**kwargs)


class DecoderCache(DynamicCache):
    """What a decoder carries from word to word.

    Keys and values of self-attention (transformers' own), `state` (tensors with one row a text, which follow their
    beam), and what was once computed and stays (`kept`): all beams of a study read the same.
    """

    is_compileable = False

    def __init__(self) -> None:
        super().__init__()
        self.length = 0
        self.state: dict[str, Tensor] = {}
        self._kept: dict[str, Any] = {}

    def kept(self, name: str, compute: Callable[[], Any]) -> Any:
        if name not in self._kept:
            self._kept[name] = compute()
        return self._kept[name]

    def get_seq_length(self, layer_idx: int = 0) -> int:
        return self.length

    def reorder_cache(self, beam_idx: Tensor) -> None:
        super().reorder_cache(beam_idx)  # type: ignore[arg-type]
        self.state = {name: rows.index_select(0, beam_idx) for name, rows in self.state.items()}


@dataclass
class CaptionerOutput(ModelOutput):
    """`loss` is what training minimises; `text_loss` the part of it that the reports' tokens make."""

    loss: Tensor | None = None
    text_loss: Tensor | None = None
    logits: Tensor | None = None
    past_key_values: DecoderCache | None = None


@dataclass
class Decoded:
    """`logits` (B, T, vocabulary), and the weights of the positions (B, T, positions) where the network keeps them."""

    logits: Tensor
    attention: Tensor | None = None


class Captioner(PreTrainedModel, GenerationMixin):
    """Image to text. The encoder runs once for each call of `generate`.

    A network gives `encode`, what it reads of a study, and `decode`, what it writes.
    """

    config_class: Any = CaptionerConfig
    config: Any
    main_input_name = "input_ids"
    _supports_sdpa = True
    _input_embed_layer = "embed"  # accelerate asks for it, to divide it by itself

    def __init__(self, config: Any):
        super().__init__(config)
        self.backbone: Any = create_backbone(config.encoder, config.image_size, pretrained=False, **config.encoder_args)
        if config.frozen:
            self.backbone.requires_grad_(False)

    def add_word_loss(self, width: int) -> None:
        """The layer that foretells words from each position of `width`, where the configuration asks for it."""
        if self.config.word_loss:
            self.foretell = nn.Linear(width, self.config.vocab_size)
            nn.init.constant_(self.foretell.bias, RARE)

    def _init_weights(self, module: nn.Module) -> None:
        """All modules initialise themselves. Left are timm's buffers that no checkpoint holds."""
        restore: Any = getattr(module, "init_non_persistent_buffers", None)
        if restore is not None:
            restore()

    def train(self, mode: bool = True) -> Captioner:
        super().train(mode)
        if self.config.frozen:
            self.backbone.eval()
        return self

    @property
    def channels(self) -> int:
        """Of the feature map."""
        return self.backbone.num_features

    def features(self, pixel_values: Tensor) -> Tensor:
        """(N, 3, S, S) → (N, positions, channels), with the position code where it is asked for."""
        features = feature_map(self.backbone, pixel_values)
        if self.config.position_code:
            features = features + position_code(*features.shape[1:]).to(features)
        return features.flatten(2).transpose(1, 2)

    @abstractmethod
    def encode(self, pixel_values: Tensor, views: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """What the decoder reads of each study (B, positions, width), and which positions are there (B, positions),
        None where all are. See `forward` for the arguments.
        """

    @abstractmethod
    def decode(self, states: Tensor, there: Tensor | None, input_ids: Tensor, cache: DecoderCache | None) -> Decoded:
        """Logits behind each of the words, which continue those that `cache` has seen."""

    def penalty(self, decoded: Decoded, labels: Tensor, there: Tensor | None) -> Tensor | None:
        """What each text adds to the loss besides its tokens (B,), in networks that have such a thing."""
        return None

    def forward(
        self,
        pixel_values: Tensor | None = None,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        labels: Tensor | None = None,
        views: Tensor | None = None,
        encoder_hidden_states: Tensor | None = None,
        encoder_attention_mask: Tensor | None = None,
        past_key_values: DecoderCache | None = None,
        num_items_in_batch: Tensor | int | None = None,
        **_: Any,
    ) -> CaptionerOutput:
        """Logits of shape (B, T, vocabulary), and the loss where there are labels.

        `pixel_values` (N, 3, S, S), study by study, and `views` (B,), how many images each study has (one where it is
        not given), or what `encode` makes of them: `encoder_hidden_states` and `encoder_attention_mask`; `input_ids`
        and `labels` (B, T), unshifted; labels of -100 are no targets. `attention_mask` is what `generate` passes:
        padding goes to the right, where no word looks, so it says nothing new. The loss is label-smoothed cross-entropy
        summed over the targets, plus each text's penalty and weighted `word_losses` where the network has any, divided
        by `num_items_in_batch` or by the number of targets.
        """
        assert input_ids is not None
        if encoder_hidden_states is None:
            assert pixel_values is not None
            encoder_hidden_states, encoder_attention_mask = self.encode(pixel_values, views)
        decoded = self.decode(encoder_hidden_states, encoder_attention_mask, input_ids, past_key_values)
        if past_key_values is not None:
            past_key_values.length += input_ids.shape[1]
        output = CaptionerOutput(logits=decoded.logits, past_key_values=past_key_values)
        if labels is None:
            return output
        divisor = count_targets(labels) if num_items_in_batch is None else num_items_in_batch
        output.text_loss = token_losses(decoded.logits, labels, self.config.label_smoothing).sum() / divisor
        output.loss = output.text_loss
        if self.config.word_loss:
            losses = word_losses(self.foretell(encoder_hidden_states), labels, encoder_attention_mask)
            output.loss = output.loss + self.config.word_loss * losses.sum() / divisor
        penalty = self.penalty(decoded, labels, encoder_attention_mask)
        if penalty is not None:
            output.loss = output.loss + penalty.sum() / divisor
        return output

    def prepare_inputs_for_generation(  # type: ignore[override]
        self, input_ids: Tensor, past_key_values: DecoderCache | None = None, **kwargs: Any
    ) -> dict[str, Any]:
        seen = past_key_values.length if past_key_values is not None else 0
        return {"input_ids": input_ids[:, seen:], "past_key_values": past_key_values, **kwargs}

    @torch.no_grad()
    def generate(  # type: ignore[override]
        self, inputs: Tensor | None = None, *, pixel_values: Tensor | None = None, views: Tensor | None = None,
        **kwargs: Any,
    ) -> Any:  # fmt: skip
        """As transformers' `generate`, from images; begins with the bos token where no `inputs` are given."""
        if pixel_values is not None:
            kwargs["encoder_hidden_states"], kwargs["encoder_attention_mask"] = self.encode(pixel_values, views)
        config = kwargs.get("generation_config") or self.generation_config
        if inputs is None:
            states = kwargs["encoder_hidden_states"]
            inputs = torch.full((len(states), 1), config.bos_token_id, device=states.device)
        # Said outright, since bos is the padding too and would be taken for it.
        kwargs.setdefault("attention_mask", torch.ones_like(inputs))
        if config.use_cache is not False:
            kwargs.setdefault("past_key_values", DecoderCache())
        return super().generate(inputs, **kwargs)  # type: ignore[misc]
