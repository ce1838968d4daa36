"""Linear layers laid out for many calls with few rows, at a precision that the user may choose."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

Linear = Callable[[Tensor], Tensor]
"""(…, in) → (…, out)."""

FEW_ROWS = 16
"""For how many rows oneDNN lays out weights that more than one will meet. One row has a layout of its own."""


def refusal(precision: str, device: torch.device) -> str:
    """Why the device does not offer the precision, as a sentence; empty where it does."""
    if precision != "int8":
        return ""
    if device.type != "cpu":
        return f"int8 is for processors, not for {device.type}: choose bf16."
    if "onednn" not in torch.backends.quantized.supported_engines or not torch.cpu._is_vnni_supported():
        return "int8 needs a processor with VNNI and a torch with oneDNN: choose bf16 or fp32."
    return ""


def dtype(precision: str) -> torch.dtype:
    """Of what goes into the layers and comes out."""
    return torch.bfloat16 if precision == "bf16" else torch.float32


def pack(weight: Tensor, bias: Tensor | None, precision: str, rows: int) -> Linear:
    """The layer of `weight` (out, in), a copy, for inputs of `dtype(precision)` and about so many rows.

    On a processor oneDNN's own layout is used, as torch.compile does when it freezes a model: with 8 to 32 rows it is
    about twice as fast as torch's `linear`. int8: see `_int8`.
    """
    if precision == "int8":
        return _int8(weight, bias)
    weight = weight.detach().to(dtype(precision)).contiguous()
    bias = None if bias is None else bias.detach().to(dtype(precision))
    if not _onednn(weight):
        return lambda x: F.linear(x, weight, bias)
    packed = torch.ops.mkldnn._reorder_linear_weight(weight, 1 if rows == 1 else FEW_ROWS)
    linear = torch.ops.mkldnn._linear_pointwise.default
    return lambda x: linear(x, packed, bias, "none", [], "")


def _onednn(weight: Tensor) -> bool:
    if weight.device.type != "cpu" or not torch.backends.mkldnn.is_available():
        return False
    return weight.dtype == torch.float32 or torch.ops.mkldnn._is_mkldnn_bf16_supported()


def _int8(weight: Tensor, bias: Tensor | None) -> Linear:
    """Weights rounded once by output, inputs at each call by row, both symmetrically to 8 bits (dynamic quantisation).

    torch's own (`quantize_dynamic`) has one scale for all rows, so that a study's text would depend on its batch.
    """
    out, width = weight.shape
    weight = weight.detach().float().contiguous()
    scales = (weight.abs().amax(dim=1) / 127).clamp(min=1e-12)
    packed = torch.ops.onednn.qlinear_prepack((weight / scales.unsqueeze(1)).round().to(torch.int8), None)
    zeros = torch.zeros(out, dtype=torch.int64)
    shift = torch.zeros(out) if bias is None else bias.detach().float()
    linear = torch.ops.onednn.qlinear_pointwise.default

    def apply(x: Tensor) -> Tensor:
        flat = x.reshape(-1, width)
        scale = (flat.abs().amax(dim=1, keepdim=True) / 127).clamp_(min=1e-12)
        rounded = (flat / scale).round_().add_(128).to(torch.uint8)
        product = linear(rounded, 1.0, 128, packed, scales, zeros, None, 1.0, 0, torch.float32, "none", [], "")
        return torch.addcmul(shift, product, scale).view(*x.shape[:-1], out)

    return apply
