"""Texts annotated once: what an annotator made of a text is kept on disk, under hashes of both.

One SQLite file for each annotator and weights, under `results/cache/annotations`; it holds no text. A killed process
loses the batch it was at; several at once wait for one another.
"""

from __future__ import annotations

import contextlib
import hashlib
import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from benchmark import config
from benchmark.annotators._base import Annotator, distinct
from benchmark.console import progress
from benchmark.contracts import Unavailable

WAIT_SECONDS = 120.0
"""For another process that writes."""


def annotate_once(annotator: Annotator, texts: Iterable[str]) -> dict[str, Any]:
    """By text, of all that hold a letter or digit. Those that the cache lacks are annotated now, in batches.

    Raises Unavailable where the annotator is, or the cache cannot be read or written.
    """
    wanted = {text: _key(text) for text in distinct(texts)}
    path = config.results_folder() / "cache" / "annotations" / f"{annotator.identity}.sqlite"
    with _opened(path) as cache:
        stored = {text: row for text, key in wanted.items() if (row := _get(cache, key)) is not None}
        # Texts of one length together, so that little is padded.
        missing = sorted(wanted.keys() - stored.keys(), key=lambda text: (len(text), text))
        if missing:
            with progress(annotator.WHAT, len(wanted), len(stored)) as advance:
                for start in range(0, len(missing), annotator.BATCH):
                    batch = missing[start : start + annotator.BATCH]
                    made = dict(zip(batch, annotator.annotate(batch), strict=True))
                    with cache:
                        rows = [(wanted[text], value) for text, value in made.items()]
                        cache.executemany("INSERT OR REPLACE INTO annotations VALUES (?, ?)", rows)
                    stored |= made
                    advance(len(batch))
    return {text: annotator.decode(text, stored[text]) for text in wanted}


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[sqlite3.Connection]:
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with contextlib.closing(sqlite3.connect(path, timeout=WAIT_SECONDS)) as cache:
            with cache:
                cache.execute("CREATE TABLE IF NOT EXISTS annotations (text BLOB PRIMARY KEY, value BLOB NOT NULL)")
            yield cache
    except sqlite3.Error as error:
        raise Unavailable(
            f"The cache {path} cannot be used: {error}. If it is damaged, remove it; the texts are read anew."
        ) from error


def _get(cache: sqlite3.Connection, key: bytes) -> bytes | None:
    row = cache.execute("SELECT value FROM annotations WHERE text = ?", (key,)).fetchone()
    return row[0] if row else None


def _key(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
