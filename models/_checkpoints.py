"""The folders that a training keeps under `trainer/`: step checkpoints to go on from, and the best weights.

A step checkpoint counts once `history.json`, its last file, is there; the best weights of an epoch are written aside
and renamed. So a kill while something is written leaves an incomplete folder that nothing reads.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel

from benchmark.errors import UserError

WEIGHTS = "model.safetensors"
COMPLETE = "history.json"


def finished(output: Path, weights: str = WEIGHTS, begun: str = "trainer") -> bool:
    """Whether a training ended here: its weights are put in place last of all. Clears away what it then left in the
    folder `begun`.
    """
    if not (output / weights).exists():
        return False
    shutil.rmtree(output / begun, ignore_errors=True)
    return True


def newest_checkpoint(folder: Path) -> Path | None:
    """The complete checkpoint of the highest step; incomplete ones are removed."""
    complete = []
    for path in folder.glob("checkpoint-*"):
        if (path / COMPLETE).exists():
            complete.append(path)
        else:
            shutil.rmtree(path)
    return max(complete, key=lambda path: int(path.name.rpartition("-")[2]), default=None)


def read_config(checkpoint: Path, name: str, kind: str) -> dict[str, Any]:
    """The config.json of a checkpoint of the model `name`, whose networks are called `kind` there.

    Raises UserError where it is not there, damaged or another model's.
    """
    try:
        config = json.loads((checkpoint / "config.json").read_text("utf-8"))
    except FileNotFoundError:
        raise UserError(f"{checkpoint} is no checkpoint of {name}: it has no config.json.") from None
    except ValueError:
        raise UserError(f"{checkpoint / 'config.json'} is damaged. Train {name} again with --fresh.") from None
    config = config if isinstance(config, dict) else {}
    if config.get("model_type") != kind:
        raise UserError(f"{checkpoint} is a checkpoint of {config.get('model_type', 'another model')}, not of {name}.")
    return config


def is_finite(model: torch.nn.Module) -> bool:
    """Whether every weight is a number."""
    return all(bool(torch.isfinite(p.detach()).all()) for p in model.parameters() if p.is_floating_point())


def save_best(model: PreTrainedModel, target: Path, weights: dict[str, torch.Tensor] | None = None) -> None:
    """Weights (the model's own where none are given) and configuration to `target`, whole or not at all."""
    aside = target.with_name(f"{target.name}.tmp")
    for path in (aside, target):
        shutil.rmtree(path, ignore_errors=True)
    model.save_pretrained(aside, state_dict=weights)
    os.rename(aside, target)


def drop_all_but(folder: Path, checkpoint: str, best: str) -> None:
    """Remove the step checkpoints and best weights that a newer complete checkpoint has made useless."""
    for path in [*folder.glob("checkpoint-*"), *folder.glob("best-*")]:
        if path.name not in (checkpoint, best):
            shutil.rmtree(path)


def move_best(best: Path, output: Path) -> None:
    """Put the best weights and their configuration into `output`, the weights last."""
    for file in sorted(best.iterdir(), key=lambda file: file.suffix == ".safetensors"):
        os.replace(file, output / file.name)


def check_disk(model: PreTrainedModel, folder: Path) -> None:
    """Raises UserError where the disk has less than the checkpoints need beyond what lies there already."""
    saved = sum(weight.numel() * weight.element_size() for weight in model.state_dict().values())
    trained = sum(p.numel() * p.element_size() for p in model.parameters() if p.requires_grad)
    # A step checkpoint holds the weights and AdamW's two moments. Of these, and of the best weights, one is whole
    # while another is written.
    needed = 2 * (saved + 2 * trained) + 2 * saved
    present = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    free = shutil.disk_usage(folder).free
    if free < needed - present:
        raise UserError(
            f"Training keeps up to {needed / 1e9:.2g} GB of checkpoints in {folder}, but its disk has only "
            f"{free / 1e9:.2g} GB free. Make room, or keep the results on another disk."
        )
