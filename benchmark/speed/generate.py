"""Reports of `vgpt2` in the original's size, beside transformers' `generate` and a loop without a cache."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmark import memory, registry
from benchmark.schema import GenerationSettings, Study, View
from benchmark.speed import measure

MODEL = "vgpt2"
SIZE = 384
PROMPT = "w17"
SAME_BATCH, ONE_IMAGE = "transformers' generate", "transformers' generate, one image at a time"
NO_CACHE = "a loop without a cache, one image at a time"
PEER_PRECISION = "fp32"
BYTES = {"fp32": 4, "bf16": 2, "int8": 1}


def generate(
    scratch: Path,
    *,
    batch_sizes: Sequence[int] = (1, 8, 32),
    precisions: Sequence[str] = ("fp32", "bf16", "int8"),
    tokens: int = 100,
    rounds: int = 3,
    device: str = "cpu",
    decoder: dict[str, Any] | None = None,
) -> list[measure.Row]:
    """A row for each batch size, precision and peer: medians of a report's seconds.

    All write greedily `tokens` tokens a report about the same pictures, with the same random weights. Each run is a
    process of its own, which first writes five tokens that do not count. Ours reads the pictures from their files, the
    peers are given them. One image at a time is measured with batches of 1. `per_core` is the ratio of the seconds that
    cores worked, which other work on the machine disturbs less. `same_texts` is the share of `texts_compared`, which
    are as many as the peer writes, that are the peer's word by word; `different` says how many texts there are. The
    peers compute in `peer_precision`, which is torch's default, whatever ours is. `roofline_s` is the time that the
    operations and the bytes that a step must read (weights, keys and values) would take at the rates that a matrix
    product and a copy reach here, int8's operations at bf16's rate; `of_roofline` is its share of our time. `decoder`
    changes GPT-2's shape. Files lie under `scratch` for the time.
    """
    shape = decoder or {}
    with tempfile.TemporaryDirectory(dir=scratch) as temporary:
        folder = Path(temporary)
        floors = measure.in_fresh_process(_prepare, folder, max(batch_sizes), precisions, tokens, device, shape)[0]
        runs: dict[Any, Callable[[], Any]] = {}
        for size in dict.fromkeys((1, *batch_sizes)):
            plain = partial(measure.in_fresh_process, _theirs, folder, size, tokens, device, shape)
            runs["by_generate", size] = partial(plain, "by_generate")
            if size == 1:
                runs["without_cache", 1] = partial(plain, "without_cache")
            if size in batch_sizes:
                for precision in precisions:
                    ours = (folder, size, tokens, device, precision)
                    runs[precision, size] = partial(measure.in_fresh_process, _ours, *ours)
        found = measure.take_turns(runs, rounds)
    rows = []
    for size in batch_sizes:
        peers = [(SAME_BATCH, ("by_generate", size)), (ONE_IMAGE, ("by_generate", 1)), (NO_CACHE, ("without_cache", 1))]
        for precision in precisions:
            for peer, key in peers[1 if size == 1 else 0 :]:
                rows.append(_row(found, floors, (precision, size), peer, key))
    return rows


def _row(found: Any, floors: Any, ours: Any, peer: str, theirs: Any) -> measure.Row:
    """Each run gave its seconds and texts, and its process's memory."""
    precision, size = ours
    sides = ((ours, size), (theirs, theirs[1]))
    seconds = [[run["seconds"] / n for run, _ in found[key]] for key, n in sides]
    worked = [statistics.median(run["worked"] / n for run, _ in found[key]) for key, n in sides]
    texts, expected = (found[key][0][0]["texts"] for key in (ours, theirs))
    floor = floors[precision][size]
    one = measure.row(f"{MODEL}, {size} at a time, {precision}", peer, *seconds)
    return {
        **one,
        "per_core": round(worked[1] / worked[0], 3),
        "peer_precision": PEER_PRECISION,
        "same_texts": round(float(np.mean([a == b for a, b in zip(texts, expected, strict=False)])), 3),
        "texts_compared": len(expected),
        "different": len(set(texts)),
        "memory_mb": max(memory for _, memory in found[ours]),
        "peer_memory_mb": max(memory for _, memory in found[theirs]),
        "roofline_s": round(floor, 4),
        "of_roofline": round(floor / one["ours_s"], 3),
    }


def _prepare(
    folder: Path, n: int, precisions: Sequence[str], tokens: int, device: str, shape: dict[str, Any]
) -> dict[str, dict[int, float]]:
    """Write weights and pictures; give the floor of a report's seconds by precision and batch size up to `n`."""
    from benchmark.speed import plain_generation

    plain_generation.write_files(folder, shape)
    for i in range(n):
        blocks = np.random.default_rng(i).integers(0, 256, (6, 6), dtype=np.uint8)
        Image.fromarray(blocks).resize((SIZE, SIZE), Image.Resampling.BICUBIC).save(folder / f"{i}.png")
    costs = plain_generation.costs(shape, SIZE)
    bandwidth = measure.bandwidth(device)
    floors: dict[str, dict[int, float]] = {}
    for precision in precisions:
        rate = measure.matrix_rate("fp32" if precision == "fp32" else "bf16", device)
        floors[precision] = {}
        for size in range(1, n + 1):
            read = costs["weights"] * BYTES[precision]
            cached = costs["kept"] * size * (costs["positions"] + tokens / 2) * (2 if precision == "bf16" else 4)
            step = max((read + cached) / bandwidth, 2 * costs["weights"] * size / rate)
            floors[precision][size] = costs["encoding"] / rate + tokens * step / size
    return floors


def _studies(folder: Path, n: int) -> list[Study]:
    return [Study(f"s{i}", f"p{i}", "test", (View(folder / f"{i}.png"),)) for i in range(n)]


def _open(folder: Path, device: str) -> Any:
    return registry.MODELS.load(MODEL).load_released(folder / "weights.pt", device, str(folder))


def _ours(folder: Path, size: int, tokens: int, device: str, precision: str) -> dict[str, Any]:
    memory.keep_freed()
    model = _open(folder, device)

    def write(tokens: int) -> list[str]:
        settings = GenerationSettings(tokens, batch_size=size, precision=precision, prompt=PROMPT)
        reports = model.generate(_studies(folder, size), settings, [0] * size)
        return [report.text for report in reports]

    return _timed(write, tokens)


def _theirs(folder: Path, size: int, tokens: int, device: str, shape: dict[str, Any], way: str) -> dict[str, Any]:
    import torch

    from benchmark.speed import plain_generation

    ours = _open(folder, "cpu")
    pixels = torch.cat([ours.prepare(study) for study in _studies(folder, size)]).to(device)
    tokenizer = ours.tokenizer
    del ours
    plain = plain_generation.read_weights(folder, shape, device)
    prompt = tokenizer(PROMPT, return_tensors="pt").input_ids.expand(size, -1).to(device)

    def write(tokens: int) -> list[str]:
        rows = getattr(plain, way)(pixels, prompt, tokens).tolist()
        rows = [[*prompt[0].tolist(), *row[: row.index(0) if 0 in row else None]] for row in rows]
        return [tokenizer.decode(row) for row in rows]

    return _timed(write, tokens)


def _timed(write: Callable[[int], list[str]], tokens: int) -> dict[str, Any]:
    write(5)
    began, worked = time.perf_counter(), time.process_time()
    texts = write(tokens)
    return {"seconds": time.perf_counter() - began, "worked": time.process_time() - worked, "texts": texts}
