"""What a backing service is, however it is run: embedded, in containers, or somebody else's."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypedDict

from eventlog.errors import OnefactError
from eventlog.settings import StackKind

Progress = Callable[[str, str], None]
"""`progress(step, state)`: a step is `kafka` or `worker processors-1`, a state `fetching` or `ready`."""


def silent(step: str, state: str) -> None:
    """Report to nobody."""


class Missing(OnefactError):
    """Something the machine must have is not there; the message says what to install or do."""


class NotUp(OnefactError):
    """Something that was started did not become ready; the message carries the end of its log."""


class Service(Protocol):
    """One backing service of a stack."""

    @property
    def name(self) -> str: ...

    @property
    def url(self) -> str:
        """Where clients find it, without credentials."""
        ...

    @property
    def poll_s(self) -> float:
        """How often it is cheap to ask `alive`."""
        ...

    def require(self, progress: Progress) -> None:
        """Have everything that a start needs, or raise `Missing` in one line."""
        ...

    def start(self) -> None:
        """Start it, or adopt the one that still runs; does not wait until it is healthy."""
        ...

    def alive(self) -> bool: ...

    def healthy(self) -> bool:
        """Ask the service itself, with a time-out of a few seconds; never raises."""
        ...

    def settle(self) -> None:
        """What is to be set once it is healthy; idempotent."""
        ...

    def stop(self) -> None:
        """Stop it gracefully, and by force when that takes too long."""
        ...

    def pid(self) -> int | None: ...


class Stack(Protocol):
    """The backing services together."""

    @property
    def kind(self) -> StackKind: ...

    @property
    def services(self) -> Sequence[Service]: ...

    def addresses(self) -> Mapping[str, str]:
        """Field of `Settings` -> address, with credentials."""
        ...


@dataclass(frozen=True)
class WorkerSpec:
    """A worker process that is kept running: its name, the roles it serves, its HTTP port."""

    name: str
    roles: tuple[str, ...]
    port: int = 0


class ServiceStatus(TypedDict):
    url: str
    pid: int | None
    healthy: bool


class WorkerStatus(TypedDict):
    name: str
    pid: int | None
    roles: list[str]
    ready: bool


class Status(TypedDict):
    """What `onefact status --json` prints."""

    stack: str
    services: dict[str, ServiceStatus]
    workers: list[WorkerStatus]
