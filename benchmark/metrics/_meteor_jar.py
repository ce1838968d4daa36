"""A METEOR process that is asked for the statistics of many pairs."""

from __future__ import annotations

import contextlib
import re
import subprocess
import tempfile
import threading
import weakref
from collections.abc import Sequence
from itertools import islice
from typing import IO

import numpy as np

from benchmark import java
from benchmark.contracts import Unavailable

JAR = "pycocoevalcap/meteor/meteor-1.5.jar"
COLUMNS = 23


class MeteorJar:
    """Starts Java at the first question, or when `start` is called, and ends with the object.

    A thread of its own writes questions while answers are read, so Java never waits for us, and neither side waits for
    the other for ever. What Java says on standard error goes to a file.
    """

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None
        self._said: IO[bytes] | None = None
        self._close: weakref.finalize | None = None

    def statistics(self, pairs: Sequence[tuple[str, str]]) -> np.ndarray:
        """The jar's 23 counts of each pair (hypothesis, reference), shape (pairs, 23), in order.

        Where the process dies, another is asked what has no answer yet. Raises Unavailable where Java is missing, dies
        twice at the same pair, or gives no statistics.
        """
        questions = [f"SCORE ||| {_one_line(reference)} ||| {_one_line(hypothesis)}" for hypothesis, reference in pairs]
        answers: list[str] = []
        died_at = -1
        while len(answers) < len(questions):
            answers += self._ask(questions[len(answers) :])
            if len(answers) < len(questions):
                last_words = self._end()
                if len(answers) == died_at:
                    raise Unavailable(f"METEOR's Java process ended twice at the same report{last_words}.")
                died_at = len(answers)
        return np.array([_statistics(answer) for answer in answers]).reshape(-1, COLUMNS)

    def start(self) -> subprocess.Popen[str]:
        """The process, started where there is none, without waiting until it has read its tables (some seconds).

        Raises Unavailable where Java is missing.
        """
        if self._process is None:
            self._said = tempfile.TemporaryFile()  # noqa: SIM115 - open as long as the process runs
            self._process = subprocess.Popen(
                _command(),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._said,
                encoding="utf-8",
                errors="replace",
            )
            self._close = weakref.finalize(self, _close, self._process, self._said)
        return self._process

    def _ask(self, questions: Sequence[str]) -> list[str]:
        """Answers in order: fewer than questions where the process died."""
        process = self.start()
        assert process.stdin is not None and process.stdout is not None
        writer = threading.Thread(target=_write, args=(process.stdin, questions), daemon=True)
        writer.start()
        try:
            answers = [answer for answer in islice(process.stdout, len(questions)) if answer.endswith("\n")]
        except BaseException:
            self._end()  # Answers that nobody has read would be taken for those of the next questions.
            raise
        finally:
            writer.join()
        return answers

    def _end(self) -> str:
        """End the process, so that the next question starts another. Its first line on standard error, in words."""
        if self._process is None or self._said is None or self._close is None:
            return ""
        self._process.kill()
        self._process.wait()
        self._said.seek(0)
        lines = self._said.read().decode("utf-8", errors="replace").strip().splitlines()
        self._close()
        self._process = None
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


def _write(stream: IO[str], questions: Sequence[str]) -> None:
    with contextlib.suppress(OSError):  # The process has died, which the reader of its answers sees.
        stream.writelines(f"{question}\n" for question in questions)
        stream.flush()


def _statistics(answer: str) -> list[float]:
    try:
        statistics = [float(number) for number in answer.split()]
    except ValueError:
        raise Unavailable(f"METEOR's Java process answered '{answer.strip()[:200]}'.") from None
    if len(statistics) != COLUMNS:
        raise Unavailable(f"METEOR's Java process gave {len(statistics)} numbers, not {COLUMNS}.")
    return statistics


def _close(process: subprocess.Popen[str], said: IO[bytes]) -> None:
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout, said):
        if pipe is not None:
            with contextlib.suppress(OSError):  # What was still unsent to a process that had died.
                pipe.close()
