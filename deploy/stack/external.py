"""The stack of somebody else: addresses are given, nothing is started or stopped."""

from __future__ import annotations

from collections.abc import Mapping

from deploy.stack import health
from deploy.stack.model import Progress
from eventlog.errors import ServiceAway
from eventlog.settings import StackKind


class ExternalService:
    """A service that is only asked how it is."""

    poll_s = 5.0

    def __init__(self, name: str, address: str) -> None:
        self.name = name
        self.address = address
        self.url = health.without_credentials(address)

    def require(self, progress: Progress) -> None:  # noqa: ARG002 - nothing is fetched
        if not self.address:
            raise ServiceAway(self.name, f"its address is not known; set ONEFACT_{self.name.upper()}")
        if not self.healthy():
            raise ServiceAway(
                self.name,
                f"no answer at {self.url}; start it, or correct ONEFACT_{self.name.upper()}",
            )

    def start(self) -> None: ...

    def alive(self) -> bool:
        return True

    def healthy(self) -> bool:
        return health.CHECKS[self.name](self.address)

    def settle(self) -> None: ...

    def stop(self) -> None: ...

    def pid(self) -> int | None:
        return None


class ExternalStack:
    """Services known by their addresses alone."""

    kind: StackKind = "external"

    def __init__(self, addresses: Mapping[str, str]) -> None:
        self.services = [
            ExternalService(name, addresses.get(name, ""))
            for name in health.CHECKS
            if addresses.get(name) or name not in health.OPTIONAL
        ]

    def addresses(self) -> Mapping[str, str]:
        return {service.name: service.address for service in self.services}
