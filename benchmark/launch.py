"""`--nproc`: this very command in several processes on this machine, through torch's elastic launcher."""

from __future__ import annotations

import os
import sys
import tempfile
from typing import Any

from benchmark import processes
from benchmark.console import say
from benchmark.errors import UserError

COMMAND = "from benchmark.cli import main; main()"
"""What each process runs, with `python -P`, which leaves the working folder off the path: see benchmark/__main__.py."""


def in_processes(nproc: int | None, device: str | None) -> bool:
    """Run the command in `nproc` processes and wait for them. False where the caller is to do the work itself.

    Raises UserError where there are fewer GPUs than processes, torchrun has started another number of them, or one of
    them fails. Ends with the status of one that has said itself what went wrong.
    """
    if processes.count() > 1:
        if nproc not in (None, int(os.environ.get("LOCAL_WORLD_SIZE", nproc or 1))):
            raise UserError(f"--nproc {nproc} does not fit the processes that torchrun has started. Leave it out.")
        return False
    if nproc in (None, 1):
        return False
    if nproc < 1:
        raise UserError("--nproc must be at least 1.")
    _expect_gpus(nproc, device)
    while _run(nproc):
        say("Starting all processes again.")
    return True


def _expect_gpus(nproc: int, device: str | None) -> None:
    import torch

    kind, _, index = (device or "").partition(":")
    if index:
        raise UserError(f"With --nproc each process takes a GPU of its own: --device {kind}, not {device}.")
    if kind == "mps":
        raise UserError("Several processes cannot share one MPS device: leave out --nproc.")
    there = torch.cuda.device_count()
    if kind != "cpu" and torch.cuda.is_available() and there < nproc:
        raise UserError(f"--nproc {nproc} needs {nproc} GPUs, and {there} are here. Give --nproc {there}, or fewer.")


def _run(nproc: int) -> bool:
    """True where another try may mend what went wrong."""
    from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    _hush()
    os.environ[processes.LAUNCHED] = "1"
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // nproc)))
    with tempfile.TemporaryDirectory() as folder:
        config = LaunchConfig(
            min_nodes=1,
            max_nodes=1,
            nproc_per_node=nproc,
            run_id="bench",
            rdzv_backend="c10d",
            rdzv_endpoint="localhost:0",
            local_addr="localhost",
            max_restarts=0,
            logs_specs=DefaultLogsSpecs(log_dir=folder),
        )
        try:
            elastic_launch(config, sys.executable)("-P", "-c", COMMAND, *sys.argv[1:])
        except ChildFailedError as error:
            return _explain(error.failures, nproc)
        except SignalException:
            raise KeyboardInterrupt from None
    return False


def _explain(failures: dict[int, Any], nproc: int) -> bool:
    """Say why the first of the processes failed; True where another try may mend it. Raises UserError, or SystemExit
    with the status of a process that has said it all.

    One that was killed from outside comes before those that then missed it, and these before what they then met.
    """
    reasons = {number: _reason(failure) for number, failure in failures.items()}
    order = ("killed", "again", "user", "status", "bug")
    number, (kind, told) = min(reasons.items(), key=lambda item: (order.index(item[1][0]), failures[item[0]].timestamp))
    if kind == "killed":
        raise UserError(
            f"Process {number} of {nproc} was ended from outside ({told}), perhaps for lack of memory, and the others "
            "with it. What was written is kept: run the same command again and it goes on."
        )
    if kind == "again":
        say(told)
        return True
    if kind == "user":
        raise UserError(told)
    if kind == "bug":
        say(f"Process {number} of {nproc} failed:\n{told}")
    raise SystemExit(failures[number].exitcode)


def _reason(failure: Any) -> tuple[str, str]:
    if failure.exitcode < 0:
        return "killed", failure.signal_name()
    if not isinstance(failure.message, dict):
        return "status", ""
    return failure.message["extraInfo"].get("kind", "bug"), failure.message["message"]


def _hush() -> None:
    """The launcher's own log repeats what is said here in one sentence."""
    import logging

    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)
    logging.getLogger("torch.distributed.launcher").setLevel(logging.CRITICAL)
