"""Files of the Hugging Face hub: where they are here, and getting them. Only `download` asks the network."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmark.errors import UserError

TOKENIZER = ("config.json", "tokenizer*", "vocab*", "merges.txt", "special_tokens_map.json")
"""Patterns of what a tokenizer and a model's shape are read from."""


def cache() -> Path:
    """The folder into which the hub's files are downloaded; HF_HOME and HF_HUB_CACHE move it."""
    home = os.environ.get("HF_HOME") or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "huggingface"
    return Path(os.environ.get("HF_HUB_CACHE") or Path(home) / "hub").expanduser()


def file(hub_id: str, name: str, folders: Mapping[str, str | Path]) -> Path | None:
    """A file of a repository: in the folder that `folders` gives for it, else in the cache; None where it is not."""
    from huggingface_hub import try_to_load_from_cache

    if hub_id in folders:
        given = Path(folders[hub_id]) / name
        return given if given.is_file() else None
    found = try_to_load_from_cache(hub_id, name, cache_dir=cache())
    return Path(found) if isinstance(found, str) else None


def folder(hub_id: str, folders: Mapping[str, str | Path]) -> Path | None:
    """The folder that holds a repository's `config.json`; None where it is not here."""
    found = file(hub_id, "config.json", folders)
    return found.parent if found else None


def download(hub_id: str, patterns: Sequence[str]) -> Path:
    """Get what fits the patterns into the cache; its folder there. Raises UserError where that fails."""
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(hub_id, allow_patterns=list(patterns), cache_dir=cache()))
    except (OSError, ValueError) as error:
        said = str(error).strip().partition("\n")[0]
        raise UserError(
            f"{hub_id} could not be downloaded ({said}). Run this on a machine with a network, copy the hub's cache "
            f"({cache()}) here, or name its folder here with HF_HOME."
        ) from None
