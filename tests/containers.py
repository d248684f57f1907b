"""The same services in containers, by testcontainers."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def docker_answers() -> bool:
    """True when a Docker engine answers."""
    return False


class ContainerBacking:
    """Not built yet."""

    env: dict[str, str]

    def __init__(self, folder: Path) -> None:
        raise NotImplementedError

    def settings(self) -> dict[str, Any]: ...
    def restart(self, service: str, kill: bool = True) -> None: ...
    def pause(self, service: str) -> None: ...
    def unpause(self, service: str) -> None: ...
    def stop(self) -> None: ...
