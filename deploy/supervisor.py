"""What `onefact up` leaves running: it starts again whatever dies.

It follows stack.json, so that `up` asks for workers by writing them there. Killed itself, it leaves
services and workers running; the next one finds them by their records and keeps them.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import FrameType
from typing import Any, Protocol

import psutil

from deploy.stack.home import Home, locked, write_private
from deploy.stack.model import NotUp, WorkerSpec
from deploy.stack.plan import stack_of, workers_of
from deploy.stack.worker import Worker
from eventlog.errors import OnefactError

BACKOFF_FIRST_S = 0.25
BACKOFF_MAX_S = 5.0
STEADY_S = 10.0
"""Healthy for that long, the next death counts as the first one again."""
LOOK_S = 0.2
TRIM_EVERY_S = 30.0

log = logging.getLogger("onefact.supervisor")


class Kept(Protocol):
    """What a keeper keeps: a service or a worker."""

    @property
    def name(self) -> str: ...
    @property
    def poll_s(self) -> float: ...
    def start(self) -> None: ...
    def alive(self) -> bool: ...
    def healthy(self) -> bool: ...
    def settle(self) -> None: ...
    def stop(self) -> None: ...


class Keeper(threading.Thread):
    """Keeps one process running: at once after its first death, then with growing pauses."""

    def __init__(self, kept: Kept, changed: Callable[[], None]) -> None:
        super().__init__(name=kept.name, daemon=True)
        self.kept = kept
        self.changed = changed
        self.leaving = threading.Event()
        self.failures = 0
        """Deaths since it was last steady."""
        self.healthy = False
        self.problem = ""
        self._started_before = False
        self._healthy_since = 0.0

    def run(self) -> None:
        while not self.leaving.is_set():
            try:
                self._look()
            except OnefactError as error:
                self._failed(str(error))
            except Exception as error:  # a keeper that ends would leave its process unkept
                log.exception("%s", self.name)
                self._failed(f"{type(error).__name__}: {error}")
            self.leaving.wait(self.kept.poll_s)

    def _look(self) -> None:
        if not self.kept.alive():
            if self._started_before:
                self._failed("it ended")
            if not self.leaving.is_set():
                self._started_before = True
                self.kept.start()
                log.info("%s started", self.name)
        elif not self.healthy:
            self._started_before = True
            if self.kept.healthy():
                self.kept.settle()
                self.healthy, self.problem = True, ""
                self._healthy_since = time.monotonic()
                log.info("%s is healthy", self.name)
                self.changed()
        elif self.failures and time.monotonic() - self._healthy_since > STEADY_S:
            self.failures = 0
            self.changed()

    def _failed(self, problem: str) -> None:
        self.healthy, self.problem = False, problem
        pause_s = min(BACKOFF_MAX_S, BACKOFF_FIRST_S * 2**self.failures) if self.failures else 0
        self.failures = min(self.failures + 1, 100)
        log.warning("%s: %s; again in %.2f s", self.name, problem, pause_s)
        self.changed()
        self.leaving.wait(pause_s)


class Supervisor:
    """Keepers of the services and workers of one home."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self.keepers: dict[str, Keeper] = {}
        self.specs: dict[str, WorkerSpec] = {}
        self.stopping = threading.Event()
        self._writing = threading.Lock()
        self._seen_ns = 0
        self._revision = -1

    def run(self) -> None:
        """Keep everything running until SIGTERM; then drain the workers, then stop the services."""
        document = self.home.read_stack()
        services = stack_of(self.home, document).services
        for service in services:
            self._keep(service)
        trimmed = time.monotonic()
        while not self.stopping.wait(LOOK_S):
            if all(self.keepers[service.name].healthy for service in services) or self.specs:
                self._follow()
            if time.monotonic() - trimmed > TRIM_EVERY_S:
                self.home.trim_logs()
                trimmed = time.monotonic()
        workers = [keeper for name, keeper in self.keepers.items() if name in self.specs]
        self._stop(workers)
        # None of them needs another one to stop well, so they stop side by side.
        self._stop(keeper for name, keeper in self.keepers.items() if name not in self.specs)

    def _follow(self) -> None:
        """Have the workers that stack.json names."""
        written_ns = self.home.stack_file.stat().st_mtime_ns
        if written_ns == self._seen_ns:
            return
        self._seen_ns = written_ns
        document = self.home.read_stack()
        wanted = {spec.name: spec for spec in workers_of(document)}
        gone = [name for name, spec in self.specs.items() if wanted.get(name) != spec]
        self._stop(self.keepers.pop(name) for name in gone)
        for name, spec in wanted.items():
            if name not in self.keepers:
                self._keep(Worker(self.home, document, spec))
        self.specs = wanted
        self._revision = document.get("revision", 0)
        self.write_state()

    def _keep(self, kept: Kept) -> None:
        self.keepers[kept.name] = Keeper(kept, self.write_state)
        self.keepers[kept.name].start()

    def _stop(self, keepers: Iterable[Keeper]) -> None:
        leaving = list(keepers)
        for keeper in leaving:
            keeper.leaving.set()
        for keeper in leaving:
            keeper.join()
        if leaving:
            with ThreadPoolExecutor(len(leaving)) as pool:
                list(pool.map(lambda keeper: keeper.kept.stop(), leaving))
            log.info("stopped: %s", ", ".join(keeper.name for keeper in leaving))

    def write_state(self) -> None:
        """Tell `up` how it goes."""
        with self._writing:
            kept: dict[str, Any] = {
                keeper.name: {
                    "failures": keeper.failures,
                    "problem": keeper.problem,
                    "healthy": keeper.healthy,
                }
                for keeper in list(self.keepers.values())
            }
            state = {"revision": self._revision, "kept": kept}
            write_private(self.home.run / "state.json", json.dumps(state))


def main() -> int:
    """Run until SIGTERM for the home of `$ONEFACT_HOME`."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    logging.getLogger("httpx").setLevel(logging.WARNING)
    home = Home(Path(os.environ.get("ONEFACT_HOME", ".onefact")))
    home.make()
    try:
        with locked(home.run / "supervisor.lock", timeout_s=2):
            supervisor = Supervisor(home)

            def stop(_number: int, _frame: FrameType | None) -> None:
                supervisor.stopping.set()

            signal.signal(signal.SIGTERM, stop)
            signal.signal(signal.SIGINT, stop)
            me = {"pid": os.getpid(), "created": psutil.Process().create_time()}
            write_private(home.run / "supervisor.json", json.dumps(me))
            supervisor.run()
            (home.run / "supervisor.json").unlink(missing_ok=True)
    except NotUp as error:
        log.error("%s", error)  # noqa: TRY400 - one line is enough
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
