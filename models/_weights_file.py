"""Files that torch.save wrote, read without running what is in them."""

from __future__ import annotations

import pickle
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmark.errors import UserError


def read(path: Path) -> Any:
    """What the file holds, tensors on the processor, with `weights_only=True`.

    Raises UserError where there is no such file, it is damaged, or it holds other Python objects than weights.
    """
    try:
        # Scores saved beside the weights are often numpy's. Of old pickles torch warns; what it cannot read it says.
        with torch.serialization.safe_globals(_numpy_scalars()), warnings.catch_warnings(action="ignore"):
            return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise UserError(f"No such file: {path}.") from None
    except pickle.UnpicklingError:
        raise UserError(
            f"{path} is no file of weights alone: it is damaged, or holds other Python objects, which could run code "
            "and so were not read. Save the model's state_dict() by itself."
        ) from None
    except (OSError, RuntimeError, EOFError, ValueError, KeyError, TypeError, AttributeError, IndexError):
        raise UserError(
            f"{path} cannot be read as weights of torch: it is damaged, cut short or no such file."
        ) from None


def _numpy_scalars() -> list[Any]:
    kinds = [np.float64, np.float32, np.int64, np.int32, np.bool_]
    scalar: Any = np.float64(0).__reduce__()[0]
    return [scalar, np.dtype, *(type(np.dtype(kind)) for kind in kinds)]
