"""The stack in containers of the official images, on loopback only."""

from __future__ import annotations

from collections.abc import Mapping

from deploy.stack.home import Home
from deploy.stack.model import Missing, Service
from eventlog.settings import StackKind


class ComposeStack:
    """One Docker Compose project for each home."""

    kind: StackKind = "compose"

    def __init__(self, home: Home, port_base: int) -> None:
        self.services: list[Service] = []
        raise Missing("not yet")

    def addresses(self) -> Mapping[str, str]:
        return {}
