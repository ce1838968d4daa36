"""The one exception that reaches a user as a sentence instead of a traceback."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Literal

ImageKind = Literal["missing", "empty", "text", "markup", "unknown", "damaged", "huge", "no_picture", "no_decoder"]
"""What may be wrong with an image file; `no_picture` is a DICOM file's."""
_NEAR = 0.65
"""So alike is a slip of the finger; by chance `device` is as near to `decoder` as 0.62."""


class UserError(Exception):
    """Something the user can put right. The message says what is wrong, where, and what to do."""


class ImageError(UserError):
    """An image file that cannot be used; the message is one sentence that names the file.

    `kind` says the same in a word, for those who say it in another language.
    """

    def __init__(self, message: str, kind: ImageKind = "damaged"):
        super().__init__(message)
        self.kind = kind


class Busy(UserError):
    """Another process is at it."""


class Diverged(UserError):
    """A training whose loss is no longer a number."""


class OutOfMemory(UserError):
    """Memory ran out, and what was left in the checkpoint's folder makes the next try take less."""


def unknown(kind: str, name: str, known: Iterable[str], otherwise: str = "") -> UserError:
    """The error for a name that is not in a registry: offers the near names, or all where none is near.

    `otherwise`: a sentence in place of all of them, where they are many: what lists them.
    """
    names = sorted(set(known))
    near = difflib.get_close_matches(name, names, n=3, cutoff=_NEAR)
    listed = otherwise or f"Known: {', '.join(names) or 'none'}."
    hint = f"Did you mean {' or '.join(near)}?" if near else listed
    return UserError(f"Unknown {kind} '{name}'. {hint}")
