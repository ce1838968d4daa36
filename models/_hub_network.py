"""A hub checkpoint's network and processor, through transformers' Auto classes; as what `_training.fit` trains."""

from __future__ import annotations

import importlib.util
import inspect
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor, nn
from transformers import (
    AutoConfig,
    AutoImageProcessor,
    AutoModelForImageTextToText,
    AutoProcessor,
    AutoTokenizer,
    BitsAndBytesConfig,
    PreTrainedConfig,
)
from transformers.dynamic_module_utils import get_class_from_dynamic_module
from transformers.models.auto.configuration_auto import CONFIG_MAPPING
from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING

from benchmark.errors import UserError, unknown

from ._adapters import adapter_package
from ._hub import Source
from ._vision_gpt2 import VisionGPT2Output, count_targets, first_line, quiet, some, token_losses

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
FULL_WEIGHTS, ADAPTER_WEIGHTS = "model.safetensors", "adapter_model.safetensors"
REMOTE_CLASSES = ("AutoModelForImageTextToText", "AutoModelForVision2Seq", "AutoModelForCausalLM")
"""Under which names a checkpoint with code of its own may offer its network."""
TRUSTED = "BENCH_TRUST_REMOTE_CODE"
"""The environment variable that names the revisions whose own code may run, with commas between. Nothing in a folder
says it: that may come from somebody else, as the code does."""
_UNREADABLE = (OSError, RuntimeError, ValueError, KeyError, TypeError, AttributeError, ImportError, SafetensorError)
"""What transformers raises on files that are missing, cut short or of another kind."""


@dataclass(frozen=True)
class Parts:
    """What there is of a checkpoint before its weights are read."""

    config: Any
    network: Any
    """The class."""
    processor: Any
    """For images and text together; None where a checkpoint has the two apart."""
    image_processor: Any
    tokenizer: Any
    remote_code: bool


def open_parts(source: Source) -> Parts:
    """Raises UserError where the checkpoint is no image-text-to-text one, is damaged, or brings code of its own that
    the user does not trust.
    """
    remote_code = source.revision in os.environ.get(TRUSTED, "").split(",")
    _refuse_unasked_code(source, remote_code)
    options: dict[str, Any] = {"trust_remote_code": remote_code, "local_files_only": True}
    with quiet():
        try:
            config = AutoConfig.from_pretrained(source.folder, **options)
        except _UNREADABLE as error:
            raise UserError(
                f"{source.hub_id} has no config.json that this transformers can read: {first_line(error)}"
            ) from error
        network = _network_class(source, config, remote_code)
        try:
            processor: Any = AutoProcessor.from_pretrained(source.folder, **options)
            images = getattr(processor, "image_processor", None)
            tokenizer: Any = getattr(processor, "tokenizer", None)
            together = images is not None and tokenizer is not None
            if not together:
                images = AutoImageProcessor.from_pretrained(source.folder, **options)
                tokenizer = AutoTokenizer.from_pretrained(source.folder, **options)
        # The tokenizers library raises plain Exception for a damaged file.
        except Exception as error:
            raise UserError(
                f"The image processor or the tokenizer of {source.hub_id} is missing or damaged: {first_line(error)}"
            ) from error
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return Parts(config, network, processor if together else None, images, tokenizer, remote_code)


def _refuse_unasked_code(source: Source, remote_code: bool) -> None:
    try:
        values = json.loads((source.folder / "config.json").read_text("utf-8"))
        own_code = bool(values.get("auto_map")) and values.get("model_type") not in CONFIG_MAPPING
    except (OSError, ValueError, AttributeError):
        return  # said where the configuration is read
    if own_code and not remote_code:
        raise UserError(
            f"{source.hub_id} brings Python code of its own, which runs only when asked: read it in {source.folder}, "
            f"then set the environment variable {TRUSTED}={source.revision}."
        )


def _network_class(source: Source, config: Any, remote_code: bool) -> Any:
    """Code is the source's always: beside weights that were trained further lies what nobody has read."""
    known = type(config) in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING
    offered = (getattr(config, "auto_map", None) or {}) if remote_code else {}
    for name in REMOTE_CLASSES[: 1 if known else None]:
        if name in offered:
            return get_class_from_dynamic_module(offered[name], source.folder)
    if known:
        return AutoModelForImageTextToText
    raise UserError(
        f"{source.hub_id} does not turn an image into text: transformers knows its kind, '{config.model_type}', "
        "for other things (a model of text alone?)."
    )


def choose_dtype(name: str, device: str) -> torch.dtype:
    """`auto` is bfloat16 on a GPU that computes with it, else float32. Raises UserError for an unknown name."""
    if name == "auto":
        fast = torch.device(device).type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
        return torch.bfloat16 if fast else torch.float32
    if name not in DTYPES:
        raise unknown("dtype", name, ["auto", *DTYPES])
    return DTYPES[name]


def open_network(
    source: Source, parts: Parts, *, device: str, dtype: torch.dtype, quantisation: str, folder: Path | None = None
) -> Any:
    """The network with its weights, or with those in `folder`, which were trained further.

    Raises UserError where a weight is missing or of another shape, or the files are cut short, and for a quantisation
    that cannot be had.
    """
    where = folder or source.folder
    options: dict[str, Any] = {"dtype": dtype, "local_files_only": True, "output_loading_info": True}
    options["ignore_mismatched_sizes"] = True  # so that they are listed in `info`
    if quantisation:
        options |= {"quantization_config": quantised(quantisation, dtype, device), "device_map": {"": device}}
    elif device == "meta":
        options["device_map"] = device  # no weight stays in memory
    if parts.remote_code and not folder:
        options["trust_remote_code"] = True
    try:
        with quiet():
            network, info = parts.network.from_pretrained(where, config=parts.config, **options)
    except _UNREADABLE as error:
        raise UserError(
            f"The weights in {where} cannot be read, they are damaged, cut short or not there: {first_line(error)} "
            "(remove the folder and fetch or make it again)."
        ) from error
    # A pooler is made by transformers for encoders of which only the patches are read.
    if missing := [key for key in info["missing_keys"] if "pooler" not in key]:
        raise UserError(f"The weights in {where} do not fit its config.json: they lack {some(missing)}.")
    if mismatched := sorted(info["mismatched_keys"]):
        key, *shapes = mismatched[0]
        found, wanted = (" × ".join(map(str, shape)) for shape in shapes)
        more = f", and {len(mismatched) - 1} more have another shape" if mismatched[1:] else ""
        raise UserError(f"The weights in {where} do not fit its config.json: {key} is {found} and not {wanted}{more}.")
    return network if quantisation else network.to(torch.device(device))


def check_weights(source: Source, parts: Parts) -> None:
    """Raises UserError as `open_network` would, where headers and shapes can tell: it takes about as long as reading
    the files once, and no memory.
    """
    if getattr(parts.config, "quantization_config", None):
        return  # packed weights have shapes of their own, and some kinds need a GPU
    try:
        open_network(source, parts, device="meta", dtype=torch.float32, quantisation="")
    except UserError as error:
        if not isinstance(error.__cause__, NotImplementedError):  # an operation that needs the values
            raise


def quantised(name: str, dtype: torch.dtype, device: str) -> BitsAndBytesConfig:
    """Raises UserError for an unknown name, or where it cannot be had."""
    if name != "4bit":
        raise unknown("quantisation", name, ["4bit"])
    if importlib.util.find_spec("bitsandbytes") is None:
        raise UserError(
            "4-bit weights need bitsandbytes, which is not installed: pip install 'cxr-report-bench[4bit]', or leave "
            "quantisation out."
        )
    if torch.device(device).type == "mps":
        raise UserError("bitsandbytes has no 4-bit weights on mps: leave quantisation out, or take another device.")
    return BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True, bnb_4bit_compute_dtype=dtype
    )


def add_lora(network: Any, rank: int, alpha: int, dropout: float, targets: str) -> Any:
    """LoRA (Hu et al. 2022) on the layers named, with fresh weights, the rest frozen; see peft's LoraConfig.

    `targets`: `all-linear`, or the ends of layers' names with commas between. Raises UserError where none is so called
    or peft is not installed.
    """
    peft = adapter_package()
    if getattr(network, "is_quantized", False):
        network = peft.prepare_model_for_kbit_training(network, use_gradient_checkpointing=False)
    modules: Any = targets if targets == "all-linear" else [name.strip() for name in targets.split(",")]
    config = peft.LoraConfig(r=rank, lora_alpha=alpha, lora_dropout=dropout, target_modules=modules)
    try:
        return peft.get_peft_model(network, config)
    except ValueError as error:
        raise UserError(f"LoRA cannot be put on '{targets}': {first_line(error)}") from error


def load_lora(network: Any, folder: Path) -> Any:
    """The network with the LoRA weights that `save_pretrained` left in a folder. Raises UserError for damaged ones."""
    peft = adapter_package()
    try:
        with quiet():
            adapted = peft.PeftModel.from_pretrained(network, str(folder), local_files_only=True)
            loaded = adapted.load_adapter(str(folder), "default", local_files_only=True)
    except _UNREADABLE as error:
        raise UserError(f"The LoRA weights in {folder} are damaged or do not fit: {first_line(error)}") from error
    if missing := [key for key in loaded.missing_keys if "lora_" in key]:
        raise UserError(f"The LoRA weights in {folder} lack {some(missing)}.")
    return adapted  # not merged: that would change a layer that shares its weights, and round in lower precisions


class TeacherForced(nn.Module):
    """A hub network as `_training.fit` takes it: logits and losses in `_vision_gpt2.VisionGPT2`'s terms, and a state of
    those weights alone that are trained.
    """

    _keys_to_ignore_on_save = None  # Trainer asks for it where a state that it takes up lacks weights, as this one does

    def __init__(self, network: Any, label_smoothing: float):
        super().__init__()
        self.network = network
        self.config: Any = PreTrainedConfig()
        self.config.label_smoothing = label_smoothing
        self.adapted = hasattr(network, "peft_config")
        inner = network.get_base_model() if self.adapted else network
        self.keeps = "logits_to_keep" in inspect.signature(inner.forward).parameters

    def forward(
        self, keep: int, labels: Tensor | None = None, num_items_in_batch: Tensor | int | None = None, **inputs: Any
    ) -> VisionGPT2Output:
        """Logits of the last `keep` positions (B, keep, vocabulary), and the loss with `labels` (B, keep)."""
        if self.keeps:
            inputs["logits_to_keep"] = keep
        logits = self.network(**inputs).logits[:, -keep:]
        if labels is None:
            return VisionGPT2Output(logits=logits)
        divisor = count_targets(labels) if num_items_in_batch is None else num_items_in_batch
        loss = token_losses(logits, labels, self.config.label_smoothing).sum() / divisor
        return VisionGPT2Output(loss=loss, text_loss=loss, logits=logits)

    def train(self, mode: bool = True) -> TeacherForced:
        super().train(mode)
        if self.adapted:  # what is frozen keeps its running statistics too
            for module in self.modules():
                if isinstance(module, nn.modules.batchnorm._BatchNorm):
                    module.eval()
        return self

    def state_dict(self, *args: Any, **kwargs: Any) -> Any:  # type: ignore[override]
        kept = set(self._kept())
        return {name: value for name, value in super().state_dict(*args, **kwargs).items() if name in kept}

    def _kept(self) -> Iterator[str]:
        # named_parameters gives a weight that two layers share once, as a safetensors file must have it.
        yield from (name for name, weight in self.named_parameters() if weight.requires_grad or not self.adapted)
        if not self.adapted:
            yield from (name for name, _ in self.named_buffers())

    def save_pretrained(self, folder: Path, state_dict: Mapping[str, Tensor] | None = None, **kwargs: Any) -> None:
        if state_dict is not None:  # of all of this module, gathered from several processes
            kwargs["state_dict"] = {name.removeprefix("network."): weight for name, weight in state_dict.items()}
        whole = {} if self.adapted else {"max_shard_size": "1000GB"}
        self.network.save_pretrained(folder, **whole, **kwargs)
        (Path(folder) / "README.md").unlink(missing_ok=True)  # peft's empty form

    def gradient_checkpointing_enable(self, **kwargs: Any) -> None:
        self.network.gradient_checkpointing_enable(**kwargs)
