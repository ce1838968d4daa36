"""Checkpoints on Hugging Face's hub, in its cache or in a folder: where they lie, which they are, what they allow."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import yaml
from huggingface_hub import metadata_load, snapshot_download
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from benchmark.errors import UserError

from ._vision_gpt2 import first_line

SMALL_FILES = ["*.json", "*.jinja", "*.model", "*.txt"]
CARD = "README.md"
WEIGHTS = ["*.safetensors"]
PICKLED_WEIGHTS = ["pytorch_model*.bin"]
"""Fetched only where there are no others; transformers reads them with `weights_only=True`."""
CODE = ["*.py"]
NOT_FOR_TRANSFORMERS = ["original/*", "consolidated*", "onnx/*", "openvino/*"]


@dataclass(frozen=True)
class Source:
    """A checkpoint whose files are here."""

    hub_id: str
    """As on the hub; of a folder its absolute path."""
    revision: str
    """The commit; of a folder `sha256:` and a hash over its files."""
    folder: Path
    licence: str
    """As its model card states it; empty where there is none."""

    @property
    def name(self) -> str:
        """For people and records: the hub id, or the folder's own name."""
        return self.folder.name if self.revision.startswith("sha256:") else self.hub_id


def fetch(hub_id: str, revision: str) -> Source:
    """A checkpoint's files, downloaded where they are not here yet. `revision`: branch, tag or commit, or what `Source`
    says of a folder; empty takes the newest. Code of its own is among them, to be read.

    Raises UserError, always one sentence, for an id that is not there or needs a token, without a network, and for a
    folder that has changed.
    """
    if not hub_id:
        raise UserError(
            "Which checkpoint? Name a hub id or a folder, e.g. --set hub_id=google/medgemma-4b-it "
            "(and --set revision=… for one that is not the newest)."
        )
    folder = Path(hub_id).expanduser()
    if folder.is_dir():
        return _of_folder(folder.absolute(), revision)
    if hub_id.startswith(("/", ".", "~")) or hub_id.count("/") > 1:
        raise UserError(f"No such folder: {hub_id}.")
    found = _download(hub_id, revision, [*SMALL_FILES, CARD, *WEIGHTS, *CODE])
    if not list(found.glob("*.safetensors")):
        _download(hub_id, found.name, PICKLED_WEIGHTS)
    return Source(hub_id, found.name, found, _licence(found))


def _download(hub_id: str, revision: str, patterns: list[str]) -> Path:
    try:
        return Path(
            snapshot_download(
                hub_id, revision=revision or None, allow_patterns=patterns, ignore_patterns=NOT_FOR_TRANSFORMERS
            )
        )
    except GatedRepoError:
        raise UserError(
            f"{hub_id} needs a token: accept its terms on https://huggingface.co/{hub_id}, make a token in your "
            "account's settings, and run `hf auth login` (or set HF_TOKEN)."
        ) from None
    except RevisionNotFoundError:
        raise UserError(f"{hub_id} has no branch, tag or commit '{revision}'.") from None
    except RepositoryNotFoundError:
        raise UserError(
            f"The hub has no model '{hub_id}', or it is private: check the spelling, or run `hf auth login` with an "
            "account that may read it."
        ) from None
    except HFValidationError:
        raise UserError(f"'{hub_id}' is neither a hub id, like google/medgemma-4b-it, nor a folder.") from None
    except (LocalEntryNotFoundError, OfflineModeIsEnabled) as error:
        if isinstance(error.__cause__, HfHubHTTPError):
            raise _refused(hub_id, error.__cause__) from None
        raise UserError(
            f"{hub_id} is not on this machine and the hub cannot be reached: run `hf download {hub_id}` on a machine "
            "with a network, copy its cache folder here, and set HF_HOME to it and HF_HUB_OFFLINE=1."
        ) from None
    except HfHubHTTPError as error:
        raise _refused(hub_id, error) from None


def _refused(hub_id: str, error: Exception) -> UserError:
    return UserError(f"The hub would not give {hub_id}: {first_line(error)}")


def _of_folder(folder: Path, revision: str) -> Source:
    suffixes = {Path(pattern).suffix for pattern in [*SMALL_FILES, *WEIGHTS, *PICKLED_WEIGHTS, *CODE]}
    total = hashlib.sha256()
    for path in sorted(path for path in folder.iterdir() if path.suffix in suffixes):
        with path.open("rb") as file:
            total.update(f"{path.name}\n{hashlib.file_digest(file, 'sha256').hexdigest()}\n".encode())
    found = f"sha256:{total.hexdigest()}"
    if revision and not revision.startswith("sha256:"):
        raise UserError(f"{folder} is a folder, which has no revision '{revision}': leave it out.")
    if revision not in ("", found):
        raise UserError(
            f"The files in {folder} are not those that this checkpoint was made from. Put them back, or make it anew "
            "with --fresh."
        )
    return Source(str(folder), found, folder, _licence(folder))


def _licence(folder: Path) -> str:
    card = folder / CARD
    try:
        metadata = metadata_load(card) or {} if card.exists() else {}
    except (ValueError, yaml.YAMLError):  # a card whose head is no YAML states nothing
        return ""
    licence = str(metadata.get("license") or "")
    # `other` is followed by its name.
    return str(metadata.get("license_name") or licence) if licence == "other" else licence
