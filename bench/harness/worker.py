"""The product's worker as a contestant: a real process, as `onefact worker ROLE` starts it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import psutil

from bench.harness.process import Process
from bench.harness.stand import Stand
from tests.backing import free_port_base


class WorkerProcess(Process):
    """One worker of the roles; `profile` names a speedscope file to write with py-spy, which must be on PATH."""

    def __init__(self, stand: Stand, name: str, *roles: str, profile: Path | None = None, **more: str) -> None:
        self._port = free_port_base()
        self._profiled = profile is not None
        argv = [sys.executable, "-m", "deploy.worker", *roles]
        if profile is not None:
            argv = ["py-spy", "record", "-f", "speedscope", "-r", "250", "-o", str(profile), "--", *argv]
        # Without a name of its own a worker leaves its group when it ends, and the next run need not wait for that.
        env = stand.env(ONEFACT_HOME=str(stand.folder / name), ONEFACT_WORKER_PORT=str(self._port), **more)
        env.pop("ONEFACT_WORKER_NAME", None)
        super().__init__(argv, env, stand.folder / f"{name}.log")

    def _terminate(self, process: subprocess.Popen[bytes]) -> None:
        # Under py-spy the worker is its child, and py-spy writes its file when that has ended.
        worker = next(iter(psutil.Process(process.pid).children()), None) if self._profiled else None
        (worker or process).terminate()

    def status(self) -> dict[str, Any]:
        """What /ready says of the roles: empty while the worker does not answer."""
        try:
            found: dict[str, Any] = httpx.get(f"http://127.0.0.1:{self._port}/ready", timeout=2).json()["roles"]
        except httpx.HTTPError:
            return {}
        return found

    def ready_partitions(self, role: str) -> int:
        """How many partitions of the role this worker has open."""
        partitions = self.status().get(role, {}).get("partitions", {})
        return sum(bool(each["ready"]) for each in partitions.values())
