"""Kafka Streams: fetched with Maven and compiled into the cache, once for each content of this folder."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from bench.harness.stand import BenchError, Stand
from bench.peers.peer import Job, Peer
from deploy.stack.cache import cache_folder
from deploy.stack.home import locked
from deploy.stack.java import java
from deploy.stack.model import Missing

HERE = Path(__file__).parent
BUILD_TIMEOUT_S = 900
TUNING = "-Dcommit.ms=100"
VERSION = "4.3.1"


@dataclass(frozen=True)
class Streams(Peer):
    """One process with one stream thread, EOS v2."""

    store: Literal["memory", "rocksdb"] = "memory"

    @property
    def what(self) -> str:
        store = "in-memory" if self.store == "memory" else "RocksDB"
        return f"Kafka Streams {VERSION}, processor API, EOS v2, one stream thread, {store} store with cache"

    def missing(self) -> str | None:
        if not built().is_dir() and shutil.which("mvn") is None:
            return "Maven is missing: apt-get install maven"
        try:
            java()
        except Missing as missing:
            return str(missing)
        return None

    def prepare(self, stand: Stand) -> None:
        target = built()
        target.parent.mkdir(parents=True, exist_ok=True)
        with locked(target.parent / "bench-streams.lock", BUILD_TIMEOUT_S):
            if not target.is_dir():
                _build(target)

    def argv(self, job: Job) -> list[str]:
        path = f"{built()}/classes:{built()}/libs/*"
        return [
            java(), "-Xms1g", "-Xmx1g", "-XX:+UseG1GC", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
            "--enable-native-access=ALL-UNNAMED", "-cp", path, "onefact.bench.Main",
            job.id, job.brokers, job.registry, job.commands, job.events, job.rejections, self.store, job.folder,
            job.code_version,
        ]  # fmt: skip


def built() -> Path:
    """Where the program is, or is going to be; another folder for another content."""
    digest = hashlib.sha256()
    for path in sorted([HERE / "pom.xml", *HERE.rglob("*.java")]):
        digest.update(path.read_bytes())
    return cache_folder() / f"bench-streams-{digest.hexdigest()[:12]}"


def _build(target: Path) -> None:
    folder = Path(tempfile.mkdtemp(dir=target.parent, prefix=".bench-streams-"))
    try:
        libs = folder / "libs"
        fetch = ["mvn", "-q", "-B", "-f", str(HERE / "pom.xml"), "dependency:copy-dependencies"]
        _run([*fetch, f"-DoutputDirectory={libs}"])
        jars = ":".join(map(str, sorted(libs.glob("*.jar"))))
        compiler = [java(), "-cp", jars, "org.eclipse.jdt.internal.compiler.batch.Main", "-proc:none", "-nowarn"]
        _run([*compiler, "-source", "17", "-target", "17", "-cp", jars, "-d", str(folder / "classes"), str(HERE)])
        folder.chmod(0o755)
        folder.rename(target)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _run(argv: list[str]) -> None:
    done = subprocess.run(
        argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=BUILD_TIMEOUT_S, check=False
    )
    if done.returncode != 0:
        raise BenchError(f"{argv[0]} failed: {(done.stdout + done.stderr).strip()[-1500:]}")
