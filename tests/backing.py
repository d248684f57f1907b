"""Real Kafka, registry, Postgres, Redis, S3 and Neo4j for end-to-end tests: `start_backing(folder)` is all they need.

    backing = start_backing(tmp_path_factory.mktemp("backing"))
    try:
        settings = Settings(**backing.settings())      # or: subprocess.run(..., env=os.environ | backing.env)
        backing.restart("kafka")                       # kill -9, same address and data, healthy on return
        backing.pause("redis"); backing.unpause("redis")
    finally:
        backing.stop()

Containers where a Docker engine answers, else the embedded stack (`ONEFACT_TEST_BACKING=embedded` or
`containers` decides it). Start it once for a session: it takes seconds. Topics and schemas are not
there: call `eventlog.provision.provision(settings)`. Services: kafka, registry, postgres, redis, s3; and neo4j
where it is asked for, because it takes longest.
"""

from __future__ import annotations

import json
import os
import random
import signal
import time
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any, Protocol

import psutil

from deploy.stack import down, up
from deploy.stack.embedded import SERVICES, EmbeddedStack
from deploy.stack.embedded.base import port_free
from deploy.stack.health import CHECKS
from deploy.stack.home import Home
from eventlog.settings import Settings

RECOVERY_TIMEOUT_S = 180.0
"""Of a service: a broker that was killed on a busy machine takes its time."""


USUAL = tuple(service for service in CHECKS if service != "neo4j")
"""Services of a backing to which nothing else is said."""


class Backing(Protocol):
    """The services, wherever they run."""

    env: dict[str, str]
    """ONEFACT_STACK=external, ONEFACT_KAFKA, _REGISTRY, _POSTGRES, _REDIS, _S3 (or those that were asked for), and
    an ONEFACT_HOME of its own."""

    def settings(self) -> dict[str, Any]:
        """The same as keyword arguments of `Settings`."""
        ...

    def restart(self, service: str, kill: bool = True) -> None:
        """Kill (or stop) a service and have it back, with its data, at the same address."""
        ...

    def pause(self, service: str) -> None:
        """Freeze it: connections stay open and nothing answers."""
        ...

    def unpause(self, service: str) -> None: ...

    def take_away(self, service: str) -> None:
        """Kill it and have it stay away: connections are refused."""
        ...

    def bring_back(self, service: str) -> None:
        """End that; healthy on return."""
        ...

    def stop(self) -> None:
        """Stop everything that was started."""
        ...


def start_backing(folder: Path, services: Collection[str] = USUAL) -> Backing:
    """Start these services, healthy on return; their data lies below `folder`."""
    from tests.containers import ContainerBacking, docker_answers

    wanted = os.environ.get("ONEFACT_TEST_BACKING") or ("containers" if docker_answers() else "embedded")
    if wanted == "containers":
        return ContainerBacking(folder, services)
    return EmbeddedBacking(folder, services)


def addresses_as_env(folder: Path, addresses: dict[str, str]) -> dict[str, str]:
    """Environment of a program that uses services at these addresses, as if they were somebody else's."""
    home = folder / "home"
    home.mkdir(parents=True, exist_ok=True)
    return {f"ONEFACT_{name.upper()}": address for name, address in addresses.items()} | {
        "ONEFACT_STACK": "external",
        "ONEFACT_HOME": str(home),
        "ONEFACT_PORT_BASE": str(free_port_base()),
    }


def env_as_settings(env: dict[str, str]) -> dict[str, Any]:
    """Keyword arguments of `Settings` from such an environment."""
    return {name.removeprefix("ONEFACT_").lower(): value for name, value in env.items()}


def settings_as_env(settings: Settings) -> dict[str, str]:
    """Environment of a program that is to have these settings; what is not set stays unset."""
    said = settings.model_dump(exclude_none=True)
    return {f"ONEFACT_{name.upper()}": str(value) for name, value in said.items()}


_given: set[int] = set()


def free_port_base(width: int = 40) -> int:
    """Start of a range of ports nobody listens on, below those the kernel gives to clients; another each time."""
    # Of the processes that share the tests out, each has its own part of them.
    mine = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    step = 50 * int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    bases = [base for base in range(18000 + 50 * mine, 32000, step) if base not in _given]
    random.SystemRandom().shuffle(bases)
    found = next(base for base in bases if all(port_free(base + i) for i in range(width)))
    _given.add(found)
    return found


def until(done: Callable[[], bool], what: str, timeout_s: float = RECOVERY_TIMEOUT_S) -> None:
    """Wait for a condition, or fail naming it."""
    deadline = time.monotonic() + timeout_s
    while not done():
        assert time.monotonic() < deadline, f"{what}: not after {timeout_s:.0f} s"
        time.sleep(0.05)


class EmbeddedBacking:
    """The embedded stack under its own supervisor, which starts again what is killed."""

    def __init__(self, folder: Path, services: Collection[str]) -> None:
        self._own = Settings(home=folder / "stack", port_base=free_port_base(), stack="embedded")
        # Payments are tried out beside all the rest, not beside one server.
        without = {each.name for each in SERVICES} - {*services, *(["provider"] if "kafka" in services else [])}
        up(self._own, kind="embedded", workers=False, without=without)
        stack = EmbeddedStack(Home(self._own.home), self._own.port_base, without)
        self._services = {service.name: service for service in stack.services}
        assert self._services.keys() >= set(services)
        self._addresses = dict(stack.addresses())
        self.env = addresses_as_env(folder, self._addresses)

    def settings(self) -> dict[str, Any]:
        return env_as_settings(self.env)

    def restart(self, service: str, kill: bool = True) -> None:
        process = self._services[service].process
        before = process.pid()
        process.signal(signal.SIGKILL if kill else process.stop_signal)
        until(lambda: process.pid() not in (before, None), f"{service} started again")
        until(lambda: CHECKS[service](self._addresses[service]), f"{service} healthy again")

    def pause(self, service: str) -> None:
        self._signal_all(service, signal.SIGSTOP)

    def unpause(self, service: str) -> None:
        self._signal_all(service, signal.SIGCONT)

    def take_away(self, service: str) -> None:
        self._supervisor().suspend()  # or it would be back at once
        self._services[service].process.signal(signal.SIGKILL)

    def bring_back(self, service: str) -> None:
        self._supervisor().resume()
        until(lambda: CHECKS[service](self._addresses[service]), f"{service} healthy again")

    def _supervisor(self) -> psutil.Process:
        recorded = json.loads((Home(self._own.home).run / "supervisor.json").read_text())
        return psutil.Process(recorded["pid"])

    def stop(self) -> None:
        down(self._own)

    def _signal_all(self, service: str, number: signal.Signals) -> None:
        process = self._services[service].process.find()
        assert process is not None, f"{service} does not run"
        for each in (process, *process.children(recursive=True)):  # Postgres is a family
            each.send_signal(number)
