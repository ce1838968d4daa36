"""Weights as a model's authors released them, made a checkpoint of this benchmark."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from benchmark import provenance
from benchmark.console import say
from benchmark.contracts import Model
from benchmark.errors import UserError
from benchmark.store import exclusive, write_json
from benchmark.train import Checkpoint, open_checkpoint

CARD = "card.json"


def adopt(plugin: type[Model], name: str, source: Path, results: Path, words: str = "") -> Checkpoint:
    """The checkpoint folder of a file of released weights, made at first use.

    From then on it is a checkpoint like any other: safe to load, with the words it needs beside it, known by its hash.
    `words` as in `Model.load_released`, whose UserErrors are raised; so is one for a file of such a folder.
    """
    if (source.parent / CARD).exists():
        raise UserError(f"{source} is a file of a checkpoint of this benchmark: name its folder, {source.parent}.")
    released = {"file": provenance.file_hash(source), "words": words}
    folder = results / "checkpoints" / name / f"released-{provenance.digest(released)[:12]}"
    if not (folder / CARD).exists():
        model = plugin.load_released(source, "cpu", words)
        with exclusive(folder, "reading released weights"):
            model.save_checkpoint(folder)
            card = {
                "model": name,
                "preset": "released",
                "options": {},
                "seed": 0,
                "dataset": {"name": "unknown", "version": "", "licence": ""},
                "fingerprint": {},
                "n": {},
                "released": {**released, "name": source.name},
                "hash": provenance.checkpoint_hash(folder),
                "date": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            }
            write_json(folder / "card.json", card)
            say(f"{source.name} is now the checkpoint {folder}.")
            if plugin.DECODINGS:
                say(f"It writes as its authors have it with --decoding {' or '.join(plugin.DECODINGS)}.")
    return open_checkpoint(folder, name)
