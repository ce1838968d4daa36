"""Reports that any program wrote, from a file to texts by id; and references likewise.

Forms: CSV or TSV with a head; JSON lines; one JSON object by id (ReXrank's predictions, R2GenGPT's test_result.json) or
one JSON list of objects; and lines of plain text without ids, as R2Gen's res.csv and gts.csv are.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmark.errors import UserError
from benchmark.sections import split_output

IDS = ("study_id", "id", "image_id", "dicom_id", "uid")
"""Names of the field or column that holds the id; the first that is there is taken."""
PREDICTED = ("model_prediction", "prediction", "hypothesis")
"""Fields that hold what a model wrote, whatever stands beside them: ReXrank's files carry the reference too."""
TEXTS = ("text", "report")
FINDINGS = ("section_findings", "findings")
IMPRESSION = ("section_impression", "impression")
FIELDS = frozenset({*PREDICTED, *TEXTS, *FINDINGS, *IMPRESSION})


@dataclass(frozen=True)
class Text:
    """One report of a file."""

    where: str
    """File and line, for messages."""
    text: str | None
    findings: str | None
    impression: str | None

    def section(self, name: str, joined: Callable[[str, str], str]) -> str:
        """The text to be scored as `name`, one of SECTIONS, or, where that is empty, as it is given.

        A text is divided at its headings; one without headings is the section asked for. `joined` makes a whole report
        of two sections. Raises UserError for a line that holds nothing, or not the section asked for.
        """
        if self.text is not None and (not name or self.in_one()):
            return self._divided(name, self.text, joined) if name else self.text
        if self.in_one():
            raise _no_text(self.where)
        findings, impression = self.findings or "", self.impression or ""
        return {"findings": findings, "impression": impression}.get(name, joined(findings, impression))

    def in_one(self) -> bool:
        """Whether it has no sections."""
        return self.findings is None and self.impression is None

    @staticmethod
    def _divided(name: str, text: str, joined: Callable[[str, str], str]) -> str:
        findings, impression = split_output(text)
        if (findings, impression) == (text.strip(), ""):
            return text
        if name == "report":
            return joined(findings, impression)
        return findings if name == "findings" else impression


@dataclass(frozen=True)
class Texts:
    """What a file holds."""

    path: Path
    by_id: Mapping[str, list[Text]]
    """In the order of the file; more than one for an id that stands there twice."""
    numbered: bool
    """True where the file has no ids: they are line numbers."""


def read(path: Path, references: bool = False) -> Texts:
    """The texts of a file; of a file that holds both, what was predicted, or with `references` what was expected.

    Raises UserError, with file and line, for what cannot be read.
    """
    if not path.is_file():
        raise UserError(f"No such file: {path}.")
    try:
        content = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8 text (byte {error.start}). Save it as UTF-8.") from None
    numbered, records = _records(path, content)
    predicted = not references and any(record.keys() & {*PREDICTED} for _, _, record in records)
    text = _predicted if predicted else _reference if references else _given
    found: dict[str, list[Text]] = {}
    for where, given, record in records:
        if not record.keys() & FIELDS:  # Said whether or not its id is one that is scored.
            raise _no_text(where)
        found.setdefault(given, []).append(text(where, record))
    if not found:
        raise UserError(f"{path} is empty. Each line needs study_id and text.")
    return Texts(path, found, numbered)


Record = tuple[str, str, Mapping[str, Any]]
"""Where it stands, its id, its fields."""


def _records(path: Path, content: str) -> tuple[bool, list[Record]]:
    """Whether the ids are line numbers, and the records."""
    start = content.lstrip()[:1]
    suffix = path.suffix.lower()
    if start == "{" and suffix != ".json" or suffix in (".jsonl", ".ndjson"):
        return False, list(_from_jsonl(path, content))
    if suffix == ".json" or start in ("{", "["):
        return _from_json(path, content)
    if suffix in (".csv", ".tsv"):
        return _from_table(path, content, "\t" if suffix == ".tsv" else ",")
    return True, _from_lines(path, content.split("\n"))


def _from_lines(path: Path, lines: list[str]) -> list[Record]:
    """An empty line is an empty report; the last line's end begins no further one."""
    lines = [line.removesuffix("\r") for line in lines]
    kept = lines[:-1] if lines and not lines[-1] else lines
    return [(f"{path}, line {n}", str(n), {"text": line}) for n, line in enumerate(kept, 1)]


def _from_jsonl(path: Path, content: str) -> Iterator[Record]:
    for number, line in enumerate(content.split("\n"), 1):
        if line.strip():
            where = f"{path}, line {number}"
            try:
                record = json.loads(line)
            except (json.JSONDecodeError, RecursionError) as error:
                what = getattr(error, "msg", "too deep")
                raise UserError(f"{where}: not JSON ({what}). Each line must be one JSON object.") from None
            yield where, _id(record, where), record


def _from_json(path: Path, content: str) -> tuple[bool, list[Record]]:
    try:
        found = json.loads(content, object_pairs_hook=_Pairs)
    except (json.JSONDecodeError, RecursionError) as error:
        at = f"line {error.lineno}: {error.msg}" if isinstance(error, json.JSONDecodeError) else "too deep"
        if "Extra data" in at:
            return False, list(_from_jsonl(path, content))
        raise UserError(f"{path} is not JSON ({at}).") from None
    if isinstance(found, _Pairs):
        if found and all(isinstance(value, str | None) for _, value in found) and dict(found).keys() & set(IDS):
            return False, [(str(path), _id(dict(found), str(path)), dict(found))]
        return False, [(f"{path}, {key}", key, _fields(value, f"{path}, {key}")) for key, value in found]
    if isinstance(found, list) and all(isinstance(each, str) for each in found):
        return True, [(f"{path}, entry {n}", str(n), {"text": each}) for n, each in enumerate(found, 1)]
    if isinstance(found, list):
        places = [(f"{path}, entry {n}", each) for n, each in enumerate(found, 1)]
        records = [(where, dict(each) if isinstance(each, _Pairs) else each) for where, each in places]
        return False, [(where, _id(record, where), record) for where, record in records]
    raise UserError(f"{path} is neither a JSON object of texts by id nor a list of objects with ids.")


class _Pairs(list[tuple[str, Any]]):
    """A JSON object whose repeated keys are still there."""


def _fields(value: Any, where: str) -> Mapping[str, Any]:
    """The fields of what stands under an id: an object, a text, or a list of one text."""
    if isinstance(value, _Pairs):
        return dict(value)
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if isinstance(value, list):
        raise UserError(f"{where}: {len(value)} texts under one id. Give one.")
    return {"text": value}


def _from_table(path: Path, content: str, divider: str) -> tuple[bool, list[Record]]:
    csv.field_size_limit(1 << 27)  # The default refuses a report of 100,000 words.
    try:
        rows = list(csv.reader(io.StringIO(content, newline=""), delimiter=divider, strict=True))
    except csv.Error as error:
        raise UserError(f"{path} is not a table of cells divided by {divider!r}: {error}.") from None
    head = [name.strip().lower() for name in rows[0]] if rows else []
    if not set(head) & FIELDS:
        if all(len(row) <= 1 for row in rows):
            return True, _from_lines(path, [*("".join(row) for row in rows), ""] if rows else [])
        raise UserError(f"{path} has no column of texts: head one {TEXTS[0]}, and one {IDS[0]}.")
    records: list[Record] = []
    for number, row in enumerate(rows[1:], 2):
        where = f"{path}, row {number}"
        if row and len(row) != len(head):
            raise UserError(f"{where}: {len(row)} cells under a head of {len(head)}.")
        if row:
            record = dict(zip(head, row, strict=True))
            records.append((where, _id(record, where), record))
    return False, records


def _id(record: Any, where: str) -> str:
    if not isinstance(record, Mapping):
        raise UserError(f"{where}: not a JSON object. Each line must be one JSON object.")
    for name in IDS:
        given = record.get(name)
        if given is not None and str(given).strip():
            return str(given).strip()
    raise UserError(f"{where}: no study_id. Each line needs study_id and text.")


def _no_text(where: str) -> UserError:
    return UserError(f'{where}: no text, findings or impression. Write "" for an empty report.')


def _predicted(where: str, record: Mapping[str, Any]) -> Text:
    """In a file with fields for what was predicted, what stands beside them is the reference, and no prediction."""
    return Text(where, _first(record, PREDICTED, where), None, None)


def _given(where: str, record: Mapping[str, Any]) -> Text:
    return Text(where, *(_first(record, names, where) for names in (TEXTS, FINDINGS, IMPRESSION)))


def _reference(where: str, record: Mapping[str, Any]) -> Text:
    text = _given(where, record)
    sectioned = record.keys() & {FINDINGS[0], IMPRESSION[0]}  # ReXrank's; its text is these two again
    return replace(text, text=None) if sectioned else text


def _first(record: Mapping[str, Any], names: Iterable[str], where: str) -> str | None:
    """The first of the fields that is there and not null."""
    for name in names:
        value = record.get(name)
        if value is None:
            continue
        if not isinstance(value, str) or value.strip().lower() == "nan":
            raise UserError(f'{where}: {name} is {value!r}, not a text. Write "" for an empty report.')
        if not value.isascii() and not _is_unicode(value):
            raise UserError(f"{where}: {name} holds half a character (a lone surrogate). Write the file anew as UTF-8.")
        return value
    return None


def _is_unicode(text: str) -> bool:
    """JSON can hold halves of characters, which no file can be written with."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
