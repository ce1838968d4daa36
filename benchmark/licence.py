"""What may leave the machine: the data set says it, and everything that writes a file asks here.

Aggregates may always leave, but for values of very few patients. Texts, pictures and values of single studies may enter
a place that git tracks, a page or an export only where the data set's MAY_LEAVE has them.
"""

from __future__ import annotations

import subprocess
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from benchmark.contracts import Dataset
from benchmark.errors import UserError

MIN_PATIENTS = 10
"""Values of fewer patients than this stay on the machine."""

WORDS = {"texts": "report texts", "images": "pictures", "values": "values of single studies"}


def keep_out_of_git(dataset: Dataset, kinds: frozenset[str], target: Path) -> None:
    """Refuse a file or folder that holds `kinds` of the data where git would track it.

    Raises UserError where the data set keeps one of them and `target` lies in a repository that does not ignore it.
    """
    kept = sorted(kinds - dataset.MAY_LEAVE)
    if kept and tracked_by_git(target):
        raise UserError(
            f"{target} would hold {_words(kept)} of {dataset.name} in a place that git tracks, which its licence "
            f"({dataset.LICENCE}) forbids. Choose a folder outside the repository, or one that .gitignore names."
        )


def refuse_publication(dataset: Dataset, kinds: frozenset[str], what: str, private: bool = False) -> None:
    """Refuse a page or an export with `kinds` of the data, in whatever place.

    `private` is a user's word that the data are their own and the file stays with them; it counts only for data sets
    that are the user's own. Raises UserError where the data set keeps one of the kinds.
    """
    kept = sorted(kinds - dataset.MAY_LEAVE)
    if kept and not (private and dataset.OWNED):
        advice = (
            "Say --private where the data are yours and it stays with you." if dataset.OWNED else "None is written."
        )
        raise UserError(
            f"{what} would hold {_words(kept)} of {dataset.name}, which may not leave the machine "
            f"({dataset.LICENCE}). {advice}"
        )


def tracked_by_git(path: Path) -> bool:
    """Whether a file at `path` would be seen by git: inside a work tree and not ignored. Without git nothing is."""
    place = path.absolute()
    folder = next((parent for parent in (place, *place.parents) if parent.is_dir()), Path("/"))
    # The exit status is 0 for an ignored path, 1 for one that is or would be tracked, 128 outside a repository. A
    # folder that does not exist yet matches patterns such as `name/` only by what would lie in it: both are asked.
    command = ["git", "-C", str(folder), "check-ignore", "--", str(place), f"{place}/x"]
    try:
        done = subprocess.run(command, capture_output=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 1


def suppressed(may_leave: Collection[str], sections: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Names of the sections that must not leave, because they are of fewer than MIN_PATIENTS patients.

    Each has its `n_patients`. A data set whose single values may leave keeps nothing back.
    """
    if "values" in may_leave:
        return []
    return [name for name, content in sections.items() if content["n_patients"] < MIN_PATIENTS]


def suppressed_slices(may_leave: Collection[str], slices: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Likewise of slices, each with its `attribute`, `n_patients` and `n_patients_beside`; and those that would give
    away what is kept back, as the whole less what is shown.

    So a slice with few patients beside it goes too. Of an attribute of which a slice is kept back, so is one of
    MIN_PATIENTS: the smaller ones may all be of the same patients.
    """
    if "values" in may_leave:
        return []
    few = range(1, MIN_PATIENTS)
    hidden: list[str] = []
    for attribute in dict.fromkeys(content["attribute"] for content in slices.values()):
        here = sorted((each["n_patients"], name) for name, each in slices.items() if each["attribute"] == attribute)
        # Scores written before those beside were counted are held back.
        gone = [(n, name) for n, name in here if n in few or slices[name].get("n_patients_beside", 1) in few]
        if gone and max(gone)[0] < MIN_PATIENTS:
            gone += [each for each in here if each not in gone][:1]
        hidden += [name for _, name in gone]
    return hidden


def _words(kinds: list[str]) -> str:
    return " and ".join(WORDS[kind] for kind in kinds)
