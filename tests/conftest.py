"""Settings for the whole suite: no network, one thread a process (the suite itself runs in parallel)."""

import contextlib
import gc
import io
import os
import signal
import sys

import pytest

from benchmark.contracts import Unavailable
from benchmark.metrics import _meteor_jar

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")


@pytest.fixture(scope="session", autouse=True)
def meteor_jar():
    """METEOR's process is that of all tests of a worker, as it is that of all metrics alive: a start takes seconds."""
    try:
        jar = _meteor_jar.shared()
    except Unavailable:
        jar = None
    return jar


@pytest.fixture(scope="module", autouse=True)
def frozen():
    """What the tests before have loaded is not searched for garbage again: that of torch and transformers takes half a
    second, and a training has it searched three times."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def call_bench():
    """Run `bench` in this process with a results folder; gives its status and what it printed."""
    from benchmark import cli

    def call(results, *arguments):
        out, err = io.StringIO(), io.StringIO()
        with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            patch.setattr(sys, "argv", ["bench", *map(str, arguments)])
            patch.setenv("BENCH_RESULTS", str(results))
            try:
                cli.main()
                status = 0
            except SystemExit as end:
                status = end.code or 0
        return status, out.getvalue(), err.getvalue()

    return call


@pytest.fixture
def ctrl_c():
    """Ctrl-C works as at a prompt, also where these tests run behind `&` or nohup, which have it ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)
