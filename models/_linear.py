"""Linear layers laid out for many calls with few rows, at a precision that the user may choose."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

Linear = Callable[[Tensor], Tensor]
"""(…, in) → (…, out)."""

FEW_ROWS = 16
"""For how many rows oneDNN lays out weights that more than one will meet. One row has a layout of its own."""
TILES = torch.cpu._is_amx_tile_supported()
"""Whether the processor multiplies matrices tile by tile (AMX), which changes what is fastest for one row."""


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
    about twice as fast as torch's `linear`. For one row and a processor with AMX its layout for one row is slower: than
    torch's `linear` in float32 (26 ms for all layers of GPT-2 against 20), than that for a few rows in bfloat16 (29 ms
    against 14). int8: see `_int8`.
    """
    if precision == "int8":
        return _int8(weight, bias, rows)
    weight = weight.detach().to(dtype(precision)).contiguous()
    bias = None if bias is None else bias.detach().to(dtype(precision))
    alone = rows == 1
    if not _onednn(weight) or (alone and TILES and precision == "fp32"):
        return lambda x: F.linear(x, weight, bias)
    packed = torch.ops.mkldnn._reorder_linear_weight(weight, 1 if alone and not TILES else FEW_ROWS)
    linear = torch.ops.mkldnn._linear_pointwise.default
    return lambda x: linear(x, packed, bias, "none", [], "")


def _onednn(weight: Tensor) -> bool:
    if weight.device.type != "cpu" or not torch.backends.mkldnn.is_available():
        return False
    return weight.dtype == torch.float32 or torch.ops.mkldnn._is_mkldnn_bf16_supported()


def _int8(weight: Tensor, bias: Tensor | None, rows: int) -> Linear:
    """Weights rounded once by output, inputs at each call by row, both symmetrically to 8 bits (dynamic quantisation).

    torch's own (`quantize_dynamic`) has one scale for all rows, so that a study's text would depend on its batch.
    """
    out = len(weight)
    weight = weight.detach().float().contiguous()
    scales = (weight.abs().amax(dim=1) / 127).clamp(min=1e-12)
    rounded = (weight / scales.unsqueeze(1)).round().to(torch.int8)
    alone = rows == 1 and TILES and "fbgemm" in torch.backends.quantized.supported_engines
    product = (_fbgemm_int8 if alone else _onednn_int8)(rounded, scales)
    shift = torch.zeros(out) if bias is None else bias.detach().float()

    def apply(x: Tensor) -> Tensor:
        largest = x.abs().amax(dim=-1, keepdim=True).clamp_(min=1e-10)
        return torch.addcmul(shift, product(x / largest), largest)

    return apply


def _onednn_int8(weight: Tensor, scales: Tensor) -> Linear:
    """Inputs from -1 to 1, rounded to 127ths, times `weight` (int8) by the `scales` of its outputs."""
    packed = torch.ops.onednn.qlinear_prepack(weight, None)
    zeros = torch.zeros(len(weight), dtype=torch.int64)
    linear = torch.ops.onednn.qlinear_pointwise.default

    def apply(x: Tensor) -> Tensor:
        rounded = (x * 127).round_().add_(128).to(torch.uint8)
        return linear(rounded, 1 / 127, 128, packed, scales, zeros, None, 1.0, 0, torch.float32, "none", [], "")

    return apply


def _fbgemm_int8(weight: Tensor, scales: Tensor) -> Linear:
    """As `_onednn_int8`, but for the last bit; for one row and a processor with AMX in two thirds of its time."""
    zeros = torch.zeros(len(weight), dtype=torch.int64)
    with warnings.catch_warnings():
        # torch means to leave quantised tensors; as long as it has FBGEMM's operators, they alone are its way in.
        warnings.simplefilter("ignore", UserWarning)
        quantised = torch._make_per_channel_quantized_tensor(weight, scales.double(), zeros, 0)
    engine = torch.backends.quantized.engine
    try:
        torch.backends.quantized.engine = "fbgemm"
        packed = torch.ops.quantized.linear_prepack(quantised, None)
    finally:
        torch.backends.quantized.engine = engine
    linear = torch.ops.quantized.linear_with_input_q_dq_qweight_dq_output_fp32.default
    return lambda x: linear(x, 1 / 127, 128, packed)
