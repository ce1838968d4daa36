"""Ctrl-C during a training."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any, NoReturn

from transformers import TrainerCallback


class Interruption(TrainerCallback):
    """Ends the training at ctrl-C, at the latest where a step ends. Use as a context manager.

    Python raises KeyboardInterrupt wherever it happens to be. In a destructor it is dropped, and a library that writes
    a file may turn it into an error of its own: the training would go on, or end as if it had failed.
    """

    def __init__(self) -> None:
        self.asked = False
        self.before: Any = None

    def __enter__(self) -> Interruption:
        # Only the main thread may have a handler. Another's (a shell ignores ctrl-C for a job behind nohup) is kept.
        default = signal.getsignal(signal.SIGINT) is signal.default_int_handler
        if default and threading.current_thread() is threading.main_thread():
            self.before = signal.signal(signal.SIGINT, self.ask)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if self.before is not None:
            signal.signal(signal.SIGINT, self.before)
        if self.asked and kind is not KeyboardInterrupt:
            raise KeyboardInterrupt from error

    def ask(self, number: int, frame: FrameType | None) -> NoReturn:
        self.asked = True
        raise KeyboardInterrupt

    def _end(self, *_: Any, **__: Any) -> None:
        if self.asked:
            raise KeyboardInterrupt

    on_step_end = on_prediction_step = _end
