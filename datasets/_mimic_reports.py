"""The report files of MIMIC-CXR: where they lie, and what of them is reference and what context."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from itertools import islice
from pathlib import Path

from benchmark.contracts import Problem
from benchmark.sections import section_text

NO_REPORT = "report file missing"
BAD_REPORT = "report is not UTF-8 text"
LOCKED_REPORT = "report file cannot be opened"

CONTEXT = ("indication", "history", "comparison")
"""Sections that the radiologist had before reading."""
_LOOKED_AT = 200
"""So many patients' folders are opened to see what lies in them: walking the whole tree would take minutes."""


def some_patients(folder: Path) -> Iterator[Path]:
    """The first few of the folders `p10/p10000032` in a folder that holds p10 … p19."""
    return islice(folder.glob("p[0-9][0-9]/p[0-9]*/"), _LOOKED_AT)


def read_report(path: Path) -> tuple[str, str]:
    """A report's text, read in text mode as the official parser needs it, and why there is none (else empty)."""
    try:
        return path.read_text(encoding="utf-8"), ""
    except FileNotFoundError:
        return "", NO_REPORT
    except OSError:
        return "", LOCKED_REPORT
    except UnicodeDecodeError:
        return "", BAD_REPORT


class Reports:
    """Files `p10/p1…/s….txt` under a root, with or without `files/`, or in `mimic-cxr-reports/files`."""

    def __init__(self, base: Path):
        self.base = base

    @cached_property
    def folder(self) -> Path | None:
        """The folder that holds p10 … p19; None where no report lies there."""
        for folder in (self.base / "files", self.base / "mimic-cxr-reports" / "files", self.base):
            if any(next(patient.glob("s[0-9]*.txt"), None) for patient in some_patients(folder)):
                return folder
        return None

    def problems(self) -> list[Problem]:
        if self.folder is not None:
            return []
        what = (
            f"No report files (files/p10/p1…/s….txt) under {self.base}. MIMIC-CXR-JPG brings none: unpack "
            "mimic-cxr-reports.zip of MIMIC-CXR and name its folder with --reports-root or MIMIC_CXR_REPORTS_ROOT."
        )
        return [Problem(what, fatal=True)]

    def read(self, patient: str, study: str) -> tuple[str, str]:
        """The text of a study's report, and why there is none (see read_report)."""
        assert self.folder is not None  # `problems` has seen to it
        return read_report(self.folder / f"p{patient[:2]}/p{patient}/s{study}.txt")


def context(text: str) -> dict[str, str]:
    """What the radiologist knew beforehand, out of the report's own sections; white space runs to one space."""
    sections, names, _ = section_text(text)
    return {name: " ".join(section.split()) for name, section in zip(names, sections, strict=True) if name in CONTEXT}
