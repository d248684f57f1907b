"""The stack in containers, by Docker Compose: official images, on loopback only."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import threading
from collections.abc import Collection, Mapping, Sequence
from functools import cache
from pathlib import Path

from deploy.stack import health
from deploy.stack.embedded.base import HOST, plain_environment, require_ports
from deploy.stack.embedded.kafka import OPTIONS, new_cluster_id
from deploy.stack.embedded.provider import Provider
from deploy.stack.embedded.registry import require_compatibility
from deploy.stack.home import Home, write_private
from deploy.stack.model import Missing, NotUp, Progress, Service
from eventlog.settings import StackKind

COMPOSE_FILE = Path(__file__).parents[1] / "compose.yaml"
SLOTS = {"postgres": 3, "redis": 4, "kafka": 0, "registry": 2, "s3": 10, "neo4j": 6}
IMAGES = {
    "kafka": ("apache/kafka:4.3.1", "onefact/kafka:43.1"),
    "registry": ("apicurio/apicurio-registry:3.3.3", "onefact/registry:3.3.3"),
    "postgres": ("postgres:18", "onefact/postgres:18"),
    "redis": ("valkey/valkey:9", "onefact/redis:9"),
    "s3": ("chrislusf/seaweedfs:4.48", "onefact/s3:4.48"),
    "neo4j": ("neo4j:2026.08.1-community", "onefact/neo4j:2026.08.1"),
}
"""Official, and as deploy/images/build.sh makes it; ONEFACT_<SERVICE>_IMAGE names another."""
KAFKA = {
    # A listener for the broker's calls to itself: the clients' address is outside of the container.
    "inter.broker.listener.name": "BROKER",
    "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,BROKER:PLAINTEXT,CLIENTS:PLAINTEXT",
    "listeners": "CLIENTS://0.0.0.0:19092,BROKER://127.0.0.1:9092,CONTROLLER://127.0.0.1:9093",
    "controller.quorum.voters": "1@127.0.0.1:9093",
    "log.dirs": "/var/lib/kafka/data",
}
COMMAND_TIMEOUT_S = 120
PULL_TIMEOUT_S = 1800


class Project:
    """One Compose project for each home."""

    def __init__(self, home: Home, port_base: int, without: Collection[str] = ()) -> None:
        self.home = home
        self.ports = {name: port_base + slot for name, slot in SLOTS.items() if name not in without}
        self.name = f"onefact-{hashlib.sha256(str(home.path).encode()).hexdigest()[:10]}"
        self.variables = home.path / "compose.env"
        self.one_at_a_time = threading.Lock()

    def compose(self, *arguments: str) -> None:
        """Run Compose on this project; `NotUp` with its last words."""
        done = run(
            [
                *compose_command(),
                *("-p", self.name, "-f", str(COMPOSE_FILE), "--env-file", str(self.variables)),
                *arguments,
            ],
            timeout_s=PULL_TIMEOUT_S,
        )
        if done.returncode != 0:
            raise NotUp(f"docker compose {arguments[0]} failed: {done.stderr.strip()[-300:]}")

    def container(self, service: str, template: str) -> str:
        """A field of the service's container, empty when there is none."""
        labels = {"project": self.name, "service": service}
        filters = [f"--filter=label=com.docker.compose.{k}={v}" for k, v in labels.items()]
        found = run(["docker", "ps", "-aq", *filters]).stdout.split()
        if not found:
            return ""
        return run(["docker", "inspect", "-f", template, found[0]]).stdout.strip()

    def write_variables(self, progress: Progress) -> None:
        """Ports, images and passwords, for the user alone."""
        images = {f"ONEFACT_{name.upper()}_IMAGE": image_of(name, progress) for name in self.ports}
        kafka = self.home.path / "kafka.env"
        values = images | {f"{name.upper()}_PORT": str(port) for name, port in self.ports.items()}
        values |= {
            "KAFKA_ENV": str(kafka),
            "POSTGRES_PASSWORD": self.home.secret("postgres"),
            "REDIS_PASSWORD": self.home.secret("redis"),
            "S3_PASSWORD": self.home.secret("s3"),
            "NEO4J_PASSWORD": self.home.secret("neo4j"),
        }
        write_private(self.variables, _lines(values))
        options = OPTIONS | KAFKA | {"advertised.listeners": self._advertised()}
        environment = {f"KAFKA_{k.upper().replace('.', '_')}": v for k, v in options.items()}
        environment["CLUSTER_ID"] = self.home.secret("kafka-cluster", new_cluster_id)
        environment["KAFKA_HEAP_OPTS"] = "-Xms512m -Xmx1g"
        write_private(kafka, _lines(environment))

    def _advertised(self) -> str:
        return f"CLIENTS://{HOST}:{self.ports['kafka']},BROKER://127.0.0.1:9092"


class ComposeService:
    """One container of the project; Docker starts it again when it dies."""

    poll_s = 2.0

    def __init__(self, project: Project, name: str, address: str) -> None:
        self.project = project
        self.name = name
        self.address = address
        self.url = health.without_credentials(address)

    def require(self, progress: Progress) -> None:
        compose_command()
        if not self.alive():
            require_ports(self.name, [self.project.ports[self.name]])
            if self.name == next(iter(SLOTS)) or not self.project.variables.exists():
                self.project.write_variables(progress)

    def start(self) -> None:
        with self.project.one_at_a_time:
            if not self.alive():  # the call for another one starts this one too
                self.project.compose("up", "-d", *self.project.ports)

    def alive(self) -> bool:
        return self.project.container(self.name, "{{.State.Running}}") == "true"

    def healthy(self) -> bool:
        return health.CHECKS[self.name](self.address)

    def settle(self) -> None:
        if self.name == "registry":
            require_compatibility(self.address)

    def stop(self) -> None:
        if container := self.project.container(self.name, "{{.Id}}"):
            run(["docker", "stop", "-t", "30", container])

    def pid(self) -> int | None:
        found = self.project.container(self.name, "{{.State.Pid}}")
        return int(found) or None if found else None


class ComposeStack:
    """Containers of one Compose project; their data is in its volumes."""

    kind: StackKind = "compose"

    def __init__(self, home: Home, port_base: int, without: Collection[str] = ()) -> None:
        project = Project(home, port_base, without)
        at = {name: f"{HOST}:{port}" for name, port in project.ports.items()}
        addresses = {
            "postgres": f"postgresql://onefact:{home.secret('postgres')}@{at['postgres']}/onefact",
            "redis": f"redis://:{home.secret('redis')}@{at['redis']}/0",
            "kafka": at["kafka"],
            "registry": f"http://{at['registry']}/apis/ccompat/v7",
            "s3": f"http://onefact:{home.secret('s3')}@{at['s3']}/onefact",
            "neo4j": f"bolt://neo4j:{home.secret('neo4j')}@{at['neo4j']}",
        }
        containers = [ComposeService(project, name, addresses[name]) for name in project.ports]
        provider = Provider(home, port_base)
        self.services: Sequence[Service] = [*containers, provider]
        self._addresses = addresses | {provider.setting: provider.address}

    def addresses(self) -> Mapping[str, str]:
        return self._addresses


def run(command: Sequence[str], timeout_s: float = COMMAND_TIMEOUT_S) -> subprocess.CompletedProcess[str]:
    """A command of Docker, without any variable that Compose could take for one of its file's."""
    docker = {name: value for name, value in os.environ.items() if name.startswith("DOCKER_")}
    return subprocess.run(
        command,
        env=plain_environment() | docker,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )


@cache
def compose_command() -> tuple[str, ...]:
    """`docker compose` or `docker-compose`, whichever there is; else `Missing`."""
    if shutil.which("docker") is None:
        raise Missing("Docker is missing: apt-get install docker.io docker-compose")
    if run(["docker", "info", "-f", "{{.ServerVersion}}"]).returncode != 0:
        raise Missing("no Docker engine answers: start it (systemctl start docker), or set DOCKER_HOST")
    if run(["docker", "compose", "version"]).returncode == 0:
        return ("docker", "compose")
    if shutil.which("docker-compose") is not None:
        return ("docker-compose",)
    raise Missing("Docker Compose is missing: apt-get install docker-compose")


def image_of(service: str, progress: Progress) -> str:
    """The image to use: named by the environment, official, or built here."""
    official, built = IMAGES[service]
    if named := os.environ.get(f"ONEFACT_{service.upper()}_IMAGE"):
        return named
    for image in (official, built):
        if run(["docker", "image", "inspect", image]).returncode == 0:
            return image
    progress(service, "pulling")
    pulled = run(["docker", "pull", "-q", official], timeout_s=PULL_TIMEOUT_S)
    if pulled.returncode != 0:
        raise Missing(
            f"image {official} cannot be pulled: build it (deploy/images/build.sh {service}), "
            f"or name another in ONEFACT_{service.upper()}_IMAGE"
        )
    return official


def _lines(values: Mapping[str, str]) -> str:
    return "".join(f"{name}={value}\n" for name, value in values.items())
