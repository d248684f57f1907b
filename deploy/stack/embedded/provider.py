"""The payment provider's simulator, which no stack has a real one of: a process of this machine in each of them."""

from __future__ import annotations

import os
import sys

from deploy.stack import health
from deploy.stack.embedded.base import HOST, EmbeddedService, plain_environment
from deploy.stack.model import Progress
from deploy.stack.process import Launch

PREFIX = "ONEFACT_PROVIDER_"
"""Of the variables that say how it misbehaves."""


class Provider(EmbeddedService):
    """What it was asked under a key it answers again, across restarts: its books are in a file."""

    name = "provider"
    setting = "payments_url"
    slots = (9,)

    @property
    def address(self) -> str:
        return f"http://:{self.home.secret(self.name)}@{HOST}:{self.port}"

    def fetch(self, progress: Progress) -> None:
        """It is here already."""

    def prepare(self) -> Launch:
        self.folder.mkdir(mode=0o700, exist_ok=True)
        told = {name: value for name, value in os.environ.items() if name.startswith(PREFIX)}
        own = {"HOST": HOST, "PORT": self.port, "TOKEN": self.home.secret(self.name), "BOOKS": "books.sqlite"}
        return Launch(
            argv=[sys.executable, "-m", "deploy.provider"],
            cwd=self.folder,
            env=plain_environment() | told | {PREFIX + name: str(value) for name, value in own.items()},
        )

    def healthy(self) -> bool:
        return health.answers_200(f"{self.address}/health")
