"""Quix Streams, in an environment of its own: what it needs is none of the product's business."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import tempfile
import venv
from dataclasses import dataclass
from pathlib import Path

from bench.harness.stand import ROOT, BenchError, Stand
from bench.peers.peer import Job, Peer
from deploy.stack.cache import cache_folder
from deploy.stack.home import locked

HERE = Path(__file__).parent
REQUIREMENTS = HERE / "requirements.txt"
INSTALL_TIMEOUT_S = 900


@dataclass(frozen=True)
class Quix(Peer):
    """One process, exactly once, state in RocksDB with a changelog topic (it has no other)."""

    @property
    def what(self) -> str:
        pinned = next(line for line in REQUIREMENTS.read_text().splitlines() if line.startswith("quixstreams=="))
        release = pinned.split("==")[1].split()[0]
        return f"Quix Streams {release}, exactly-once, a commit a second, state on RocksDB, fastavro"

    def missing(self) -> str | None:
        try:
            import ensurepip  # noqa: F401
        except ImportError:
            return "Python's venv module is missing: apt-get install python3-venv"
        return None

    def prepare(self, stand: Stand) -> None:
        target = environment()
        target.parent.mkdir(parents=True, exist_ok=True)
        with locked(target.parent / "bench-quix.lock", INSTALL_TIMEOUT_S):
            if not (target / "whole").exists():
                shutil.rmtree(target, ignore_errors=True)
                _install(target)

    def argv(self, job: Job) -> list[str]:
        # The repository is on the path for bench.peers.deciding, which knows nothing of the product.
        path = ["env", f"PYTHONPATH={ROOT}"]
        return [*path, str(environment() / "bin" / "python"), str(HERE / "program.py"), *job]


def environment() -> Path:
    """The virtual environment; another one for other requirements or another Python."""
    named = hashlib.sha256(REQUIREMENTS.read_bytes() + sys.version.encode()).hexdigest()[:12]
    return cache_folder() / f"bench-quix-{named}"


def _install(target: Path) -> None:
    venv.create(target, with_pip=True)  # in place: an environment cannot be moved
    with tempfile.TemporaryFile("w+") as out:
        done = subprocess.run(
            [str(target / "bin" / "pip"), "install", "-q", "--disable-pip-version-check", "--require-hashes",
             "-r", str(REQUIREMENTS)],
            stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, timeout=INSTALL_TIMEOUT_S, check=False,
        )  # fmt: skip
        if done.returncode != 0:
            out.seek(0)
            raise BenchError(f"pip could not install Quix Streams: {out.read()[-1500:]}")
    (target / "whole").touch()
