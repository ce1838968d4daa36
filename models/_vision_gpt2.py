"""Vision-GPT2's network: a timm encoder whose feature map GPT-2 reads by cross-attention.

Names of modules are those of the original's checkpoints: `gpt2.…` (transformers' GPT2LMHeadModel),
`enc.backbone.…` (timm) and `enc.proj.…` (1×1 convolution).
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import timm
import torch
import torch.nn.functional as F
from huggingface_hub import snapshot_download, try_to_load_from_cache
from safetensors import SafetensorError
from torch import Tensor, nn
from transformers import GenerationMixin, GPT2Config, GPT2LMHeadModel, PreTrainedModel
from transformers.modeling_outputs import CausalLMOutputWithCrossAttentions
from transformers.utils import logging

from benchmark.errors import UserError

from ._adapters import add_adapters
from ._end_to_end import hidden_states, laid
from ._picture_config import PictureConfig

IGNORED = -100
"""Label of a token that is no target."""
LEARNING = ("crossattention", "ln_cross_attn", "lora_")
"""Parts of names in a decoder of which the rest is frozen."""
RARE = -5.0
"""Log-odds of a word at a position before anything is learned."""


class VisionGPT2Config(PictureConfig):
    """How images are made (see `PictureConfig`; the original has neither a position code nor a word loss) and the
    decoder's shape: `text_config`, a GPT2Config or its values.

    What stands before the report in the decoder's input: the bos token where `begins_with_bos`, at most
    `indication_tokens` tokens of the study's indication (0: it is not read), and `prompt`, which is part of the report,
    where generation is given none. `freeze_encoder`, `freeze_decoder`: whether training leaves the backbone, and of
    GPT-2 all but cross-attention, as they are. `lora_rank`: rank of the decoder's adapters (see `_adapters`), 0 for
    none.
    """

    model_type = "vision-gpt2"
    sub_configs = {"text_config": GPT2Config}

    def __init__(
        self,
        encoder: str = "resnet10t",
        text_config: GPT2Config | dict[str, Any] | None = None,
        begins_with_bos: bool = True,
        indication_tokens: int = 0,
        prompt: str = "",
        freeze_encoder: bool = False,
        freeze_decoder: bool = False,
        lora_rank: int = 0,
        **kwargs: Any,
    ):
        self.begins_with_bos = begins_with_bos
        self.indication_tokens = indication_tokens
        self.prompt = prompt
        self.freeze_encoder = freeze_encoder
        self.freeze_decoder = freeze_decoder
        self.lora_rank = lora_rank
        values = text_config.to_dict() if isinstance(text_config, GPT2Config) else dict(text_config or {})
        self.text_config = GPT2Config(**{**values, "add_cross_attention": True})
        kwargs.setdefault("tie_word_embeddings", self.text_config.tie_word_embeddings)
        super().__init__(encoder, **kwargs)


class Encoder(nn.Module):
    """timm's features, projected to the decoder's width: (B, 3, S, S) → (B, positions, width)."""

    def __init__(self, config: VisionGPT2Config):
        super().__init__()
        self.backbone: Any = create_backbone(config.encoder, config.image_size, pretrained=False, **config.encoder_args)
        self.proj = nn.Conv2d(self.backbone.num_features, config.text_config.n_embd, kernel_size=1)
        self.position_code = config.position_code

    def forward(self, pixel_values: Tensor) -> Tensor:
        projected = self.proj(feature_map(self.backbone, pixel_values))
        if self.position_code:
            projected = projected + position_code(*projected.shape[1:]).to(projected)
        # GPT-2's Conv1D takes a view of its input, which must be contiguous for that.
        return projected.flatten(2).transpose(1, 2).contiguous()


def feature_map(backbone: Any, pixel_values: Tensor) -> Tensor:
    """The last features of a timm model: (B, 3, S, S) → (B, channels, rows, columns)."""
    features = backbone.forward_features(pixel_values)
    if features.ndim == 3:  # tokens (B, N, C) of a plain vision transformer: a map of N × 1
        return features.transpose(1, 2).unsqueeze(-1)
    if getattr(backbone, "output_fmt", "NCHW") == "NHWC":  # Swin and its kin
        return features.permute(0, 3, 1, 2)
    return features


def by_study(states: Tensor, views: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """Images' positions (N, positions, width) as those of studies, one image's after the other's (B, positions, width),
    and which of them are there (B, positions), None where all are. `views` (B,): how many images each study has.
    """
    if views is None or len(views) == len(states):
        return states, None
    there = torch.arange(int(views.max()), device=views.device) < views.unsqueeze(1)
    padded = states.new_zeros(*there.shape, *states.shape[1:])
    padded[there] = states
    return padded.flatten(1, 2), there.repeat_interleave(states.shape[1], dim=1)


@functools.cache
def position_code(width: int, rows: int, columns: int) -> Tensor:
    """Sines and cosines of row and column, shape (width, rows, columns), `width` a multiple of 4.

    Without it cross-attention tells left from right only by what zero padding leaves in the features. As in the vision
    transformers of Chen et al. 2021 (MoCo v3): half of the channels for either axis. Raises UserError for other widths.
    """
    if width % 4:
        raise UserError(f"A position code takes a multiple of 4 channels, not {width}: set position_code=false.")
    frequencies = 10_000.0 ** -(torch.arange(width // 4) / (width // 4))
    angles = [torch.arange(n)[:, None] * frequencies for n in (rows, columns)]
    down, across = (torch.cat([angle.sin(), angle.cos()], dim=1) for angle in angles)
    halves = (down[:, None].expand(-1, columns, -1), across[None].expand(rows, -1, -1))
    return torch.cat(halves, dim=2).permute(2, 0, 1)


@dataclass
class VisionGPT2Output(CausalLMOutputWithCrossAttentions):
    """`loss` is what training minimises; `text_loss` the part of it that the reports' tokens make."""

    text_loss: Tensor | None = None


class VisionGPT2(PreTrainedModel, GenerationMixin):
    """Image to text. The encoder runs once for each call of `generate`; keys and values are cached."""

    config_class = VisionGPT2Config
    config: VisionGPT2Config
    main_input_name = "input_ids"
    supports_gradient_checkpointing = True
    _supports_sdpa = True

    def __init__(self, config: VisionGPT2Config):
        super().__init__(config)
        self.enc = Encoder(config)
        self.gpt2 = GPT2LMHeadModel(config.text_config)
        if config.word_loss:
            self.words = nn.Linear(config.text_config.n_embd, config.text_config.vocab_size)
            nn.init.constant_(self.words.bias, RARE)
        self.post_init()
        self.adapt(config.lora_rank)

    def adapt(self, rank: int) -> None:
        """Put adapters into the decoder, for a rank above 0, and leave to the optimiser what is not to be frozen.

        A decoder with adapters is frozen; its cross-attention, which no GPT-2 brings along, always learns.
        """
        self.config.lora_rank = rank
        if rank:
            add_adapters(self.gpt2, rank)
        self.enc.backbone.requires_grad_(not self.config.freeze_encoder)
        if self.config.freeze_decoder or self.config.lora_rank:
            for name, parameter in self.gpt2.named_parameters():
                parameter.requires_grad_(any(part in name for part in LEARNING))

    def train(self, mode: bool = True) -> VisionGPT2:
        super().train(mode)
        if self.config.freeze_encoder:
            self.enc.backbone.eval()  # else batch normalisation would go on learning the images' statistics
        return self

    def _init_weights(self, module: nn.Module) -> None:
        """timm, torch and GPT-2 initialise their own modules. Left are buffers that no checkpoint holds."""
        restore: Any = getattr(module, "init_non_persistent_buffers", None)
        if restore is not None:
            restore()

    def get_input_embeddings(self) -> nn.Module:
        return self.gpt2.get_input_embeddings()

    def get_output_embeddings(self) -> nn.Module:
        return self.gpt2.get_output_embeddings()

    def encode(self, pixel_values: Tensor | None, views: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """What the decoder reads of each study: its images' positions one after the other (B, positions, width), and
        which of them are there (B, positions), None where all are. See `forward` for the arguments.
        """
        return by_study(self.enc(pixel_values), views)

    def forward(
        self,
        pixel_values: Tensor | None = None,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        labels: Tensor | None = None,
        views: Tensor | None = None,
        encoder_hidden_states: Tensor | None = None,
        encoder_attention_mask: Tensor | None = None,
        num_items_in_batch: Tensor | int | None = None,
        use_cache: bool = False,
        **kwargs: Any,
    ) -> CausalLMOutputWithCrossAttentions | VisionGPT2Output:
        """Logits of shape (B, T, vocabulary); where there are labels, the loss instead.

        `pixel_values` (N, 3, S, S), study by study, and `views` (B,), how many images each study has (one where it is
        not given), or what `encode` makes of them: `encoder_hidden_states` and `encoder_attention_mask`; `input_ids`
        and `labels` (B, T), unshifted, read from their beginning; labels of -100 are no targets. The loss is
        label-smoothed cross-entropy summed over the targets, with a `word_loss` the weighted `word_losses` of all
        studies besides, divided by `num_items_in_batch` or by the number of targets.
        """
        if encoder_hidden_states is None:
            encoder_hidden_states, encoder_attention_mask = self.encode(pixel_values, views)
        if labels is None:
            return self.gpt2(
                input_ids=input_ids,
                attention_mask=attention_mask,
                position_ids=position_ids,
                encoder_hidden_states=encoder_hidden_states,
                encoder_attention_mask=encoder_attention_mask,
                use_cache=use_cache,
                **kwargs,
            )
        assert input_ids is not None
        targets = labels[:, 1:].ne(IGNORED)
        hidden = self._before_targets(input_ids[:, :-1], targets, encoder_hidden_states, encoder_attention_mask)
        logits = self.gpt2.lm_head(hidden)
        losses = F.cross_entropy(
            logits.float(), labels[:, 1:][targets], reduction="sum", label_smoothing=self.config.label_smoothing
        )
        divisor = targets.sum() if num_items_in_batch is None else num_items_in_batch
        text_loss = losses / divisor
        loss = text_loss
        if self.config.word_loss:
            foretold = self.words(encoder_hidden_states)
            losses = word_losses(foretold, labels, encoder_attention_mask)
            loss = loss + self.config.word_loss * losses.sum() / divisor
        return VisionGPT2Output(loss=loss, text_loss=text_loss)

    def _before_targets(self, input_ids: Tensor, targets: Tensor, states: Tensor, there: Tensor | None) -> Tensor:
        """The decoder's last states where the next token is a target: (targets, width). A vocabulary's worth of logits
        is made of these alone; a third of most batches is padding.
        """
        if not laid(self.gpt2) or not targets.any():  # no layer reads no text at all, as a filler's would be
            read = self.gpt2.transformer(
                input_ids=input_ids, encoder_hidden_states=states, encoder_attention_mask=there, use_cache=False
            )
            return read.last_hidden_state[targets]
        needed = targets.flip(1).cumsum(1).flip(1) > 0  # A target, or before one.
        return hidden_states(self.gpt2.transformer, input_ids, needed, states, there)[targets[needed]]

    @torch.no_grad()
    def generate(  # type: ignore[override]
        self, inputs: Tensor | None = None, *, pixel_values: Tensor | None = None, views: Tensor | None = None,
        **kwargs: Any,
    ) -> Any:  # fmt: skip
        """As transformers' `generate`, from images; begins with the bos token where no `inputs` are given."""
        if pixel_values is not None:
            kwargs["encoder_hidden_states"], kwargs["encoder_attention_mask"] = self.encode(pixel_values, views)
        if inputs is None and "input_ids" not in kwargs:
            config = kwargs.get("generation_config") or self.generation_config
            states = kwargs["encoder_hidden_states"]
            inputs = torch.full((len(states), 1), config.bos_token_id, device=states.device)
            # Said outright, since bos is the padding too and would be taken for it.
            kwargs.setdefault("attention_mask", torch.ones_like(inputs))
        return super().generate(inputs, **kwargs)  # type: ignore[misc]


def token_losses(logits: Tensor, labels: Tensor, label_smoothing: float) -> Tensor:
    """Cross-entropy of each next token, in float32: (B, T, V), (B, T) → (B, T - 1); 0 where there is no target."""
    return F.cross_entropy(
        logits[:, :-1].float().transpose(1, 2),
        labels[:, 1:],
        ignore_index=IGNORED,
        label_smoothing=label_smoothing,
        reduction="none",
    )


def word_losses(foretold: Tensor, labels: Tensor, there: Tensor | None = None) -> Tensor:
    """How badly an image's positions foretell which tokens its report holds: (B, positions, V), (B, T) → (B,).

    Positions that are not `there` (B, positions) say nothing. Cross-entropy of each token's presence, summed over the
    vocabulary; a token is there if any position says so (noisy-or). Fang et al. 2015 find the words of captions in
    images so; through cross-attention alone a fresh encoder learns far more slowly.
    """
    said = F.softplus(foretold.float())  # minus the logarithm of the probability of absence
    absence = (said if there is None else said * there.unsqueeze(2)).sum(dim=1).clamp(min=1e-6)
    present = torch.zeros_like(absence).scatter_add_(1, labels.clamp(min=0), labels.ne(IGNORED).float()) > 0
    return torch.where(present, -torch.log(-torch.expm1(-absence)), absence).sum(dim=1)


def count_targets(labels: Tensor) -> Tensor:
    return labels[:, 1:].ne(IGNORED).sum()


def pixels(images: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """Grey uint8 images (B, S, S) as the encoder takes them: float (B, 3, S, S), grey repeated, normalised."""
    colours = (images.float() / 255.0).unsqueeze(1).expand(-1, 3, -1, -1)
    return (colours - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1)


def create_backbone(name: str, image_size: int, pretrained: bool, **shape: Any) -> Any:
    """timm's model without its head. Raises UserError for an unknown name, or where its weights are not to be had."""
    if ":" not in name and not timm.is_model(name):
        raise UserError(f"timm has no model '{name}'. timm.list_models() names those it has.")
    about: Any = None if ":" in name else timm.get_pretrained_cfg(name)
    size: dict[str, Any] = {"img_size": image_size} if about and about.fixed_input_size else {}
    try:
        if pretrained and about and about.hf_hub_id:
            ask_hub(about.hf_hub_id)
        return timm.create_model(name, pretrained=pretrained, num_classes=0, global_pool="", **size, **shape)
    except (OSError, RuntimeError, ValueError, TypeError) as error:
        if not pretrained:
            raise UserError(
                f"timm cannot make '{name}' for images of {image_size} pixels: {first_line(error)}"
            ) from error
        hub_id = about.hf_hub_id if about and about.hf_hub_id else name
        raise _not_at_hand(f"encoder {name}", hub_id, "--set encoder_pretrained=false", error) from error


def take_pretrained(backbone: Any, config: PictureConfig) -> None:
    """Give the backbone, all of timm's model or part of it, its pretrained weights, and the configuration the mean and
    deviation that they are used to. Raises UserError where they are not to be had.
    """
    trained = create_backbone(config.encoder, config.image_size, pretrained=True, **config.encoder_args)
    weights = trained.state_dict()
    backbone.load_state_dict({name: weights[name] for name in backbone.state_dict()})
    config.mean, config.std = (list(trained.pretrained_cfg[key]) for key in ("mean", "std"))


def pretrained_gpt2(name: str) -> GPT2LMHeadModel:
    """GPT-2 with fresh cross-attention, from a hub id or a folder. Raises UserError where it is not to be had."""
    try:
        ask_hub(name)
        with quiet():
            loaded: Any = GPT2LMHeadModel.from_pretrained(
                name, add_cross_attention=True, dtype=torch.float32, output_loading_info=True
            )
    except (OSError, RuntimeError, ValueError, SafetensorError) as error:
        raise _not_at_hand(f"decoder {name}", name, "--set decoder=FOLDER", error) from error
    model, info = loaded
    missing = [key for key in info["missing_keys"] if "crossattention" not in key and "ln_cross_attn" not in key]
    if missing:
        raise UserError(f"{name} is no GPT-2: it lacks {some(missing)}.")
    return model


def ask_hub(hub_id: str) -> None:
    """Raises OSError or ValueError at once where the hub is out of reach and nothing of this id, or folder, is here:
    timm and transformers would ask again and again, for most of a minute and aloud.
    """
    files = ("config.json", "model.safetensors", "pytorch_model.bin")  # timm fetches no configuration
    if Path(hub_id).is_dir() or any(isinstance(try_to_load_from_cache(hub_id, file), str) for file in files):
        return
    snapshot_download(hub_id, allow_patterns=["config.json"])


def _not_at_hand(what: str, hub_id: str, instead: str, error: Exception) -> UserError:
    return UserError(
        f"The pretrained {what} is not on this machine and could not be fetched: run `hf download {hub_id}` on a "
        "machine with a network (`bench fetch` lists what the presets read), copy its cache folder here, and set "
        f"HF_HOME to it and HF_HUB_OFFLINE=1; or take another preset, or {instead}. ({first_line(error)})"
    )


def load_strict(folder: Path, network: type[PreTrainedModel] = VisionGPT2) -> Any:
    """The model of a folder that `save_pretrained` wrote, in float32.

    Raises UserError where a weight is missing, unknown or of another shape, or the file is damaged. Reads
    safetensors only, never a pickle.
    """
    try:
        with quiet():
            loaded: Any = network.from_pretrained(
                folder,
                output_loading_info=True,
                use_safetensors=True,
                local_files_only=True,
                dtype=torch.float32,
                ignore_mismatched_sizes=True,  # so that they are listed in `info`
            )
    except (OSError, RuntimeError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise UserError(
            f"The weights in {folder} cannot be read, they are damaged, cut short or not there: {first_line(error)}"
        ) from error
    model, info = loaded
    for kind, what in (("missing", "lack"), ("unexpected", "have unknown"), ("mismatched", "have another shape of")):
        if keys := info[f"{kind}_keys"]:
            names = [key if isinstance(key, str) else key[0] for key in keys]
            raise UserError(f"The weights in {folder} do not fit its config.json: they {what} {some(names)}.")
    return model


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Without transformers' own bars and warnings: what matters of them is said as an error."""
    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


def some(names: Sequence[str]) -> str:
    """The first few of the names, and how many more there are."""
    first = sorted(names)[:3]
    rest = len(names) - len(first)
    return ", ".join(first) + (f" and {rest} more" if rest else "")


def first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
