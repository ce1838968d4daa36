"""CheXbert: a BERT with a head for each of the 14 CheXpert classes (Smit et al., EMNLP 2020).

Matches the package f1chexbert (labels) and CXR-Report-Metric's `encode.py` (the vector, BERT's last state of [CLS]).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from benchmark.annotators._base import Annotator, below
from benchmark.contracts import MetricContext

WEIGHTS, BASE = "chexbert.pth", "bert-base-uncased"
CLASSES = (
    "Enlarged Cardiomediastinum", "Cardiomegaly", "Lung Opacity", "Lung Lesion", "Edema", "Consolidation", "Pneumonia",
    "Atelectasis", "Pneumothorax", "Pleural Effusion", "Pleural Other", "Fracture", "Support Devices", "No Finding",
)  # fmt: skip
"""In the order of its heads. The last has two outcomes, the others four."""
BLANK, POSITIVE, NEGATIVE, UNCERTAIN = range(4)
LONGEST = 512
"""Tokens, both marks included; later ones are cut off."""


@dataclass(frozen=True)
class Reading:
    """What CheXbert makes of a text."""

    outcomes: dict[str, int]
    """BLANK, POSITIVE, NEGATIVE or UNCERTAIN by class."""
    vector: np.ndarray
    """Shape (width,)."""


class CheXbert(Annotator):
    WHAT: ClassVar[str] = "CheXbert"

    def __init__(self, context: MetricContext):
        super().__init__("chexbert", WEIGHTS, context)

    def annotate(self, texts: Sequence[str]) -> list[bytes]:
        import torch

        tokenizer, model, heads = self._loaded
        plain = [" ".join(text.split()) for text in texts]
        given = tokenizer(plain, padding=True, truncation=True, max_length=LONGEST, return_tensors="pt").to(self.device)
        with torch.inference_mode():
            states = model(input_ids=given["input_ids"], attention_mask=given["attention_mask"]).last_hidden_state
            vectors = states[:, 0]
            outcomes = [torch.nn.functional.linear(vectors, *head).argmax(dim=1) for head in heads]
        rows = torch.cat([torch.stack(outcomes, dim=1).float(), vectors], dim=1)
        return [row.tobytes() for row in rows.cpu().numpy().astype("<f4")]

    def decode(self, text: str, stored: bytes) -> Reading:
        row = np.frombuffer(stored, dtype="<f4")
        outcomes = row[: len(CLASSES)].astype(int).tolist()
        return Reading(dict(zip(CLASSES, outcomes, strict=True)), row[len(CLASSES) :])

    @cached_property
    def _loaded(self) -> tuple[Any, Any, list[tuple[Any, Any]]]:
        """Tokenizer, BERT, and weight and bias of each head."""
        state = self._tensors(self.weights)
        try:
            state = state["model_state_dict"]
            # It was saved from a DataParallel, which puts its own name first.
            tensors = {name.removeprefix("module."): tensor for name, tensor in state.items()}
            heads = [
                (tensors[f"linear_heads.{i}.weight"].to(self.device), tensors[f"linear_heads.{i}.bias"].to(self.device))
                for i in range(len(CLASSES))
            ]
        except (KeyError, TypeError, AttributeError) as error:
            raise self._broken(error) from error
        return *self._transformer(BASE, below(tensors, "bert.")), heads
