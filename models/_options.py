"""What `_training.fit` reads of a job's options, and the torch settings that follow from them."""

from __future__ import annotations

import math
import os
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import torch
from transformers import TrainingArguments

from benchmark import contracts, processes
from benchmark.contracts import OnText, TrainingJob
from benchmark.errors import UserError
from benchmark.schema import GenerationSettings, Report, Study

from ._batches import BatchPlan

DEFAULTS: Mapping[str, Any] = {
    # auto: bf16 on GPUs that have it, fp16 on the others, fp32 elsewhere.
    "precision": "auto",
    "gradient_checkpointing": False,
    # Convolutions read images with the channels last.
    "channels_last": True,
    "compile": False,
    # Texts of like length in a batch: less padding, but see `_batches.bucketed`.
    "length_buckets": False,
    # Batch normalisation keeps the statistics that it has, whatever the batch.
    "freeze_batch_norm": False,
    # Weights, gradients and optimiser are divided among the processes, for what does not fit one GPU.
    "fsdp": False,
    # `loss`, or a value that `bench metrics` lists: what the best epoch is best in.
    "select_by": "loss",
    # Epochs without a better one after which training stops; 0: never.
    "patience": 0,
}

AT_LEAST_ONE = (
    "epochs batch_size accumulation save_every decay_epochs vocabulary layers width inner heads word_width "
    "views attention_width slots memory_heads memory responses"
).split()
NOT_NEGATIVE = (
    "workers patience learning_rate encoder_learning_rate decay weight_decay clip initializer_range word_loss "
    "doubly_stochastic degrees lora_rank image_size"
).split()
SHARES = "warmup label_smoothing dropout feature_dropout lora_dropout shift scale contrast".split()
RANGES: Mapping[str, tuple[float, float]] = {
    **dict.fromkeys(AT_LEAST_ONE, (1, math.inf)),
    **dict.fromkeys(NOT_NEGATIVE, (0, math.inf)),
    **dict.fromkeys(SHARES, (0, 1)),
    "max_tokens": (2, math.inf),  # What begins a text is no target.
}
"""Smallest and largest value of an option, in whichever model has it."""
DIVIDES = {"heads": "width", "memory_heads": "width"}
"""Options, and which others they must divide."""

SEARCH: Mapping[str, Mapping[str, Any]] = {
    "learning_rate": {"times": [0.2, 5.0], "log": True},
    "weight_decay": {"low": 1e-3, "high": 0.2, "log": True},
    "warmup": {"low": 0.0, "high": 0.2},
}


class TrainedModel(contracts.Model):
    """Base of the models that `_training.fit` trains."""

    DEFAULTS: ClassVar[Mapping[str, Any]] = DEFAULTS
    SEARCH: ClassVar[Mapping[str, Mapping[str, Any]]] = SEARCH
    SHARED_TRAINING: ClassVar[bool] = True

    @abstractmethod
    def generate(
        self,
        studies: Sequence[Study],
        settings: GenerationSettings,
        seeds: Sequence[int],
        on_text: OnText | None = None,
    ) -> list[Report]:
        """`on_text` is told the first study's text, as `stream` tells it."""

    def stream(self, study: Study, settings: GenerationSettings, seed: int, on_text: OnText) -> Report:
        (report,) = self.generate([study], settings, [seed], on_text)
        return report


def check(options: Mapping[str, Any]) -> None:
    """Raises UserError where an option is out of its range, or two do not go together."""
    for name, (least, most) in RANGES.items():
        if name in options and not least <= options[name] <= most:
            fit = f"at least {least}" if most == math.inf else f"from {least} to {most}"
            raise UserError(f"{name} is {options[name]}, and must be {fit}.")
    for part, whole in DIVIDES.items():
        if part in options and options.get(whole, 0) % options[part]:
            raise UserError(f"{options[part]} {part} do not divide the {whole} of {options[whole]}: change either.")
    if options.get("responses", 0) > options.get("memory", math.inf):
        raise UserError(f"{options['responses']} responses do not come from a memory of {options['memory']}.")


def precision(options: Mapping[str, Any], device: torch.device) -> str:
    """`bf16`, `fp16` or `fp32`. Raises UserError for another name, or where the device cannot do it."""
    wanted = options["precision"]
    if wanted not in ("auto", "bf16", "fp16", "fp32"):
        raise UserError(f"precision is auto, bf16, fp16 or fp32, not '{wanted}'.")
    able = device.type != "cuda" or torch.cuda.is_bf16_supported(including_emulation=False)
    if wanted == "auto":
        return "fp32" if device.type != "cuda" else "bf16" if able else "fp16"
    if wanted == "fp16" and device.type != "cuda":
        raise UserError(f"precision fp16 needs a CUDA GPU, and this trains on {device.type}: take bf16 or fp32.")
    if wanted == "bf16" and (not able or device.type == "mps"):
        raise UserError(f"This device ({device}) has no bf16: take fp32{', or fp16' if device.type == 'cuda' else ''}.")
    return wanted


def arguments(
    job: TrainingJob, options: Mapping[str, Any], plan: BatchPlan, n: int, folder: Path, blocks: list[str] | None
) -> TrainingArguments:
    """Trainer's settings for `n` training studies; `blocks`: classes of the layers that FSDP divides one by one."""
    device = torch.device(job.device)
    steps = math.ceil(n / plan.studies) * options["epochs"]
    kind = precision(options, device)
    if options["fsdp"] and (plan.processes == 1 or device.type != "cuda"):
        raise UserError("fsdp divides a model among the GPUs of several processes: give --nproc, or leave it out.")
    if device.index is not None and plan.processes == 1:
        os.environ.setdefault("ACCELERATE_TORCH_DEVICE", str(device))
    made = TrainingArguments(
        output_dir=str(folder),
        per_device_train_batch_size=plan.micro,
        per_device_eval_batch_size=plan.micro,
        gradient_accumulation_steps=plan.accumulation,
        num_train_epochs=options["epochs"],
        optim="adamw_torch_fused",
        learning_rate=options["learning_rate"],
        weight_decay=options["weight_decay"],
        max_grad_norm=options["clip"],
        lr_scheduler_type="cosine",
        warmup_steps=math.ceil(options["warmup"] * steps),
        seed=job.seed,
        use_cpu=device.type == "cpu",
        bf16=kind == "bf16",
        fp16=kind == "fp16",
        ddp_backend="gloo" if device.type == "cpu" and plan.processes > 1 else None,
        ddp_find_unused_parameters=False,
        fsdp=options["fsdp"] or None,
        fsdp_config={"version": 2, "transformer_layer_cls_to_wrap": blocks} if options["fsdp"] else None,
        dataloader_num_workers=options["workers"],
        dataloader_persistent_workers=options["workers"] > 0,
        dataloader_pin_memory=device.type == "cuda",
        remove_unused_columns=False,
        label_names=["labels"],
        logging_strategy="no",
        logging_nan_inf_filter=False,
        eval_strategy="no",  # the schedule decides when to validate and to save
        save_strategy="no",
        disable_tqdm=True,
        report_to=[],
    )
    if processes.count() == 1:
        # One process drives one device; Trainer would spread a batch over all that it sees with DataParallel.
        made._n_gpu = min(1, made.n_gpu)
    return made
