"""Vision-GPT2 as a user would otherwise run it: the peers of `benchmark.speed.generate`.

timm's encoder and transformers' GPT2LMHeadModel wired by hand, on the same weights, in the original's format.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import timm
import torch
from torch import Tensor, nn
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast


class PlainVisionGPT2(nn.Module):
    """DenseNet-121's feature map, projected, read by GPT-2 through cross-attention."""

    def __init__(self, decoder: dict[str, Any]):
        super().__init__()
        ends = {"bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 0}
        self.gpt2 = GPT2LMHeadModel(GPT2Config(**{**decoder, **ends}, add_cross_attention=True))
        self.enc = nn.Module()
        backbone: Any = timm.create_model("densenet121", pretrained=False, num_classes=0, global_pool="")
        self.enc.backbone = backbone
        self.enc.proj = nn.Conv2d(backbone.num_features, self.gpt2.config.n_embd, kernel_size=1)
        self.eval()

    def encode(self, pixels: Tensor) -> Tensor:
        """(B, 3, S, S) → (B, positions, width)."""
        features: Tensor = self.enc.proj(self.enc.backbone(pixels))  # type: ignore[operator]
        return features.flatten(2).transpose(1, 2).contiguous()

    @torch.no_grad()
    def by_generate(self, pixels: Tensor, ids: Tensor, tokens: int) -> Tensor:
        """transformers' `generate` with its defaults, greedy: what comes after `ids`."""
        model: Any = self.gpt2
        states = self.encode(pixels)
        asked = {"max_new_tokens": tokens, "do_sample": False, "attention_mask": torch.ones_like(ids)}
        written: Tensor = model.generate(ids, encoder_hidden_states=states, **asked)
        return written[:, ids.shape[1] :]

    @torch.no_grad()
    def without_cache(self, pixels: Tensor, ids: Tensor, tokens: int) -> Tensor:
        """A loop that reads the whole text at every step; images encoded once, rows to the last one's end."""
        start, states = ids.shape[1], self.encode(pixels)
        for _ in range(tokens):
            logits = self.gpt2(input_ids=ids, encoder_hidden_states=states, use_cache=False).logits[:, -1]
            ids = torch.cat([ids, logits.argmax(dim=1, keepdim=True)], dim=1)
            if (ids[:, start:] == 0).any(dim=1).all():
                break
        return ids[:, start:]


def write_files(folder: Path, decoder: dict[str, Any]) -> None:
    """Random weights (`weights.pt`, as the original saves them) and a tokenizer of as many words as GPT-2 has tokens.

    Weights of the decoder are four times as large as GPT-2's fresh ones, so that texts differ.
    """
    from tokenizers import Tokenizer, models, pre_tokenizers

    torch.manual_seed(0)
    model = PlainVisionGPT2({**decoder, "initializer_range": 0.08})
    torch.save({"model": model.state_dict()}, folder / "weights.pt")
    end = "<|endoftext|>"
    words = {end: 0} | {f"w{i}": i for i in range(1, model.gpt2.config.vocab_size)}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token=end))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()  # type: ignore[assignment]
    ends = dict.fromkeys(("bos_token", "eos_token", "pad_token", "unk_token"), end)
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **ends).save_pretrained(folder)


def read_weights(folder: Path, decoder: dict[str, Any], device: str) -> PlainVisionGPT2:
    model = PlainVisionGPT2(decoder)
    model.load_state_dict(torch.load(folder / "weights.pt", weights_only=True)["model"])
    return model.to(device)


def costs(decoder: dict[str, Any], size: int) -> dict[str, float]:
    """Of a report: operations to encode one image, weights that a step of the decoder reads, positions of a map."""
    from torch.utils.flop_counter import FlopCounterMode

    with torch.device("meta"):
        model = PlainVisionGPT2(decoder)
        counter = FlopCounterMode(display=False)
        with counter:
            positions = model.encode(torch.zeros(1, 3, size, size)).shape[1]
    config = model.gpt2.config
    # Those that make keys and values of the image's positions work once, not at each step.
    once = config.n_layer * 2 * config.n_embd**2
    linear = sum(p.numel() for name, p in model.gpt2.named_parameters() if p.ndim == 2 and "wpe" not in name)
    kept = config.n_layer * 2 * config.n_embd
    encoding = counter.get_total_flops() + 2 * once * positions
    return {"encoding": encoding, "weights": linear - once, "positions": positions, "kept": kept}
