"""Low-rank adapters (Hu et al. 2021, LoRA), through peft; those of a GPT-2."""

from __future__ import annotations

from typing import Any

from torch import nn

from benchmark.errors import UserError

ADAPTED = r"transformer\.h\.\d+\.(attn|mlp)\.(c_attn|c_proj|c_fc)"
"""The layers that a pretrained GPT-2 brings along; its cross-attention is new, and learns whole."""


def adapter_package() -> Any:
    """peft. Raises UserError where it is not installed."""
    try:
        import peft
    except ImportError:
        raise UserError(
            "Low-rank adapters need the package peft: run `pip install 'cxr-report-bench[lora]'`."
        ) from None
    return peft


def add_adapters(gpt2: nn.Module, rank: int) -> None:
    """Put adapters of that rank, scaled by 2, into the layers. They change nothing before they are trained.

    Raises UserError where peft is not installed or the rank is less than 1.
    """
    if rank < 1:
        raise UserError(f"lora_rank is {rank}; adapters have a rank of at least 1, and 0 means none.")
    peft = adapter_package()
    config = peft.LoraConfig(r=rank, lora_alpha=2 * rank, target_modules=ADAPTED, fan_in_fan_out=True)
    peft.inject_adapter_in_model(config, gpt2)


def merge_adapters(gpt2: nn.Module) -> None:
    """Add what the adapters have learned to the layers' own weights and take them out: same outputs, fewer products."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    for name, module in list(gpt2.named_modules()):
        if isinstance(module, BaseTunerLayer):
            module.merge()
            gpt2.set_submodule(name, module.get_base_layer())
