"""A training step of `vgpt2` in the original's size, beside the original's plain loop on the same weights and data."""

from __future__ import annotations

import json
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from benchmark import cache, memory, registry
from benchmark.contracts import Example, TrainingJob
from benchmark.images import Geometry
from benchmark.schema import Reference, Study, View
from benchmark.speed import measure
from benchmark.speed.data import make_films, rename

MODEL, PRESET = "vgpt2", "paper"
VOCABULARY = 50257
LENGTH, SPREAD, LONGEST = 65, 20, 200
"""Mean and deviation of the texts' lengths in tokens. The longest of eight then has about 93."""
FILMS = 8
ORIGINAL, ORIGINAL_CACHED = "the original's loop", "the original's loop, from the cached images"


def train(
    scratch: Path,
    *,
    batch_size: int = 8,
    accumulation: int = 4,
    steps: int = 2,
    rounds: int = 3,
    device: str = "cpu",
    precisions: tuple[str, ...] = ("fp32", "bf16"),
    width: int = 2500,
    height: int = 3000,
    size: int | None = None,
    decoder: Mapping[str, Any] | None = None,
) -> list[measure.Row]:
    """A row for each precision beside either of the original's loops: medians of a step's seconds.

    Every run is a process of its own, takes `steps` optimiser steps after the first, which does not count, and starts
    from the same random weights; the learning rate is 0, so they stay so, and `loss` and `peer_loss` can be compared.
    `roofline_s` is what the operations of the batches as we pad them and the traffic of weights, gradients and moments
    would take at the rates that a matrix product (in the row's precision) and a copy reach here; `of_roofline` is its
    share of our time. `size` changes the images, `decoder` GPT-2's shape. Films, caches and weights lie under `scratch`
    for the time.
    """
    from benchmark.speed import plain_training

    n = batch_size * accumulation * (steps + 1)
    with tempfile.TemporaryDirectory(dir=scratch) as temporary:
        folder = Path(temporary)
        films = make_films(folder, FILMS, width, height)
        files = rename(films, folder / "names", n)
        _write_decoder(folder / "decoder", decoder or {})
        texts = _texts(n)
        ids = [[0, *(int(word[1:]) for word in text.split()), 0] for text in texts]
        size = size or registry.MODELS.load(MODEL).PRESETS[PRESET]["image_size"]
        cached = cache.open_images(folder / "cache", files, Geometry(size, False), _silent)
        task = (folder, files, texts, size, batch_size, accumulation, device)
        # The weights that all runs start from are those that a first one ends with.
        weights = _ours(*task, "fp32", 1)["weights"]
        plain = partial(plain_training.train, folder / "decoder", weights, files, ids)
        more = (size, batch_size, accumulation, device)
        sides: dict[str, Callable[[], Any]] = {
            ORIGINAL: lambda: measure.in_fresh_process(plain, None, *more),
            ORIGINAL_CACHED: lambda: measure.in_fresh_process(plain, cached, *more),
        }
        for precision in precisions:
            sides[precision] = partial(measure.in_fresh_process, _ours, *task, precision, None)
        found = measure.take_turns(sides, rounds)
        floors = measure.in_fresh_process(_floors, folder / "decoder", ids, size, batch_size, device, precisions)[0]
    rows = []
    for precision in precisions:
        floor = max(floors[precision] * accumulation, floors["traffic"] * accumulation + floors["optimiser"])
        for peer in (ORIGINAL, ORIGINAL_CACHED):
            ours, theirs = ([statistics.median(run["seconds"]) for run, _ in found[key]] for key in (precision, peer))
            one = measure.row(f"{MODEL} {PRESET}, a step in {precision}", peer, ours, theirs)
            rows.append(
                one
                | {
                    "studies": batch_size * accumulation,
                    "memory_mb": max(memory for _, memory in found[precision]),
                    "peer_memory_mb": max(memory for _, memory in found[peer]),
                    "loss": round(statistics.median(run["loss"] for run, _ in found[precision]), 3),
                    "peer_loss": round(statistics.median(run["loss"] for run, _ in found[peer]), 3),
                    "roofline_s": round(floor, 4),
                    "of_roofline": round(floor / one["ours_s"], 3),
                }
            )
    return rows


def _ours(
    folder: Path,
    files: list[Path],
    texts: list[str],
    size: int,
    batch_size: int,
    accumulation: int,
    device: str,
    precision: str,
    limit: int | None,
) -> dict[str, Any]:
    """Train for one epoch of the studies, or the first `limit`. Gives the seconds of each step but the first, the mean
    loss, and the file with the weights.
    """
    memory.keep_freed()
    plugin = registry.MODELS.load(MODEL)
    output = Path(tempfile.mkdtemp(dir=folder))
    ends: list[float] = []
    examples = [
        Example(Study(f"s{i}", f"p{i}", "train", (View(file),)), Reference(f"s{i}", f"p{i}", text, ""))
        for i, (file, text) in enumerate(zip(files, texts, strict=True))
    ][:limit]
    options = {
        **plugin.DEFAULTS,
        **plugin.PRESETS[PRESET],
        "encoder_pretrained": False,
        "image_size": size,
        "decoder": str(folder / "decoder"),
        "batch_size": batch_size,
        "accumulation": accumulation,
        "epochs": 1,
        "learning_rate": 0.0,
        "workers": 2 if limit is None else 0,
        "precision": precision,
    }
    plugin.train(
        TrainingJob(
            train=examples,
            validation=examples[:1],
            second_readings={},
            preset=PRESET,
            options=options,
            seed=0,
            device=device,
            output=output,
            tokenize=lambda texts: [text.split() for text in texts],
            report=_silent,
            on_step=lambda step: ends.append(time.perf_counter()),
            images=lambda paths, geometry: cache.open_images(folder / "cache", files, geometry, _silent),
        )
    )
    header, values = (output / "history.csv").read_text().splitlines()
    loss = float(dict(zip(header.split(","), values.split(","), strict=True))["train_loss"])
    seconds = [after - before for before, after in zip(ends, ends[1:], strict=False)]
    return {"seconds": seconds, "loss": loss, "weights": output / "model.safetensors"}


def _write_decoder(folder: Path, shape: Mapping[str, Any]) -> None:
    """GPT-2 with random weights and a tokenizer of as many words as GPT-2 has tokens: `w17` is token 17."""
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel
    from transformers.utils import logging

    torch.manual_seed(0)
    vocabulary = shape.get("vocab_size", VOCABULARY)
    ends = {"bos_token_id": 0, "eos_token_id": 0}
    gpt2 = GPT2LMHeadModel(GPT2Config(**{**shape, "vocab_size": vocabulary, **ends}))
    logging.disable_progress_bar()
    gpt2.save_pretrained(folder)
    logging.enable_progress_bar()
    end = "<|endoftext|>"
    words = {end: 0} | {f"w{i}": i for i in range(1, vocabulary)}
    special = {"id": 0, "content": end, "special": True, "single_word": False, "lstrip": False, "rstrip": False}
    tokenizer = {
        **dict.fromkeys(("truncation", "padding", "normalizer", "post_processor", "decoder")),
        "version": "1.0",
        "pre_tokenizer": {"type": "WhitespaceSplit"},
        "added_tokens": [{**special, "normalized": False}],
        "model": {"type": "WordLevel", "vocab": words, "unk_token": end},
    }
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    about = {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": end, "eos_token": end}
    (folder / "tokenizer_config.json").write_text(json.dumps(about))


def _texts(n: int) -> list[str]:
    draw = random.Random(0)
    lengths = [min(max(round(draw.gauss(LENGTH, SPREAD)), 10), LONGEST) for _ in range(n)]
    return [" ".join(f"w{draw.randrange(1, 1000)}" for _ in range(length)) for length in lengths]


def _floors(
    decoder: Path, ids: list[list[int]], size: int, batch_size: int, device: str, precisions: tuple[str, ...]
) -> dict[str, float]:
    """Seconds that a batch's operations take at least, by precision; that its `traffic` of weights does (read forward
    and backward, gradients added to); and the `optimiser`'s (AdamW reads four numbers a weight and writes three).
    """
    from benchmark.speed import plain_training

    flops, weights = plain_training.operations(decoder, ids, size, batch_size)
    rate = {precision: measure.matrix_rate(precision, device) for precision in precisions}
    bandwidth = measure.bandwidth(device)
    traffic = {"traffic": 4 * 4 * weights / bandwidth, "optimiser": 7 * 4 * weights / bandwidth}
    return {precision: flops / rate[precision] for precision in precisions} | traffic


def _silent(line: str) -> None:
    """Nothing is said between the rounds."""
