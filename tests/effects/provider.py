"""The payment provider's simulator as a process that tests can make misbehave, kill and start again."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from tests.backing import free_port_base, until

ROOT = Path(__file__).parents[2]
TOKEN = "a token"


@dataclass
class Provider:
    """One provider; its seed is printed, `SEED` in the environment repeats a run."""

    folder: Path
    seed: int = field(
        default_factory=lambda: int(os.environ.get("SEED", random.SystemRandom().randrange(1 << 32))),
    )
    settings: dict[str, Any] = field(default_factory=dict)
    port: int = field(default_factory=free_port_base)
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://:{TOKEN.replace(' ', '%20')}@127.0.0.1:{self.port}"

    def start(self) -> None:
        print(f"provider SEED={self.seed}")
        told = {"port": self.port, "token": TOKEN, "books": self.folder / "books.sqlite", "seed": self.seed}
        env = {f"ONEFACT_PROVIDER_{name.upper()}": str(value) for name, value in (told | self.settings).items()}
        with (self.folder / "provider.log").open("ab") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "deploy.provider"], env=os.environ | env, cwd=ROOT, stdout=out, stderr=out
            )
        until(self.answers, "the provider answers", 120)

    def answers(self) -> bool:
        try:
            return httpx.get(f"{self.url}/health", timeout=2).status_code == 200
        except httpx.HTTPError:
            return False

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(60)

    def misbehave(self, **faults: float) -> None:
        httpx.post(f"{self.url}/faults", json=faults, timeout=30).raise_for_status()

    def books(self) -> dict[str, list[dict[str, Any]]]:
        found: dict[str, list[dict[str, Any]]] = httpx.get(f"{self.url}/books", timeout=30).json()
        return found
