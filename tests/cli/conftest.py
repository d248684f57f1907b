"""`onefact` as a person runs it, against real services and a decider at work."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from eventlog.discovery import catalog
from eventlog.provision import provision
from eventlog.settings import Settings
from tests.backing import Backing
from tests.runtime.harness import Workers

ROOT = Path(__file__).parents[2]


@dataclass(repr=False)
class Onefact:
    """The program with an environment of its own."""

    env: dict[str, str]

    def __call__(self, *words: str, stdin: bytes = b"", **env: str) -> Done:
        command = [sys.executable, "-m", "deploy.cli", *words]
        done = subprocess.run(
            command,
            input=stdin,
            env=os.environ | self.env | env,
            cwd=ROOT,
            capture_output=True,
            timeout=120,
            check=False,
        )
        return Done(done.returncode, done.stdout.decode(), done.stderr.decode())


@dataclass
class Done:
    code: int
    out: str
    err: str

    def json(self) -> Any:
        """The one document that was printed."""
        return json.loads(self.out)


@pytest.fixture(scope="package")
def onefact(backing: Backing, settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Onefact]:
    provision(settings, catalog())
    workers = Workers(backing.env, tmp_path_factory.mktemp("workers"), module="deploy.worker")
    workers.start("cli", "trading.decider")
    try:
        workers.wait_ready()
        yield Onefact(backing.env)
    finally:
        workers.stop()


@pytest.fixture
def nowhere(tmp_path: Path) -> Onefact:
    """Where nothing is up."""
    away = {f"ONEFACT_{name}": "" for name in ("KAFKA", "REGISTRY", "POSTGRES", "REDIS")}
    return Onefact(away | {"ONEFACT_HOME": str(tmp_path / "home"), "ONEFACT_STACK": "embedded"})
