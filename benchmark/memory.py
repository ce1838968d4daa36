"""What the process does with memory that is no longer used: it keeps it, and does not tidy up before it ends."""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import gc

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4
"""Names and numbers of glibc's `malloc.h`."""


def keep_freed() -> None:
    """Have glibc's allocator keep what is freed; under another one nothing changes.

    By default it gives every array above 32 MB back, and the system clears each page of the next one anew: on two
    cores a quarter of a training step of `vgpt2` in the original's size went into that. The process then keeps its
    largest size to its end, so this is for `bench`, not for a library in somebody else's program.
    """
    with contextlib.suppress(OSError, AttributeError):
        allocator = ctypes.CDLL(None)
        allocator.mallopt(M_MMAP_MAX, 0)
        allocator.mallopt(M_TRIM_THRESHOLD, -1)


_worked = False


def first_work() -> bool:
    """Whether no training and no run came before this one in the process; asked by each as it begins.

    What the process's largest size says is then about this one alone.
    """
    global _worked
    first, _worked = not _worked, True
    return first


def end_at_once() -> None:
    """Have Python look for no garbage while it ends; the end of the process frees the memory all the same.

    Among the half million objects of torch and transformers that search took a second of every command (9.1 s of a
    short training became 8.0).
    """
    atexit.register(gc.freeze)
