"""A whole stack behind the command line: real services, and workers that are started again when they die."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from eventlog.settings import Settings
from tests.backing import Backing
from tests.effects.provider import Provider

ROOT = Path(__file__).parents[2]


class Cli:
    """`onefact` as a person runs it."""

    def __init__(self, env: dict[str, str]) -> None:
        self.env = env

    def run(self, *words: str, code: int = 0, stdin: str | None = None, timeout_s: float = 240) -> str:
        """Standard output; fails when the exit code is another."""
        done = subprocess.run(
            [str(Path(sys.executable).with_name("onefact")), *words],
            env=os.environ | self.env, cwd=ROOT, capture_output=True, text=True, input=stdin, timeout=timeout_s,
            check=False,
        )  # fmt: skip
        assert done.returncode == code, f"onefact {' '.join(words)} -> {done.returncode}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr
        return done.stdout

    def json(self, *words: str, code: int = 0, stdin: str | None = None, timeout_s: float = 240) -> Any:
        """The JSON document that a command prints."""
        return json.loads(self.run(*words, "--json", code=code, stdin=stdin, timeout_s=timeout_s))


@pytest.fixture(scope="package")
def onefact(backing: Backing, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cli]:
    """The program with a stack up, and a payment provider beside it."""
    provider = Provider(tmp_path_factory.mktemp("provider"))
    told = {
        "ONEFACT_HOME": str(tmp_path_factory.mktemp("home")), "ONEFACT_PAYMENTS_URL": provider.url,
        # No order is to be given up because the machine is busy.
        "ONEFACT_DEADLINES": "fulfilment.reservation=600,fulfilment.payment=600",
    }  # fmt: skip
    cli = Cli(backing.env | told)
    provider.start()
    try:
        cli.run("up", "--stack", "external")
        yield cli
    finally:
        cli.run("down")
        provider.stop()


@pytest.fixture(scope="package")
def stack(onefact: Cli) -> Settings:
    """Settings of that stack's clients."""
    env = onefact.env
    return Settings(
        home=Path(env["ONEFACT_HOME"]), stack="external", kafka=env["ONEFACT_KAFKA"], registry=env["ONEFACT_REGISTRY"],
        postgres=env["ONEFACT_POSTGRES"], redis=env["ONEFACT_REDIS"],
    )  # fmt: skip
