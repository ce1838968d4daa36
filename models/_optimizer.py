"""R2Gen's and R2GenCMN's optimiser: Adam with AMSGrad, the encoder slower than the rest, rates that fall in steps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch.optim import Adam, Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler

from ._captioner import Captioner


def step_adam(model: Captioner, options: Mapping[str, Any], steps_per_epoch: int) -> tuple[Optimizer, LRScheduler]:
    """Options read: learning_rate, encoder_learning_rate (of `model.backbone`), weight_decay (as an L2 penalty, over
    all parameters), betas and epsilon (Adam's), decay (factor of both rates) every decay_epochs.
    """
    encoder = list(model.backbone.parameters())
    known = set(map(id, encoder))
    rest = [parameter for parameter in model.parameters() if id(parameter) not in known]
    groups = [
        {"params": rest, "lr": options["learning_rate"]},
        {"params": encoder, "lr": options["encoder_learning_rate"]},
    ]
    moments = {"betas": tuple(options["betas"]), "eps": options["epsilon"]}
    optimizer = Adam(groups, **moments, weight_decay=options["weight_decay"], amsgrad=True)
    steps = options["decay_epochs"] * steps_per_epoch
    return optimizer, LambdaLR(optimizer, lambda step: options["decay"] ** (step // steps))
