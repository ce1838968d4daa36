"""Vision-GPT2's original way of training, as a user would otherwise run it: the peer of `benchmark.speed.train`.

A plain loop: JPEGs opened, converted and resized by Pillow in every epoch by two worker processes, texts padded to 256
tokens, AdamW as torch makes it, float32, batches of 8 with their mean loss divided by the accumulation.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from transformers import GPT2Config, GPT2LMHeadModel

LENGTH = 256
WORKERS = 2
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class PlainVisionGPT2(nn.Module):
    """DenseNet-121's feature map, projected, read by GPT-2 through cross-attention."""

    def __init__(self, decoder: Path):
        super().__init__()
        self.gpt2 = GPT2LMHeadModel(GPT2Config.from_pretrained(decoder, add_cross_attention=True))
        self.enc = nn.Module()
        backbone: Any = timm.create_model("densenet121", pretrained=False, num_classes=0, global_pool="")
        self.enc.backbone = backbone
        self.enc.proj = nn.Conv2d(backbone.num_features, self.gpt2.config.n_embd, kernel_size=1)

    def forward(self, images: Tensor, ids: Tensor, mask: Tensor) -> Tensor:
        features: Tensor = self.enc.proj(self.enc.backbone(images)).flatten(2).transpose(1, 2)  # type: ignore[operator]
        logits = self.gpt2(input_ids=ids, attention_mask=mask, encoder_hidden_states=features.contiguous()).logits
        labels = ids.masked_fill(mask == 0, -100)
        return nn.functional.cross_entropy(
            logits[:, :-1].reshape(-1, logits.shape[-1]), labels[:, 1:].reshape(-1), label_smoothing=0.1
        )


class PlainDataset(Dataset):
    """`read` gives a file's grey image of `size` × `size`; None: Pillow opens the file."""

    def __init__(
        self, files: Sequence[Path], ids: Sequence[list[int]], read: Callable[[Path], np.ndarray] | None, size: int
    ):
        self.files = files
        self.ids = ids
        self.read = read
        self.size = size

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, i: int) -> tuple[Tensor, Tensor, Tensor]:
        if self.read is None:
            with Image.open(self.files[i]) as image:
                pixels = np.asarray(image.convert("RGB").resize((self.size, self.size)))
        else:
            pixels = np.repeat(self.read(self.files[i])[:, :, None], 3, axis=2)
        colours = (torch.tensor(pixels).permute(2, 0, 1) / 255.0 - torch.tensor(MEAN)[:, None, None]) / torch.tensor(
            STD
        )[:, None, None]
        ids = torch.zeros(LENGTH, dtype=torch.long)
        ids[: len(self.ids[i])] = torch.tensor(self.ids[i])
        return colours, ids, (torch.arange(LENGTH) < len(self.ids[i])).long()


def train(
    decoder: Path,
    weights: Path,
    files: Sequence[Path],
    ids: Sequence[list[int]],
    read: Callable[[Path], np.ndarray] | None,
    size: int,
    batch_size: int,
    accumulation: int,
    device: str,
) -> dict[str, Any]:
    """One epoch. Gives `seconds` of each optimiser step but the first, which gets everything going, and the mean loss.

    The learning rate is 0, so that both sides keep the same weights; it takes the same time.
    """
    model = PlainVisionGPT2(decoder)
    missing, unknown = model.load_state_dict(load_file(weights), strict=False)
    assert not unknown and set(missing) <= {"gpt2.lm_head.weight"}, "the two sides are not the same network"
    model.to(device).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.0, weight_decay=0.01)
    loader = DataLoader(PlainDataset(files, ids, read, size), batch_size, shuffle=True, num_workers=WORKERS)
    ends: list[float] = []
    losses: list[float] = []
    for number, batch in enumerate(loader, 1):
        loss = model(*(each.to(device) for each in batch))
        (loss / accumulation).backward()
        losses.append(loss.item())
        if number % accumulation == 0:
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
            if device != "cpu":
                torch.cuda.synchronize()
            ends.append(time.perf_counter())
    return {"seconds": np.diff(ends).tolist(), "loss": float(np.mean(losses))}


def operations(decoder: Path, ids: Sequence[list[int]], size: int, batch_size: int) -> tuple[int, int]:
    """Floating-point operations of one batch, forward and backward, padded to its longest text; and the weights."""
    from torch.utils.flop_counter import FlopCounterMode

    model = PlainVisionGPT2(decoder)
    longest = max(len(each) for each in ids[:batch_size])
    images, tokens = torch.zeros(batch_size, 3, size, size), torch.zeros(batch_size, longest, dtype=torch.long)
    counter = FlopCounterMode(display=False)
    with counter:
        model(images, tokens, torch.ones_like(tokens)).backward()
    return counter.get_total_flops(), sum(p.numel() for p in model.parameters())
