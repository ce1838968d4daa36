"""Token embeddings of texts, as bert-score makes them, each reference encoded once in a process."""

from __future__ import annotations

import weakref
from collections.abc import Iterable
from functools import cached_property
from typing import Any

from benchmark.metrics._encoder import Encoder

BATCH = {"cpu": 16}
"""Texts encoded together by kind of device: on a CPU 16 were 1.6 times as fast as bert-score's 64."""
BATCH_ELSEWHERE = 64
KEPT = 2**30
"""Bytes of embeddings of references that are kept: some 8,000 reports at MiniLM's width."""

Embedded = tuple[Any, Any]
"""Embeddings of a text's tokens, shape (tokens, width), and their weights, shape (tokens,), float32 on the CPU."""


class Embedder:
    """An encoder cut off after a layer, loaded at the first text."""

    def __init__(self, encoder: Encoder, layer: int, device: str, precision: str):
        self._encoder = encoder
        self._layer = layer
        self._device = device
        self._precision = precision
        self._kept: dict[str, Embedded] = {}
        self._bytes = 0

    def references(self, texts: Iterable[str]) -> dict[str, Embedded]:
        """By text. They are kept, as far as there is room, because models are scored against the same references."""
        known = {text: self._kept[text] for text in texts if text in self._kept}
        new = self.embed(set(texts) - known.keys())
        for text, (embedding, weights) in new.items():
            size = embedding.nbytes + weights.nbytes
            if self._bytes + size <= KEPT:
                # A copy, since a part of a batch keeps the whole.
                self._kept[text] = embedding.clone(), weights
                self._bytes += size
        return known | new

    def embed(self, texts: Iterable[str]) -> dict[str, Embedded]:
        """By text. Raises Unavailable where the encoder cannot be loaded."""
        import torch
        from bert_score.utils import padding, sent_encode

        model, tokenizer = self._loaded
        tokens = {text: sent_encode(tokenizer, text) for text in texts}
        special = {tokenizer.cls_token_id, tokenizer.sep_token_id}  # These stand in every text and weigh nothing.
        # Texts of one length together, so that little is padded.
        ordered = sorted(tokens, key=lambda text: (len(tokens[text]), text))
        size = BATCH.get(self._device.partition(":")[0], BATCH_ELSEWHERE)
        found: dict[str, Embedded] = {}
        for start in range(0, len(ordered), size):
            batch = ordered[start : start + size]
            padded, _, mask = padding([tokens[text] for text in batch], tokenizer.pad_token_id)
            with torch.inference_mode():
                embeddings = model(padded.to(self._device), attention_mask=mask.to(self._device))[0].cpu()
            for text, embedding in zip(batch, embeddings, strict=True):
                weights = torch.tensor([float(token not in special) for token in tokens[text]])
                found[text] = embedding[: len(weights)], weights
        return found

    @cached_property
    def _loaded(self) -> tuple[Any, Any]:
        model, tokenizer = self._encoder.load(self._layer, self._device)
        if self._precision == "bf16":
            from benchmark.metrics._bf16 import reduced

            model = reduced(model)
        return model, tokenizer


_ALIVE: weakref.WeakValueDictionary[tuple[str, int, str, str], Embedder] = weakref.WeakValueDictionary()


def shared(encoder: Encoder, layer: int, device: str, precision: str) -> Embedder:
    """The one embedder of all metrics that live at a time and encode alike."""
    key = str(encoder.folder), layer, device, precision
    found = _ALIVE.get(key)
    if found is None:
        found = _ALIVE[key] = Embedder(encoder, layer, device, precision)
    return found
