"""The reports of IU X-Ray as Kaggle's tables and Open-I's XML hold them; both give the same texts.

Sources of the forms: Kaggle's "Chest X-rays (Indiana University)" (indiana_reports.csv, indiana_projections.csv) and
Open-I's NLMCXR_reports.tgz (ecgen-radiology/1.xml and so on).
"""

from __future__ import annotations

import contextlib
import re
import tarfile
import xml.etree.ElementTree as ElementTree
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from benchmark.errors import UserError

from ._tables import read_table, row_number

REPORTS, PROJECTIONS = "indiana_reports.csv", "indiana_projections.csv"
XML_FOLDER, XML_ARCHIVE = "ecgen-radiology", "NLMCXR_reports.tgz"

CONTEXT = ("indication", "comparison")
_SPREADSHEET_ERROR = "#NAME?"
"""Stands in three cells of Kaggle's table whose text began with + or -."""
_XML_NAME = re.compile(r"(?:.*/)?ecgen-radiology/([0-9]{1,6})\.xml")
_LARGEST_XML = 1_000_000
"""Bytes; the real ones have some thousands."""


@dataclass(frozen=True)
class Image:
    """One image of a study, as the form names it."""

    name: str
    """File name; of Open-I's the id, which is the file name without its suffix."""
    position: str
    """`FRONTAL`, `LATERAL`, or empty where it is not known."""


@dataclass(frozen=True)
class Source:
    """One study's texts."""

    findings: str = ""
    impression: str = ""
    context: Mapping[str, str] = field(default_factory=dict)
    mesh: tuple[str, ...] = ()
    images: tuple[Image, ...] = ()
    broken: bool = False
    """True where the file is there and cannot be read."""


def read_tables(reports: Path, projections: Path) -> dict[int, Source]:
    """Sources by number from Kaggle's two tables. Raises UserError, with file and row."""
    images: dict[int, list[Image]] = {}
    for number, name, position in _read_projections(projections):
        images.setdefault(number, []).append(Image(name, position))
    table = read_table(reports, ["uid", "MeSH", "findings", "impression", *CONTEXT])
    found = {number: Source(images=_ordered(of)) for number, of in images.items()}
    seen = set()
    for at, row in enumerate(table.to_dict("records")):
        number = _number(row["uid"], reports, at)
        if number in seen:
            raise UserError(f"{reports}, row {row_number(at)}: the uid {number} stands there twice. Remove one row.")
        seen.add(number)
        context = {name: row[name].strip() for name in CONTEXT if row[name].strip() not in ("", _SPREADSHEET_ERROR)}
        found[number] = Source(
            row["findings"].strip(),
            row["impression"].strip(),
            context,
            tuple(row["MeSH"].split(";")),
            found.get(number, Source()).images,
        )
    return found


def read_xml(place: Path, projections: Path | None) -> dict[int, Source]:
    """Sources by number from Open-I's XML: a folder of files, or the archive, which is read without unpacking it.

    `projections` is Kaggle's table, which knows what the XML does not: the position of each image. Raises UserError
    where the archive is cut short.
    """
    positions = {name.partition(".")[0]: position for _, name, position in _read_projections(projections)}
    return {number: _source(text, positions) for number, text in _xml_texts(place)}


def _read_projections(path: Path | None) -> Iterator[tuple[int, str, str]]:
    if path is None:
        return
    table = read_table(path, ["uid", "filename", "projection"])
    cells = zip(table["uid"], table["filename"], table["projection"], strict=True)
    for at, (uid, name, projection) in enumerate(cells):
        yield _number(uid, path, at), name.strip(), projection.strip().upper()


def _number(uid: str, path: Path, at: int) -> int:
    if not re.fullmatch(r"\s*[0-9]{1,6}\s*", uid):
        raise UserError(f"{path}, row {row_number(at)}: the uid '{uid}' is not a number. Use the released table.")
    return int(uid)


def _ordered(images: list[Image]) -> tuple[Image, ...]:
    """Frontal ones first, then by name."""
    return tuple(sorted(images, key=lambda image: (image.position != "FRONTAL", image.name)))


def _xml_texts(place: Path) -> Iterator[tuple[int, bytes]]:
    if place.is_dir():
        for path in sorted(place.iterdir()):
            if match := _XML_NAME.fullmatch(f"{XML_FOLDER}/{path.name}"):
                with contextlib.suppress(OSError), path.open("rb") as file:
                    yield int(match[1]), file.read(_LARGEST_XML)
        return
    try:
        with tarfile.open(place, "r:gz") as archive:
            for member in archive:
                match = _XML_NAME.fullmatch(member.name)
                content = archive.extractfile(member) if match and member.isfile() else None
                if match and content is not None:
                    yield int(match[1]), content.read(_LARGEST_XML)
    except (tarfile.TarError, OSError, EOFError, zlib.error) as error:
        raise UserError(f"{place} cannot be read: {error}. Fetch it again.") from None


def _source(text: bytes, positions: Mapping[str, str]) -> Source:
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError:
        return Source(broken=True)
    sections = {of.get("Label", "").lower(): "".join(of.itertext()).strip() for of in root.iter("AbstractText")}
    ids = [image.get("id", "") for image in root.iter("parentImage")]
    return Source(
        sections.get("findings", ""),
        sections.get("impression", ""),
        {name: sections[name] for name in CONTEXT if sections.get(name)},
        tuple("".join(code.itertext()) for code in root.findall("MeSH/major")),
        _ordered([Image(image, positions.get(kaggle_name(image), "")) for image in ids]),
    )


def kaggle_name(image_id: str) -> str:
    """Kaggle's name, without suffixes, of an Open-I image: `CXR2_IM-0652-1001` → `2_IM-0652-1001`.

    `CXR1_1_IM-0001-4001`, the one id with two numbers, is `1_IM-0001-4001` there.
    """
    return re.sub(r"^CXR(?:[0-9]+_(?=[0-9]+_))?", "", image_id)
