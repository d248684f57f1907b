"""Where a campaign takes place: real services, three workers of the whole product, and one who starts what dies."""

from __future__ import annotations

import contextlib
import json
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from tests.backing import start_backing
from tests.faults.load import Client, Encoder
from tests.faults.log import Log
from tests.faults.models import Models
from tests.faults.yardstick import TOPICS, Violation, Yardstick
from tests.runtime.harness import Workers

DOMAINS = ("trading", "market")
"""Whose roles the workers have: those of all the others would only take their time to start."""
SERVICES = ("kafka", "registry", "postgres", "redis")
WORKERS = ("a", "b", "c")
RECOVERY_S = 60.0
FIRST_READY_S = 300.0


@dataclass(frozen=True)
class Taken:
    """An order that a worker took at its point."""

    pid: int
    at: float
    """Wall clock, s."""


class Orders:
    """The campaign's side of `tests.faults.points`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._ids = count(1)

    def give(self, point: str, role: str, nth: int, action: str) -> str:
        """Have the worker that passes the point for the n-th time do it; the order's id."""
        order = {"id": f"{next(self._ids)}-{time.time_ns()}", "point": point, "role": role, "nth": nth}
        made = self.folder / ".order"
        made.write_text(json.dumps(order | {"action": action}))
        made.rename(self.folder / "armed")
        return str(order["id"])

    def taken(self, order: str) -> Taken | None:
        try:
            return Taken(**json.loads((self.folder / f"taken-{order}").read_text()))
        except FileNotFoundError:
            return None

    def wait(self, order: str, timeout_s: float) -> Taken | None:
        """Who took the order; None when nobody passed there in time, and it is withdrawn."""
        deadline = time.monotonic() + timeout_s
        while (taken := self.taken(order)) is None:
            if time.monotonic() > deadline:
                try:
                    (self.folder / "armed").unlink()
                except FileNotFoundError:
                    deadline = float("inf")  # somebody is taking it at this moment
                else:
                    return None
            time.sleep(0.01)
        return taken

    def release(self, order: str) -> None:
        """Let go of whoever is held."""
        (self.folder / f"taken-{order}").unlink(missing_ok=True)


class Stand:
    """Services, workers, yardstick; one after the other, any number of cases."""

    def __init__(self, folder: Path, state: str = "memory", plant: str | None = None) -> None:
        """`state` is where processors keep theirs, `memory` or `rocksdb`."""
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.backing = start_backing(folder / "services", SERVICES)
        env = self.backing.env
        self.orders = Orders(folder / "points")
        extra = {"ONEFACT_TEST_POINTS": str(self.orders.folder), "ONEFACT_HOME": str(folder / "home")}
        extra["ONEFACT_STATE_STORE"] = state
        if plant:
            extra["ONEFACT_TEST_PLANT"] = plant
        self.env = env | extra
        (folder / "logs").mkdir(exist_ok=True)
        self.workers = Workers(self.env, folder / "logs", module="tests.faults.worker")
        self.servers, self.registry = env["ONEFACT_KAFKA"], env["ONEFACT_REGISTRY"]
        self.models = Models(env["ONEFACT_POSTGRES"], env["ONEFACT_REDIS"])
        self.yardstick = Yardstick()
        self.encoder = Encoder(self.registry)
        self.restarts = 0
        self._kept: set[str] = set()
        self._names: dict[int, str] = {}
        """Of every process that was ever started."""
        self._down_until: dict[str, float] = {}
        self._lock = threading.Lock()
        self._leaving = threading.Event()
        self._keeper = threading.Thread(target=self._keep, name="keeper", daemon=True)
        try:
            for name in WORKERS:
                self.join(name)
            self._keeper.start()
            self.wait_ready(FIRST_READY_S)
            self.log = Log(self.servers, self.registry, TOPICS)
            self.client = Client(self.servers, self.encoder)
        except BaseException:
            self.stop()
            raise

    def join(self, name: str) -> None:
        """Start a worker, and from now on start it again whenever it dies."""
        with self._lock:
            self._start(name, *DOMAINS)
            self._kept.add(name)

    def leave(self, name: str, number: int) -> None:
        """End a worker with a signal, for good."""
        with self._lock:
            self._kept.discard(name)
            process = self.workers.processes.pop(name)
        process.send_signal(number)
        try:
            process.wait(40)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def kill(self, name: str, down_s: float = 0.0) -> None:
        """Kill -9; started again after `down_s`, at once by default."""
        with self._lock:
            self._down_until[name] = time.monotonic() + down_s
            self.workers.signal(name, signal.SIGKILL)

    def name_of(self, pid: int) -> str:
        return self._names[pid]

    def _start(self, name: str, *roles: str) -> None:
        self.workers.start(name, *roles)
        self._names[self.workers.processes[name].pid] = name

    def hold_down(self, name: str, seconds: float) -> None:
        """When it dies, or has died, start it again so much later."""
        self._down_until[name] = time.monotonic() + seconds

    def state_folder(self, name: str) -> Path:
        """Where a worker keeps its state on disk."""
        return self.folder / "home" / "state" / name

    @contextlib.contextmanager
    def without(self, name: str) -> Iterator[None]:
        """A worker ends in order, and is started again afterwards."""
        self.leave(name, signal.SIGTERM)
        try:
            yield
        finally:
            self.join(name)

    def _keep(self) -> None:
        while not self._leaving.wait(0.05):
            with self._lock:
                for name in sorted(self._kept):
                    ended = self.workers.processes[name].poll() is not None
                    if ended and time.monotonic() >= self._down_until.get(name, 0.0):
                        self.restarts += 1
                        self._start(name)

    def ready(self) -> bool:
        with self._lock:
            names = sorted(self._kept)
        return all(self.workers.is_ready(name) for name in names)

    def wait_ready(self, timeout_s: float = RECOVERY_S) -> float:
        """Seconds until all workers are ready."""
        started = time.monotonic()
        while not self.ready():
            if time.monotonic() - started > timeout_s:
                raise Violation("I6", f"workers were not ready within {timeout_s:g} s")
            time.sleep(0.1)
        return time.monotonic() - started

    def look(self) -> None:
        """Take what is new in the log, and check it."""
        self.log.read(self.yardstick.take)
        self.yardstick.check_new()

    def keep_evidence(self, target: Path, **said: Any) -> None:
        """Logs of workers and services, and what was the matter."""
        target.mkdir(parents=True, exist_ok=True)
        (target / "case.json").write_text(json.dumps(said, indent=2, default=str) + "\n")
        for found in [*self.folder.glob("logs/*.log"), *self.folder.glob("services/**/logs/*.log")]:
            shutil.copy(found, target / found.name)

    def stop(self) -> None:
        self._leaving.set()
        if self._keeper.is_alive():
            self._keeper.join()
        for each in ("log", "client"):
            if hasattr(self, each):
                getattr(self, each).close()
        self.workers.stop()
        self.backing.stop()
