"""The processes that work on one thing together: torchrun's, or those that `--nproc` starts (`benchmark.launch`).

Without them everything here is as for one process. torch is imported where a group is needed.
"""

from __future__ import annotations

import functools
import json
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from benchmark.errors import OutOfMemory, UserError

T = TypeVar("T")

LAUNCHED = "BENCH_LAUNCHED"
"""Environment variable that `benchmark.launch` sets for the processes it starts."""
PATIENCE_DAYS = 7
"""How long a process waits for the others, for instance while the first makes the image cache. Where one of them ends,
the launcher ends the rest at once."""


def count() -> int:
    """How many work together, on all machines."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def rank() -> int:
    """Which of them this is, from 0."""
    return int(os.environ.get("RANK", "0"))


def local_rank() -> int:
    """Which of those on this machine this is, from 0."""
    return int(os.environ.get("LOCAL_RANK", "0"))


def first() -> bool:
    """Whether this is the process that prints, and writes what there is one of."""
    return rank() == 0


def by_first(work: Callable[[], T]) -> T:
    """What `work` gives in the first process; the others wait for it and are given a copy. So with a UserError."""
    if count() == 1:
        return work()
    box: list[Any] = [None, None]
    if first():
        try:
            box[0] = work()
        except UserError as error:
            box[1] = error
    _group().broadcast_object_list(box, src=0)
    if box[1] is not None:
        raise box[1]
    return box[0]


def first_before_others(work: Callable[[], T]) -> T:
    """What `work` gives in every process, the first being done with it before the others begin."""
    if not first():
        wait()
    result = work()
    if first():
        wait()
    return result


def gathered(value: T) -> list[T]:
    """The value of every process, in order."""
    if count() == 1:
        return [value]
    values: list[Any] = [None] * count()
    _group().all_gather_object(values, value)
    return values


def summed(values: Sequence[float]) -> list[float]:
    """The sums over all processes of numbers (double precision)."""
    if count() == 1:
        return list(values)
    import torch

    sums = torch.tensor(values, dtype=torch.float64)
    _group().all_reduce(sums)
    return sums.tolist()


def wait() -> None:
    """Until every process is here."""
    gathered(None)


@functools.cache
def _group() -> Any:
    """torch.distributed, with the group of all processes: gloo on processors, and NCCL besides where there are GPUs."""
    from datetime import timedelta

    import torch
    import torch.distributed as dist

    if LAUNCHED in os.environ:
        threading.Thread(target=_end_with_parent, args=(os.getppid(),), daemon=True).start()
    if not dist.is_initialized():
        backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
        dist.init_process_group(backend, timeout=timedelta(days=PATIENCE_DAYS))
    return dist


def _end_with_parent(parent: int) -> None:
    """A launcher that is killed takes nobody along: without this its processes would work on unseen."""
    while os.getppid() == parent:
        time.sleep(1.0)
    os._exit(1)


def fail(error: Exception) -> NoReturn:
    """Tell the launcher why this process fails, and end at once: the others may be waiting in the same group.

    `benchmark.launch` tells the user. torchrun prints it among much else, so there the first process says it too.
    `kind` is `again` for what another try may mend, `user` for a sentence, `bug` for a traceback.
    """
    kind = "again" if isinstance(error, OutOfMemory) else "user" if isinstance(error, UserError) else "bug"
    told = "".join(traceback.format_exception(error)) if kind == "bug" else str(error)
    if file := os.environ.get("TORCHELASTIC_ERROR_FILE"):
        more = {"py_callstack": told, "timestamp": str(int(time.time())), "kind": kind}
        Path(file).write_text(json.dumps({"message": {"message": told, "extraInfo": more}}), "utf-8")
    if LAUNCHED not in os.environ and first():
        print(f"Error: {told}", file=sys.stderr)
    _end(1)


def leave(status: int) -> None:
    """End a process whose work is done together with the others of its group; nothing where there is no group.

    Not through the interpreter's own end: a thread of the group that then still asks for the interpreter's lock is
    broken off inside C++, and the process aborts after all its work.
    """
    if count() > 1 and _group.cache_info().currsize:
        wait()
        _end(status)


def _end(status: int) -> NoReturn:
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
