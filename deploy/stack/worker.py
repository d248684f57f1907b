"""A worker process: it serves roles, tells whether it is ready, and drains when asked to stop."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from deploy.stack import health
from deploy.stack.home import Home
from deploy.stack.model import WorkerSpec, WorkerStatus
from deploy.stack.plan import child_environment
from deploy.stack.process import KeptProcess, Launch

DRAIN_S = 20.0


class Worker:
    """One worker of stack.json."""

    poll_s = 0.1

    def __init__(self, home: Home, document: Mapping[str, Any], spec: WorkerSpec) -> None:
        self.home = home
        self.spec = spec
        self.name = spec.name
        self.document = document
        self.process = KeptProcess(home, spec.name, stop_timeout_s=DRAIN_S)

    def start(self) -> None:
        self.process.start(
            Launch(
                argv=[*self.document["worker_command"], *self.spec.roles],
                cwd=self.home.path,
                env=child_environment(self.home, self.document)
                | {
                    "ONEFACT_WORKER_NAME": self.name,
                    "ONEFACT_WORKER_PORT": str(self.spec.port),
                    "PYTHONUNBUFFERED": "1",
                },
            )
        )

    def alive(self) -> bool:
        return self.process.alive()

    def healthy(self) -> bool:
        return health.worker_ready(self.spec.port)

    def settle(self) -> None: ...

    def stop(self) -> None:
        self.process.stop()

    def ready(self) -> bool:
        return self.alive() and self.healthy()

    def status(self) -> WorkerStatus:
        pid = self.process.pid()
        return {
            "name": self.name,
            "pid": pid,
            "roles": list(self.spec.roles),
            "ready": pid is not None and self.healthy(),
        }
