"""The command `bench`. Commands are thin; what is heavy is imported inside their bodies."""

from __future__ import annotations

import errno
import sys
from typing import NoReturn

from benchmark import config, memory, processes
from benchmark.cli import compare, data, demo, fetch, info, label, models, plot, protocols, runs, scores, site, speed
from benchmark.cli._app import INTERRUPTED, app
from benchmark.console import say
from benchmark.errors import UserError

__all__ = [
    "app",
    "compare",
    "data",
    "demo",
    "fetch",
    "info",
    "label",
    "main",
    "models",
    "plot",
    "protocols",
    "runs",
    "scores",
    "site",
    "speed",
]


def main() -> None:
    """Entry point of `bench`: a user's mistake ends in one sentence and a status that is not 0."""
    memory.keep_freed()
    memory.end_at_once()
    try:
        app()
    except UserError as error:
        _fail(error)
    except (KeyboardInterrupt, SystemExit) as end:
        # typer turns ctrl-C into an exit with this status, without a word.
        if isinstance(end, SystemExit) and end.code != INTERRUPTED:
            processes.leave(int(end.code or 0))
            raise
        say("\nInterrupted. What was written is kept; run the same command again and it goes on.")
        sys.exit(INTERRUPTED)
    except OSError as error:
        if error.errno == errno.EPIPE:
            sys.exit(141)
        where = f": {error.filename}" if error.filename else ""
        advice = _ADVICE.get(error.errno or 0, "Nothing was written half.")
        advice = advice.format(results=config.results_folder().absolute())
        _fail(UserError(f"{error.strerror or error}{where}. {advice}"))
    except Exception as error:
        if processes.count() == 1:
            raise
        processes.fail(error)


def _fail(error: UserError) -> NoReturn:
    if processes.count() > 1:
        processes.fail(error)
    say(f"Error: {error}")
    sys.exit(1)


_FREE = "Free some space (results go to {results}) and run the same command again; it goes on."
_RIGHT = "Ask for the right to write there, or name another folder with BENCH_RESULTS."
_FILE = "A file stands where a folder should: move it, or name another folder with BENCH_RESULTS."
_ADVICE = {
    errno.ENOSPC: _FREE,
    errno.EDQUOT: f"Your quota is used up. {_FREE}",
    errno.EACCES: _RIGHT,
    errno.EPERM: _RIGHT,
    errno.ENOENT: "Look whether the path is right; for results, BENCH_RESULTS names another folder.",
    errno.ENOTDIR: _FILE,
    errno.EEXIST: _FILE,
    errno.EROFS: "That disk cannot be written to; name another folder with BENCH_RESULTS.",
}
