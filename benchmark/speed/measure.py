"""What all speed runs share: sides that take turns, medians and ratios, and the file that holds them."""

from __future__ import annotations

import csv
import io
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from multiprocessing import get_context, set_start_method
from pathlib import Path
from typing import Any, TypeVar

from benchmark import provenance, store

T = TypeVar("T")
Row = dict[str, Any]


def take_turns(sides: Mapping[str, Callable[[], T]], rounds: int) -> dict[str, list[T]]:
    """What each side gave, by round. Every side runs once a round, so that other work on the machine disturbs all."""
    found: dict[str, list[T]] = {name: [] for name in sides}
    for _ in range(rounds):
        for name, side in sides.items():
            found[name].append(side())
    return found


def in_fresh_process(work: Callable[..., T], *arguments: Any) -> tuple[T, float]:
    """What `work` gives in a process of its own, where nothing of an earlier run is left, and that one's peak memory.

    `work` stands at the head of a module, and it takes the time itself (without its imports). The memory, in MB, is
    the largest resident size of the process without its children.
    """
    with ProcessPoolExecutor(1, get_context("spawn"), _start_as_usual) as pool:
        return pool.submit(work, *arguments).result(), pool.submit(provenance.peak_memory_mb).result()


def _start_as_usual() -> None:
    """A spawned process would spawn its loaders' workers too; in a user's own they start as the platform has it."""
    set_start_method(None, force=True)


def row(name: str, peer: str, ours: Sequence[float], theirs: Sequence[float], **more: Any) -> Row:
    """One comparison from seconds by round: medians, and how many times sooner `name` is done than `peer`."""
    ours_s, peer_s = statistics.median(ours), statistics.median(theirs)
    ratio = round(peer_s / ours_s, 3)
    return {"name": name, "peer": peer, "ours_s": ours_s, "peer_s": peer_s, "ratio": ratio, "rounds": len(ours), **more}


def write(results: Path, what: str, rows: Sequence[Row]) -> Path:
    """Put the rows into `results`/speed/`what`.csv, with hardware and date; a machine's earlier rows make room.

    Rows of other machines stay. Returns the file's path.
    """
    path, here = results / "speed" / f"{what}.csv", machine()
    kept: list[Row] = []
    if path.exists():
        with path.open(newline="", encoding="utf-8") as file:
            kept = [old for old in csv.DictReader(file) if old["hardware"] != here]
    date = datetime.now(UTC).strftime("%Y-%m-%d")
    lines = [*kept, *({"hardware": here, **each, "date": date} for each in rows)]
    out = io.StringIO()
    writer = csv.DictWriter(out, list(dict.fromkeys(key for line in reversed(lines) for key in line)))
    writer.writeheader()
    writer.writerows(lines)
    store.write_text(path, out.getvalue())
    return path


def machine() -> str:
    """The hardware's name: processor and cores, and the GPU where torch is loaded and sees one."""
    facts = provenance.hardware()
    return ", ".join([facts["processor"], f"{facts['cores']} cores", *filter(None, [facts.get("gpu")])])


def matrix_rate(precision: str, device: str, side: int = 2048, rounds: int = 5) -> float:
    """Operations a second that a large matrix product reaches, at best of the rounds."""
    import torch

    kinds = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
    a = torch.randn(side, side, device=device).to(kinds[precision])
    return 2 * side**3 / min(_seconds(lambda: a @ a, device) for _ in range(rounds))


def bandwidth(device: str, rounds: int = 5) -> float:
    """Bytes a second that a copy reads and writes, at best of the rounds; 256 MB, more than caches hold."""
    import torch

    source = torch.ones(2**26, device=device)
    target = torch.empty_like(source)
    return 2 * 4 * 2**26 / min(_seconds(lambda: target.copy_(source), device) for _ in range(rounds))


def _seconds(work: Callable[[], Any], device: str) -> float:
    import torch

    began = time.perf_counter()
    work()
    if device != "cpu":
        torch.cuda.synchronize()
    return time.perf_counter() - began
