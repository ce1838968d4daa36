"""Retrieval: the training report whose image is the most like the study's, by an encoder's features."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.numpy import load_file
from safetensors.numpy import save_file as save_arrays
from safetensors.torch import load_file as load_weights
from safetensors.torch import save_file

from benchmark import contracts
from benchmark.console import progress
from benchmark.contracts import Dataset, TrainingJob
from benchmark.errors import UserError, unknown
from benchmark.schema import GenerationSettings, Report, Study

from ._checkpoints import finished
from ._data import Pictures, study_pictures
from ._examples import open_images, with_text
from ._history import write_atomically
from ._image_encoder import ENCODING, POOLS, ImageEncoder, make_encoder
from ._pretrained_files import files
from ._retrieval import DISTANCES, Index, choose_search, medoid
from ._text import report_text
from ._vision_gpt2 import first_line
from ._writing import write_reports

KIND = "nearest-report"
CONFIG, REPORTS, ENCODER, FEATURES = "config.json", "reports.json", "encoder.safetensors", "features.safetensors"
PARTS = "parts"
BATCHES_A_PART = 64
_DAMAGED = (OSError, SafetensorError, RuntimeError, KeyError, TypeError, ValueError)


class Model(contracts.Model):
    """What is near is told by features of the whole image: their mean over the positions of the encoder's map (`pool`
    "mean"), their largest values ("max"), or the map itself ("map", which keeps left apart from right).

    With `k` above 1 the report is the medoid of the k nearest, see `_retrieval.medoid`. Decoding settings mean nothing
    here. `encoder`: a timm model, or `checkpoint:` and the name of a model of this benchmark (its newest checkpoint on
    this data set) or a checkpoint's folder.
    """

    NOTE = "retrieval: repeats training reports"
    LICENCE = "MIT; weights of timm's DenseNet-121: Apache-2.0"
    WEIGHTS: ClassVar[Mapping[str, tuple[str, ...]]] = {"imagenet": ("timm/densenet121.ra_in1k",)}
    PRETRAINED: ClassVar[Mapping[str, tuple[str, ...]]] = files(WEIGHTS)
    PRESETS: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "trained": {
            "encoder": "checkpoint:vgpt2",
            "encoder_args": {},
            "encoder_pretrained": True,
            "image_size": 0,
            "keep_aspect": True,
            "views": 1,
            "pool": "mean",
            "k": 5,  # CIDEr 1.03 in place of .89 on the phantom's validation split
            "distance": "cosine",
            "search": "auto",
            "batch_size": 64,
        },
        "imagenet": {
            "encoder": "densenet121",
            "encoder_args": {},
            "encoder_pretrained": True,
            "image_size": 224,
            "keep_aspect": True,
            "views": 1,
            "pool": "mean",
            "k": 1,
            "distance": "cosine",
            "search": "auto",
            "batch_size": 64,
        },
        # What the images' own look gives without anything learned.
        "random": {
            "encoder": "resnet10t",
            "encoder_args": {},
            "encoder_pretrained": False,
            "image_size": 96,
            "keep_aspect": True,
            "views": 1,
            "pool": "mean",
            "k": 1,
            "distance": "cosine",
            "search": "auto",
            "batch_size": 64,
        },
    }

    def __init__(self, encoder: ImageEncoder, index: Index, reports: Sequence[str], config: Mapping[str, Any]):
        self.encoder = encoder
        self.index = index
        self.reports = reports
        self.config = config

    @classmethod
    def default_preset(cls, dataset: Dataset) -> str:
        return "trained" if dataset.SCRATCH else "imagenet"

    @classmethod
    def train(cls, job: TrainingJob) -> None:
        """Write the features and texts of the training reports, the encoder's weights and config.json.

        What is done of the features after a kill is kept. Raises UserError where the encoder is not to be had, an
        option has no such value, or no report or image can be used.
        """
        options = job.options
        if finished(job.output, FEATURES, PARTS):
            job.report(f"{job.output} holds a finished collection.")
            return
        for key, known in (("pool", POOLS), ("distance", DISTANCES)):
            if options[key] not in known:
                raise unknown(key, options[key], known)
        if options["k"] < 1:
            raise UserError(f"k is {options['k']}; at least one report must be looked at.")
        encoder = _start(job)
        encoder.to(job.device)
        examples = with_text(job.train, "train", job)
        read = open_images(job, [e.study for e in examples], encoder.geometry, options["views"])
        job.report(f"Describing the images of {len(examples)} studies by {encoder.config['encoder']}.")
        features, kept = _collect(job, encoder, [e.study for e in examples], read)
        reports = [report_text(examples[i]) for i in kept]
        write_atomically(job.output / REPORTS, json.dumps(reports, ensure_ascii=False))
        _write_arrays(job.output / FEATURES, {"features": features})
        finished(job.output, FEATURES, PARTS)

    @classmethod
    def load(cls, checkpoint: Path, device: str) -> Model:
        """Raises UserError where the folder is another model's or damaged."""
        config, reports = (_read_json(checkpoint, name, kind) for name, kind in ((CONFIG, dict), (REPORTS, list)))
        encoder = _load_encoder(checkpoint, config)
        try:
            features = load_file(checkpoint / FEATURES)["features"]
            if len(reports) != len(features) or not all(isinstance(text, str) for text in reports):
                raise ValueError(f"{REPORTS} does not belong to {FEATURES}")
            if config["k"] < 1:
                raise ValueError(f"k is {config['k']}")
            index = Index(features, config["distance"], choose_search(config["search"], len(features)))
        except _DAMAGED as error:
            raise _damaged(checkpoint, error) from error
        encoder.to(device)
        return cls(encoder, index, reports, config)

    def generate(self, studies: Sequence[Study], settings: GenerationSettings, seeds: Sequence[int]) -> list[Report]:
        """The nearest training report, or the medoid of the k nearest. A view that cannot be read is left out."""

        def write(_: Sequence[int], pictures: Sequence[Pictures]) -> list[Report]:
            nearest = self.index.nearest(self.encoder(pictures), self.config["k"])
            texts = [[self.reports[j] for j in near] for near in nearest]
            return [Report(each[medoid(each)]) for each in texts]

        return write_reports(studies, self.config["views"], self.encoder.geometry.read, write)

    def features(self, studies: Sequence[Study]) -> np.ndarray:
        pictures = [study_pictures(study, self.config["views"], self.encoder.geometry.read) for study in studies]
        found = np.zeros((len(studies), self.index.features.shape[1]), np.float32)
        seen = [i for i, each in enumerate(pictures) if each.images]
        if seen:
            found[seen] = self.encoder([pictures[i] for i in seen])
        return found

    def card(self) -> dict[str, Any]:
        return {
            **{key: value for key, value in self.config.items() if key != "kind"},
            "parameters": sum(weight.numel() for weight in self.encoder.backbone.parameters()),
            "reports": len(self.reports),
            "features": self.index.features.shape[1],
        }


def _start(job: TrainingJob) -> ImageEncoder:
    """The encoder, put down in the folder before anything is described by it: a resumed training takes that one."""
    if (job.output / CONFIG).exists():
        return _load_encoder(job.output, _read_json(job.output, CONFIG, dict))
    torch.manual_seed(job.seed)
    encoder = make_encoder(job)
    save_file(encoder.backbone.state_dict(), job.output / ENCODER)
    options = {key: job.options[key] for key in ("k", "distance")}
    search = choose_search(job.options["search"], len(job.train))
    config = {"kind": KIND, **encoder.config, **options, "search": search}
    write_atomically(job.output / CONFIG, json.dumps(config, indent=1))
    return encoder


def _load_encoder(folder: Path, config: Mapping[str, Any]) -> ImageEncoder:
    if config.get("kind") != KIND:
        raise UserError(f"{folder} is a checkpoint of {config.get('model_type', 'another model')}, not of {KIND}.")
    try:
        return ImageEncoder({key: config[key] for key in ENCODING}, load_weights(folder / ENCODER))
    except _DAMAGED as error:
        raise _damaged(folder, error) from error


def _collect(
    job: TrainingJob, encoder: ImageEncoder, studies: Sequence[Study], read: Callable[[Path], np.ndarray]
) -> tuple[np.ndarray, list[int]]:
    """Features of the studies with an image that can be read, and which these are; says which have none.

    They lie under `parts/`, in pieces that count once they are renamed to their place, until all are there.
    """
    size = job.options["batch_size"]
    pieces: list[Mapping[str, np.ndarray]] = []
    with progress(f"{KIND}: describing images", len(studies)) as advance:
        for begin in range(0, len(studies), size * BATCHES_A_PART):
            end = min(len(studies), begin + size * BATCHES_A_PART)
            part = job.output / PARTS / f"{begin}-{end}.safetensors"
            if not part.exists():
                batches = [range(at, min(end, at + size)) for at in range(begin, end, size)]
                _write_arrays(part, _describe(job, encoder, studies, batches, read))
            pieces.append(load_file(part))
            advance(end - begin)
    features, kept = (np.concatenate([piece[name] for piece in pieces]) for name in ("features", "kept"))
    if not len(kept):
        raise UserError("No image of the training studies can be read.")
    return features, kept.tolist()


def _describe(
    job: TrainingJob,
    encoder: ImageEncoder,
    studies: Sequence[Study],
    batches: Sequence[range],
    read: Callable[[Path], np.ndarray],
) -> dict[str, np.ndarray]:
    features, kept = [np.zeros((0, encoder.width), np.float32)], []
    for batch in batches:
        pictures = {i: study_pictures(studies[i], job.options["views"], read) for i in batch}
        for error in (error for each in pictures.values() for error in each.errors):
            job.report(f"Left out of training: {error}")
        good = [i for i in batch if pictures[i].images]
        if good:
            features.append(encoder([pictures[i] for i in good]))
            kept += good
    return {"features": np.concatenate(features), "kept": np.array(kept, dtype=np.int64)}


def _write_arrays(path: Path, arrays: dict[str, np.ndarray]) -> None:
    path.parent.mkdir(exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    save_arrays(arrays, temporary)
    os.replace(temporary, path)


def _read_json(folder: Path, name: str, kind: type) -> Any:
    try:
        value = json.loads((folder / name).read_text("utf-8"))
    except FileNotFoundError:
        raise UserError(f"{folder} is no checkpoint of {KIND}: it has no {name}.") from None
    except ValueError as error:
        raise _damaged(folder, error) from None
    if not isinstance(value, kind):
        raise _damaged(folder, TypeError(f"{name} holds something else"))
    return value


def _damaged(folder: Path, error: Exception) -> UserError:
    return UserError(
        f"{folder} is damaged, a file is missing or cut short ({first_line(error)}): train {KIND} again with --fresh."
    )
