"""Which studies are in which batch: a function of seed and epoch, whatever the number of processes.

A step sees the same studies however they are shared: each forward pass of each process takes an equal part of them. So
one process and several take the same steps, but for batch statistics.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch.utils.data

from benchmark.errors import UserError

from ._vision_gpt2 import IGNORED

BUCKET = 50
"""Batches among which texts of like length are put together."""


@dataclass(frozen=True)
class BatchPlan:
    """How the studies of one optimiser step are shared."""

    micro: int
    """Studies in one forward pass of one process, at most."""
    accumulation: int
    """Forward passes of each process in a step."""
    processes: int

    @property
    def studies(self) -> int:
        """In a step."""
        return self.micro * self.accumulation * self.processes

    @classmethod
    def of(cls, batch_size: int, accumulation: int, processes: int, halvings: int = 0) -> BatchPlan:
        """Steps of `batch_size` × `accumulation` studies, whatever the processes, and so often halved batches.

        Raises UserError where that number cannot be shared equally.
        """
        studies = batch_size * accumulation
        share, rest = divmod(studies, processes)
        if rest or not share:
            raise UserError(
                f"A step sees batch_size × accumulation = {studies} studies, which {processes} processes cannot share "
                f"equally. Use --set batch_size=… or --set accumulation=… for a multiple of {processes}."
            )
        largest = max(1, min(batch_size, share) >> halvings)
        micro = max(size for size in range(1, largest + 1) if share % size == 0)
        return cls(micro, share // micro, processes)

    def split(self, studies: Sequence[int], process: int) -> Iterator[list[int]]:
        """The batches of one process in an epoch. Empty ones stand where there are fewer studies than processes."""
        for begin in range(0, len(studies), self.studies):
            step = studies[begin : begin + self.studies]
            passes = -(-len(step) // (self.micro * self.processes))
            parts = passes * self.processes
            for k in range(process, parts, self.processes):
                yield list(step[k * len(step) // parts : (k + 1) * len(step) // parts])

    def passes(self, n: int) -> int:
        """How many batches `split` gives of n studies."""
        steps, rest = divmod(n, self.studies)
        return steps * self.accumulation + -(-rest // (self.micro * self.processes))


class Index(NamedTuple):
    """What a data set is asked for."""

    epoch: int
    position: int


class Filler(Index):
    """A study that keeps a process busy that has none of its own: it counts for nothing."""


class EpochBatches(torch.utils.data.Sampler):
    """One process's batches of the epoch that `epoch` says, as lists of `Index`."""

    def __init__(self, order: Callable[[int], Sequence[int]], n: int, plan: BatchPlan, process: int):
        """`order` gives all n positions of an epoch."""
        self.order = order
        self.n = n
        self.plan = plan
        self.process = process
        self.epoch = 0

    def __len__(self) -> int:
        return self.plan.passes(self.n)

    def __iter__(self) -> Iterator[list[Index]]:
        order = self.order(self.epoch)
        for batch in self.plan.split(order, self.process):
            yield [Index(self.epoch, position) for position in batch] or [Filler(self.epoch, order[0])]


def shuffled(n: int, seed: int) -> Callable[[int], list[int]]:
    """All positions in an order that depends on seed and epoch alone."""

    def order(epoch: int) -> list[int]:
        positions = list(range(n))
        random.Random(f"{seed}:{epoch}").shuffle(positions)
        return positions

    return order


def bucketed(lengths: Sequence[int], size: int, seed: int) -> Callable[[int], list[int]]:
    """Shuffled, but with texts of like length within each `size` studies, which saves padding.

    Long reports are those of the ill, so a batch of them shifts the encoder's batch statistics: for encoders that have
    none, or frozen ones.
    """

    def order(epoch: int) -> list[int]:
        positions = shuffled(len(lengths), seed)(epoch)
        draw = random.Random(f"{seed}:{epoch}:buckets")
        found: list[int] = []
        for begin in range(0, len(positions), size * BUCKET):
            alike = sorted(positions[begin : begin + size * BUCKET], key=lambda position: lengths[position])
            batches = [alike[k : k + size] for k in range(0, len(alike), size)]
            draw.shuffle(batches)
            # The one that is not full stays last, so that the others begin where batches begin.
            batches.sort(key=len, reverse=True)
            found += [position for batch in batches for position in batch]
        return found

    return order


def by_length(lengths: Sequence[int]) -> Callable[[int], list[int]]:
    """The longest first, in every epoch: for validation, where a batch changes nothing but the padding."""
    order = sorted(range(len(lengths)), key=lambda position: -lengths[position])
    return lambda epoch: order


@dataclass(frozen=True)
class CountingCollate:
    """A collate function that says, under `counts`, whether a batch is one of studies of its own that have an image."""

    collate: Callable[[Sequence[dict[str, Any]]], dict[str, Any]]

    def __call__(self, samples: Sequence[tuple[bool, dict[str, Any]]]) -> dict[str, Any]:
        counts = any(counts and sample["images"] for counts, sample in samples)
        batch = self.collate([sample for _, sample in samples])
        if not counts:
            batch["labels"] = torch.full_like(batch["labels"], IGNORED)
        return {**batch, "counts": float(counts)}


@dataclass(frozen=True)
class CountingDataset(torch.utils.data.Dataset):
    """A data set whose samples come with whether they count, for `CountingCollate`."""

    dataset: Any

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: Index) -> tuple[bool, dict[str, Any]]:
        return not isinstance(index, Filler), self.dataset[tuple(index)]
