"""The schema registry: Apicurio, its schemas in a file of its own, compatible with Confluent's."""

from __future__ import annotations

import httpx

from deploy.stack.cache import fetched, program_folder
from deploy.stack.embedded.base import HOST, EmbeddedService, plain_environment
from deploy.stack.java import java, java_home
from deploy.stack.model import Progress
from deploy.stack.process import Launch

COMPATIBILITY = "BACKWARD_TRANSITIVE"
"""A reader of today must read every fact ever written."""


class Registry(EmbeddedService):
    """A registered schema is on disk before its id is given out, so that no id is given out twice."""

    name = "registry"
    slots = (2, 5)  # clients, management

    @property
    def address(self) -> str:
        return f"http://{HOST}:{self.port}/apis/ccompat/v7"

    def fetch(self, progress: Progress) -> None:
        java_home()
        fetched("registry", progress)

    def prepare(self) -> Launch:
        self.folder.mkdir(mode=0o700, exist_ok=True)
        return Launch(
            argv=[
                java(),
                *("-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"),
                f"-Dquarkus.http.host={HOST}",
                f"-Dquarkus.http.port={self.port}",
                # Built in, and on every interface unless told otherwise.
                f"-Dquarkus.management.host={HOST}",
                f"-Dquarkus.management.port={self.ports[1]}",
                *("-jar", str(program_folder("registry") / "quarkus-run.jar")),
            ],
            cwd=self.folder,
            env=plain_environment()
            # By default H2 writes a commit up to half a second later.
            | {"APICURIO_DATASOURCE_URL": f"jdbc:h2:file:{self.folder}/registry;WRITE_DELAY=0"},
        )

    def settle(self) -> None:
        require_compatibility(self.address)


def require_compatibility(url: str) -> None:
    """Refuse, from now on, a schema that could not read older facts; the default checks nothing."""
    response = httpx.put(f"{url}/config", json={"compatibility": COMPATIBILITY}, timeout=5)
    response.raise_for_status()
