"""A METEOR process that is asked for the statistics of one pair at a time."""

from __future__ import annotations

import contextlib
import re
import subprocess
import tempfile
import weakref
from collections.abc import Sequence
from typing import IO

from benchmark import java
from benchmark.contracts import Unavailable

JAR = "pycocoevalcap/meteor/meteor-1.5.jar"
COLUMNS = 23


class MeteorJar:
    """Starts Java at the first question (it takes some ten seconds to read its tables) and ends with the object.

    One question is written and its answer read before the next, so neither side can wait for the other; what Java says
    on standard error goes to a file. A process that died is started once more and asked again.
    """

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None
        self._said: IO[bytes] | None = None
        self._close: weakref.finalize | None = None

    def statistics(self, hypothesis: str, reference: str) -> Sequence[float]:
        """The jar's 23 counts of a pair. Raises Unavailable where Java is missing or fails twice."""
        question = f"SCORE ||| {_one_line(reference)} ||| {_one_line(hypothesis)}"
        answer = self._ask(question)
        if answer is None:
            self.close()
            answer = self._ask(question)
        if answer is None:
            raise Unavailable(f"METEOR's Java process ended twice at the same report{self._last_words()}.")
        try:
            statistics = [float(number) for number in answer.split()]
        except ValueError:
            raise Unavailable(f"METEOR's Java process answered '{answer[:200]}'.") from None
        if len(statistics) != COLUMNS:
            raise Unavailable(f"METEOR's Java process gave {len(statistics)} numbers, not {COLUMNS}.")
        return statistics

    def close(self) -> None:
        """End the process. The next question starts another."""
        if self._close is not None:
            self._close()
        self._process = None

    def _ask(self, question: str) -> str | None:
        """The answer, or None where the process has died."""
        process = self._process or self._start()
        assert process.stdin is not None and process.stdout is not None
        try:
            process.stdin.write(question + "\n")
            process.stdin.flush()
        except OSError:
            return None
        answer = process.stdout.readline()
        return answer.strip() if answer.endswith("\n") else None

    def _start(self) -> subprocess.Popen[str]:
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 - open as long as the process runs
        self._process = subprocess.Popen(
            _command(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            encoding="utf-8",
            errors="replace",
        )
        self._close = weakref.finalize(self, _end, self._process, self._said)
        return self._process

    def _last_words(self) -> str:
        if self._said is None or self._process is None:
            return ""
        self._process.wait(timeout=10)
        self._said.seek(0)
        lines = self._said.read().decode("utf-8", errors="replace").strip().splitlines()
        return f", saying: {lines[0]}" if lines else ""


_ALIVE: weakref.WeakValueDictionary[tuple[str, ...], MeteorJar] = weakref.WeakValueDictionary()


def shared() -> MeteorJar:
    """The one process of all metrics that live at a time: it is slow to start and takes much memory.

    Raises Unavailable where Java is missing.
    """
    command = tuple(_command())
    jar = _ALIVE.get(command)
    if jar is None:
        jar = _ALIVE[command] = MeteorJar()
    return jar


def _command() -> list[str]:
    return java.command("-Xmx2G", "-jar", java.jar(JAR), "-", "-", "-stdio", "-l", "en", "-norm")


def _one_line(text: str) -> str:
    """`|||` divides the fields of a question and a line's end ends it, so neither can stand in a text."""
    return re.sub(r"[\r\n]", " ", text).replace("|||", "").replace("  ", " ")


def _end(process: subprocess.Popen[str], said: IO[bytes]) -> None:
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout, said):
        if pipe is not None:
            with contextlib.suppress(OSError):  # What was still unsent to a process that had died.
                pipe.close()
