"""Programs from Maven, fetched once for every checkout of a user."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path

from deploy.stack.home import locked
from deploy.stack.java import java_home
from deploy.stack.model import Missing, Progress

POMS = Path(__file__).parent / "maven"
FETCH_TIMEOUT_S = 900


def cache_folder() -> Path:
    """`$ONEFACT_CACHE`, by default ~/.cache/onefact."""
    return Path(os.environ.get("ONEFACT_CACHE") or Path.home() / ".cache" / "onefact").absolute()


def fetched(program: str, progress: Progress) -> Path:
    """The folder with a program of `maven/`; an interrupted fetch leaves nothing that looks whole."""
    pom = POMS / program / "pom.xml"
    target = program_folder(program)
    if target.is_dir():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    with locked(target.parent / f"{program}.lock", FETCH_TIMEOUT_S):
        if not target.is_dir():
            progress(program, "fetching")
            _fetch(program, pom, target)
    return target


def program_folder(program: str) -> Path:
    """Named by the content of its pom.xml, so that another version is another folder."""
    digest = hashlib.sha256((POMS / program / "pom.xml").read_bytes()).hexdigest()[:12]
    return cache_folder() / f"{program}-{digest}"


def _fetch(program: str, pom: Path, target: Path) -> None:
    for left in target.parent.glob(f".{program}-*"):  # of an interrupted fetch: the lock is ours
        shutil.rmtree(left, ignore_errors=True)
    folder = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{program}-"))
    try:
        _maven(program, pom, folder)
        for archive in folder.glob("*.tar.gz"):
            with tarfile.open(archive) as tar:
                tar.extractall(folder, filter="data")
            archive.unlink()
        folder.chmod(0o755)
        folder.rename(target)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _maven(program: str, pom: Path, folder: Path) -> None:
    maven = shutil.which("mvn")
    if maven is None:
        raise Missing(f"Maven is missing (it fetches {program}): apt-get install maven")
    command = [maven, "-q", "-B", "-f", str(pom), "dependency:copy-dependencies"]
    environment = dict(os.environ)
    if "JAVA_HOME" not in environment and shutil.which("java") is None:
        environment["JAVA_HOME"] = str(java_home())
    done = subprocess.run(
        [*command, f"-DoutputDirectory={folder}"],
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=FETCH_TIMEOUT_S,
        check=False,
    )
    if done.returncode != 0:
        errors = [line for line in done.stdout.splitlines() if "ERROR" in line]
        reason = errors[0] if errors else done.stderr.strip()[-200:]
        raise Missing(f"Maven could not fetch {program} (is Maven Central reachable?): {reason}")
