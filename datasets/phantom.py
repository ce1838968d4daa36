"""Synthetic chest X-rays with exact labels and two readers, drawn from a seed; needs no download."""

from __future__ import annotations

import gzip
import json
import os
import zlib
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from benchmark.console import progress
from benchmark.contracts import LEAVABLE, Problem
from benchmark.errors import UserError, unknown
from benchmark.schema import View
from benchmark.sections import join_output

from . import _phantom_layout as layout
from ._mimic_jpg import JPG, MimicCXRJPG
from ._mimic_layout import Counts, Layout
from ._tables import read_table

STANDARD: Mapping[str, Any] = {
    "n_train": 4800,
    "n_validate": 200,
    "n_test": 200,
    "long_side": 160,
    "prevalence": 1.0,
    "seed": 0,
}
"""What `phantom` means; any other choice has a name of its own."""
_AGAIN = "Remove the folder and make it again."


class Dataset(MimicCXRJPG):
    """Written in MIMIC-CXR-JPG's layout and read back by its loader."""

    VERSION = layout.VERSION
    LICENCE = "MIT"
    MAY_LEAVE = LEAVABLE
    SCRATCH = True
    SECOND_READER = True
    SELF_MADE = True

    @classmethod
    def provide(cls, root: Path, **options: Any) -> None:
        chosen = {**STANDARD, **options}
        if (root / layout.COMPLETE).is_file() and not options:
            return
        total = sum(chosen[key] for key in ("n_train", "n_validate", "n_test"))
        with progress("Drawing the phantom", total) as advance:
            done = 0

            def report(images: int, of: int) -> None:
                nonlocal done
                share = images * total // of
                advance(share - done)
                done = share

            try:
                layout.write(root, **chosen, workers=os.cpu_count() or 1, progress=report)
            except json.JSONDecodeError:
                raise UserError(f"{root} holds a torn phantom. {_AGAIN}") from None
            except ValueError as error:
                raise UserError(f"{error}.") from None

    @classmethod
    def write_form(cls, source: Path, target: Path, form: str) -> None:
        from ._phantom_forms import FORMS, rewrite

        if form not in FORMS:
            raise unknown("layout", form, FORMS)
        cls(source).require()
        rewrite(source, target, form)

    @cached_property
    def form(self) -> Layout:
        return _Layout(self.root, self.reports_root)

    def check(self) -> list[Problem]:
        problems = super().check()
        if not (self.root / layout.COMPLETE).is_file():
            what = (
                f"{self.root} holds no complete phantom (no {layout.COMPLETE}): run `bench data make phantom --root …`."
            )
            return [*problems, Problem(what, fatal=True)]
        try:
            _made_with(self.root)
        except UserError as error:
            problems.append(Problem(str(error), fatal=True))
        return problems

    @property
    def official(self) -> Counts:
        return {split: {"studies": self.made_with[f"n_{split}"]} for split in self.splits}

    @cached_property
    def made_with(self) -> Mapping[str, Any]:
        """The options that this copy was made with, flat. Raises UserError where they cannot be read."""
        return _made_with(self.root)

    @property
    def name(self) -> str:
        made = self.made_with
        if made == STANDARD:
            return "phantom"
        parts = ["phantom", _count(made["n_train"]), str(made["long_side"])]
        if (made["n_validate"], made["n_test"]) != (STANDARD["n_validate"], STANDARD["n_test"]):
            parts.append(f"{made['n_validate']}v{made['n_test']}t")
        if made["prevalence"] != STANDARD["prevalence"]:
            parts.append(f"p{made['prevalence']:g}")
        if made["seed"] != STANDARD["seed"]:
            parts.append(f"s{made['seed']}")
        return "-".join(parts)

    @property
    def truth(self) -> Path:
        return self.root / "phantom-truth.csv.gz"

    def second_readings(self, split: str) -> Mapping[str, str]:
        wanted = {study.study_id for study in self.studies(split)}
        path = self.root / "phantom-second-reader.jsonl.gz"
        try:
            with gzip.open(path, "rt", encoding="utf-8") as file:
                readings = [json.loads(line) for line in file]
        except (OSError, EOFError, ValueError, zlib.error) as error:
            raise UserError(f"{path} cannot be read: {error}. {_AGAIN}") from None
        return {
            str(reading["study_id"]): join_output(reading["findings"], reading["impression"])
            for reading in readings
            if str(reading["study_id"]) in wanted
        }


def _made_with(root: Path) -> Mapping[str, Any]:
    path = root / layout.COMPLETE
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        sizes = {f"n_{split}": n for split, n in found["sizes"].items()}
        return {**sizes, **{key: found[key] for key in ("long_side", "prevalence", "seed")}}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise UserError(f"{path} is not what the phantom writes. {_AGAIN}") from None


class _Layout(JPG):
    """MIMIC-CXR-JPG's layout with the patients' table beside it."""

    @property
    def words(self) -> str:
        return "MIMIC-CXR-JPG's layout"

    def attributes(self, study_id: str, view: View) -> dict[str, str]:
        return {"view": view.position, **self._patients.get(study_id, {})}

    @cached_property
    def _patients(self) -> dict[str, dict[str, str]]:
        columns = ("study_id", "sex", "age")
        table = read_table(self.root / "phantom-patients.csv.gz", columns, _AGAIN)
        rows = zip(*(table[column].tolist() for column in columns), strict=True)
        return {study: {"sex": sex, "age": age} for study, sex, age in rows}


def _count(n: int) -> str:
    return f"{n // 1000}k" if n % 1000 == 0 else str(n)
