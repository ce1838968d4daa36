"""What all annotators share: weights that are found, hashed and read without running anything of theirs."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property, lru_cache
from pathlib import Path
from typing import IO, Any, ClassVar

from benchmark import hub
from benchmark.annotators import REPOSITORY
from benchmark.contracts import MetricContext, Unavailable


class Annotator(ABC):
    """A model that reads one text at a time, in batches. Nothing is loaded before a text has to be read.

    Raises Unavailable where its files are not here.
    """

    VERSION: ClassVar[str] = "1"
    """Raised when a text would be annotated otherwise than before."""
    WHAT: ClassVar[str]
    """Its name in sentences."""
    BATCH: ClassVar[int] = 32

    def __init__(self, name: str, weights: str, context: MetricContext):
        self.name = name
        self._folders: Mapping[str, str] = context.extra.get("folders", {})
        self._device = context.device
        self.weights = self._needed(REPOSITORY, weights, hub.file(REPOSITORY, weights, self._folders))

    @abstractmethod
    def annotate(self, texts: Sequence[str]) -> list[bytes]:
        """What it makes of each text, without the text's words: cached on disk and read again by `decode`."""

    @abstractmethod
    def decode(self, text: str, stored: bytes) -> Any:
        """The annotation of a text."""

    @property
    def identity(self) -> str:
        """`name-version-weights`: what two annotations of a text must share to be the same."""
        return f"{self.name}-{self.VERSION}-{self.hash}"

    @cached_property
    def hash(self) -> str:
        """Of the weights' file: 12 hexadecimal digits."""
        facts = self.weights.stat()
        return _sha256(self.weights, facts.st_mtime_ns, facts.st_size)[:12]

    @cached_property
    def device(self) -> str:
        """The device asked for, else a GPU where there is one."""
        import torch

        return "cuda" if self._device == "cpu" and torch.cuda.is_available() else self._device

    def _needed(self, hub_id: str, files: str, found: Path | None) -> Path:
        if found is None:
            raise Unavailable(
                f"{self.WHAT} needs {files} of {hub_id}, which is not here: run `bench fetch {self.name}` where there "
                f"is a network, or name a folder that holds it with --model-folder {hub_id}=FOLDER."
            )
        return found

    def _transformer(self, hub_id: str, tensors: Mapping[str, Any]) -> tuple[Any, Any]:
        """The tokenizer of a hub id, and a transformer of its shape with these tensors."""
        import torch
        from transformers import AutoConfig, AutoModel, AutoTokenizer

        folder = self._needed(hub_id, "config.json and the tokenizer", hub.folder(hub_id, self._folders))
        try:
            tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
            config = AutoConfig.from_pretrained(folder, local_files_only=True)
            model = AutoModel.from_config(config, dtype=torch.float32)
            # `position_ids` is a buffer that transformers before 4.31 saved and later ones make themselves.
            model.load_state_dict({key: each for key, each in tensors.items() if not key.endswith("position_ids")})
        except (OSError, ValueError, RuntimeError) as error:
            raise self._broken(error) from error
        return tokenizer, model.eval().to(self.device)

    def _tensors(self, source: Path | IO[bytes]) -> Any:
        """What a file of weights holds. Nothing in it is run."""
        import torch

        try:
            return torch.load(source, map_location="cpu", weights_only=True)
        # torch raises whatever its reader stumbles over in a damaged file: IndexError, EOFError, UnpicklingError …
        except Exception as error:
            raise self._broken(error) from error

    def _broken(self, error: Exception) -> Unavailable:
        said = " ".join(str(error).split())[:300]
        return Unavailable(f"{self.WHAT} cannot be loaded from {self.weights} (damaged, or of another model): {said}")


def below(tensors: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    """Tensors whose names begin with the prefix, without it."""
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def has_words(text: str) -> bool:
    """Whether there is a letter or digit. A text without one states nothing and is not annotated."""
    return any(map(str.isalnum, text))


def distinct(texts: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(text for text in texts if has_words(text)))


@lru_cache(8)
def _sha256(path: Path, modified: int, size: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
