"""Run folders on disk: atomic JSON, predictions that are only appended to, one writer at a time."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmark.errors import Busy, UserError
from benchmark.schema import SCHEMA, Prediction, prediction_from_dict, to_dict


def write_text(path: Path, text: str) -> None:
    """Write a file of UTF-8 text whole or not at all."""
    write_bytes(path, text.encode("utf-8"))


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file whole or not at all: into a temporary file beside it, then renamed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def cell(text: str) -> str:
    """A text for a CSV that people open: a spreadsheet would run one that begins with one of these as a formula."""
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text


def write_json(path: Path, value: Mapping[str, Any], dense: bool = False) -> None:
    """Write an object, with the schema version, as UTF-8 JSON; NaN is refused (ValueError).

    Indented, or `dense`, with a line for each key of the object: many numbers take half the room.
    """
    content = {"schema": SCHEMA, **value}
    if dense:
        lines = (f"{_dense(key)}: {_dense(each)}" for key, each in content.items())
        write_text(path, "{\n" + ",\n".join(lines) + "\n}\n")
    else:
        write_text(path, json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def _dense(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def read_json(path: Path) -> dict[str, Any]:
    """Read an object. Raises UserError where it is no JSON or of a later schema."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise UserError(
            f"{path} is not a JSON file: {error}. Remove it and run the command that made it again."
        ) from None
    if not isinstance(value, dict):
        raise UserError(f"{path} holds no JSON object. Remove it and run the command that made it again.")
    if value.get("schema", SCHEMA) > SCHEMA:
        raise UserError(
            f"{path} was written by a later version of this benchmark. Update, or use another results folder."
        )
    return value


@contextlib.contextmanager
def exclusive(folder: Path, doing: str) -> Iterator[None]:
    """Hold a folder for one process. Raises Busy where another has it; a killed process lets go by itself."""
    from filelock import FileLock, Timeout

    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / ".lock", timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise Busy(f"Another process is {doing} in {folder}. Wait for it to end, or stop it.") from None
    try:
        yield
    finally:
        lock.release()


@contextlib.contextmanager
def in_turn(lock: Path) -> Iterator[None]:
    """Hold a lock file, after all processes that held it or asked for it before."""
    from filelock import FileLock

    lock.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(lock):
        yield


@dataclass(frozen=True)
class RunFolder:
    """`results/runs/<dataset>/<split>/<model>/<run_id>/`."""

    path: Path

    @property
    def record(self) -> Path:
        return self.path / "run.json"

    @property
    def predictions(self) -> Path:
        return self.path / "predictions.jsonl"

    def part(self, process: int) -> RunFolder:
        """Where one of several processes writes its predictions, until `join`."""
        return RunFolder(self.path / "parts" / str(process))

    @property
    def scores(self) -> Path:
        return self.path / "scores.json"

    @property
    def per_study(self) -> Path:
        return self.path / "per_study.jsonl"

    def append(self, predictions: Iterable[Prediction]) -> None:
        """Add predictions and hand them to the disk before returning."""
        self.path.mkdir(parents=True, exist_ok=True)
        with self.predictions.open("a", encoding="utf-8") as file:
            file.write(_lines(predictions))
            file.flush()
            os.fsync(file.fileno())

    def mend(self) -> None:
        """Cut off a last line that a killed process left half written."""
        if not self.predictions.exists():
            return
        with self.predictions.open("rb+") as file:
            data = file.read()
            file.truncate(data.rfind(b"\n") + 1)

    def join(self, order: Sequence[str]) -> dict[str, Prediction]:
        """Put what several processes wrote into the one file, by the order of study_ids, and mend what a killed one
        left; a report takes the place of an error. Returns all that is there.
        """
        parts = self.path / "parts"
        found: dict[str, Prediction] = {}
        for folder in [*map(RunFolder, sorted(parts.glob("*"))), self]:
            folder.mend()
            found |= {study: p for study, p in folder.read().items() if study not in found or found[study].error}
        places = {study: place for place, study in enumerate(order)}
        ordered = dict(sorted(found.items(), key=lambda item: places.get(item[0], len(places))))
        if list(ordered.items()) != list(self.read().items()):
            write_text(self.predictions, _lines(ordered.values()))
        shutil.rmtree(parts, ignore_errors=True)
        return ordered

    def read(self) -> dict[str, Prediction]:
        """Predictions by study_id. Raises UserError for a damaged line or a study that stands there twice."""
        return read_predictions(self.predictions) if self.predictions.exists() else {}


def _lines(predictions: Iterable[Prediction]) -> str:
    return "".join(json.dumps(to_dict(p), ensure_ascii=False) + "\n" for p in predictions)


def read_predictions(path: Path) -> dict[str, Prediction]:
    """A `predictions.jsonl` by study_id. Raises UserError naming the line where it is damaged."""
    found: dict[str, Prediction] = {}
    for number, record in read_jsonl(path):
        try:
            prediction = prediction_from_dict(record)
        except KeyError as missing:
            raise UserError(f"{path}, line {number}: the field {missing} is missing.") from None
        if prediction.study_id in found:
            raise UserError(f"{path}, line {number}: study {prediction.study_id} stands there twice. Remove one line.")
        found[prediction.study_id] = prediction
    return found


def read_jsonl(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Line numbers (from 1) and objects of a JSONL file; blank lines are passed over."""
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8 text (byte {error.start}). Save it as UTF-8.") from None
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except json.JSONDecodeError as error:
            raise UserError(
                f"{path}, line {number}: not JSON ({error.msg}). Each line must be one JSON object."
            ) from None
        if not isinstance(record, dict):
            raise UserError(f"{path}, line {number}: not a JSON object. Each line must be one JSON object.")
        yield number, record
