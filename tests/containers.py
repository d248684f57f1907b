"""The backing services in containers, by testcontainers, each on a fixed port so that it can be restarted."""

from __future__ import annotations

import os
import secrets
import subprocess
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, cast

from deploy.stack.embedded.base import HOST
from deploy.stack.embedded.kafka import OPTIONS
from deploy.stack.embedded.neo4j import OPTIONS as OPTIONS_OF_NEO4J
from deploy.stack.embedded.registry import require_compatibility
from deploy.stack.embedded.s3 import OPTIONS as OPTIONS_OF_S3
from deploy.stack.health import CHECKS
from tests.backing import addresses_as_env, env_as_settings, free_port_base, until

if TYPE_CHECKING:
    from testcontainers.core.container import DockerContainer

# Containers are stopped by whoever started them. (Read by testcontainers when it is imported.)
os.environ.setdefault("TESTCONTAINERS_RYUK_DISABLED", "true")

IMAGES = {
    "kafka": ("onefact/kafka:43.1", "confluentinc/cp-kafka:8.1.0"),
    "registry": ("onefact/registry:3.3.3", "apicurio/apicurio-registry:3.3.3"),
    "postgres": ("onefact/postgres:18", "postgres:18"),
    "redis": ("onefact/redis:9", "valkey/valkey:9"),
    "s3": ("onefact/s3:4.48", "chrislusf/seaweedfs:4.48"),
    "neo4j": ("onefact/neo4j:2026.08.1", "neo4j:2026.08.1-community"),
}
"""Built here, and public: the first that is there, unless ONEFACT_TEST_<SERVICE>_IMAGE names another."""
BUILD = Path(__file__).parents[1] / "deploy" / "images" / "build.sh"
START_TIMEOUT_S = 120
STOP_BROKER = """
for process in /proc/[0-9]*; do
  case $(tr '\\0' ' ' <"$process/cmdline") in *java*" kafka.Kafka "*) kill "${process#/proc/}";; esac
done
"""
USER = DATABASE = "onefact"
MEMORY_OF_NEO4J = {"server.memory.heap.initial_size": "256m", "server.memory.heap.max_size": "512m"}
SET_BY_TESTCONTAINERS = {
    "process.roles",
    "node.id",
    "controller.listener.names",
    "listener.security.protocol.map",
}


def docker_answers() -> bool:
    """True when a Docker engine answers."""
    import docker
    from docker.errors import DockerException

    try:
        client = docker.from_env(timeout=10)
    except DockerException:
        return False
    try:
        return bool(client.ping())
    except (DockerException, OSError):
        return False
    finally:
        client.close()


def image_of(service: str) -> str:
    """The image to use: named by the environment, built before, pulled, or built now."""
    import docker
    from docker.errors import DockerException

    if named := os.environ.get(f"ONEFACT_TEST_{service.upper()}_IMAGE"):
        return named
    local, public = IMAGES[service]
    client = docker.from_env(timeout=600)
    try:
        for name in (local, public):
            if client.images.list(name=name):
                return name
        try:
            client.images.pull(public)
        except DockerException:
            built = subprocess.run([str(BUILD), service], capture_output=True, text=True, timeout=900, check=False)
            assert built.returncode == 0, (
                f"{public} can neither be pulled nor {local} be built; "
                f"ONEFACT_TEST_BACKING=embedded does without:\n{built.stderr[-800:]}"
            )
            return local
        return public
    finally:
        client.close()


class ContainerBacking:
    """A container for each; see `tests.backing.Backing`."""

    def __init__(self, folder: Path, services: Collection[str]) -> None:
        self._services = services
        images = {service: image_of(service) for service in services}
        base = free_port_base()
        ports = {service: base + index for index, service in enumerate(services)}
        passwords = {service: secrets.token_urlsafe(16) for service in ("postgres", "redis", "s3", "neo4j")}
        make: dict[str, Callable[[str, int], DockerContainer]] = {
            "kafka": _kafka,
            "registry": _registry,
            "postgres": lambda image, port: _postgres(image, port, passwords["postgres"]),
            "redis": lambda image, port: _redis(image, port, passwords["redis"]),
            "s3": lambda image, port: _s3(image, port, passwords["s3"]),
            "neo4j": lambda image, port: _neo4j(image, port, passwords["neo4j"]),
        }
        at = {name: f"{HOST}:{port}" for name, port in ports.items()}
        addresses: dict[str, Callable[[str], str]] = {
            "kafka": str,
            "registry": "http://{}/apis/ccompat/v7".format,
            "postgres": f"postgresql://{USER}:{passwords['postgres']}@{{}}/{DATABASE}".format,
            "redis": f"redis://:{passwords['redis']}@{{}}/0".format,
            "s3": f"http://{USER}:{passwords['s3']}@{{}}/{USER}".format,
            "neo4j": f"bolt://neo4j:{passwords['neo4j']}@{{}}".format,
        }
        self._addresses = {name: addresses[name](at[name]) for name in services}
        self._containers = {name: make[name](images[name], ports[name]) for name in services}
        self.env = addresses_as_env(folder, self._addresses)
        try:
            with ThreadPoolExecutor(len(services)) as pool:
                list(pool.map(self._start, services))
        except BaseException:
            self.stop()
            raise

    def settings(self) -> dict[str, Any]:
        return env_as_settings(self.env)

    def restart(self, service: str, kill: bool = True) -> None:
        container = self._containers[service].get_wrapped_container()
        if kill:
            container.kill()
            container.wait(timeout=30)
            container.start()
        elif service == "kafka":  # below a shell, which passes no signal on
            container.exec_run(["sh", "-c", STOP_BROKER])
            container.wait(timeout=30)
            container.start()
        else:
            container.restart(timeout=30)
        self._await(service)

    def pause(self, service: str) -> None:
        self._containers[service].get_wrapped_container().pause()

    def unpause(self, service: str) -> None:
        self._containers[service].get_wrapped_container().unpause()

    def take_away(self, service: str) -> None:
        container = self._containers[service].get_wrapped_container()
        container.kill()
        container.wait(timeout=30)

    def bring_back(self, service: str) -> None:
        self._containers[service].get_wrapped_container().start()
        self._await(service)

    def stop(self) -> None:
        with ThreadPoolExecutor(len(self._services)) as pool:
            list(pool.map(lambda container: container.stop(), self._containers.values()))

    def _start(self, service: str) -> None:
        self._containers[service].start()
        self._await(service)
        if service == "registry":
            require_compatibility(self._addresses[service])

    def _await(self, service: str) -> None:
        until(
            lambda: CHECKS[service](self._addresses[service]),
            f"container of {service} healthy",
            START_TIMEOUT_S,
        )


def _on_loopback(container: DockerContainer, inside: int, port: int) -> None:
    # The library's own method takes a port alone, which Docker would publish on every interface.
    cast("dict[str, Any]", container.ports).update({str(inside): (HOST, port)})


def _kafka(image: str, port: int) -> DockerContainer:
    from testcontainers.community.kafka import KafkaContainer

    class Kafka(KafkaContainer):
        """On the loopback address whatever the library takes for this machine's name."""

        def get_container_host_ip(self) -> str:
            return HOST

        def start(self, timeout: int = START_TIMEOUT_S) -> Self:
            return super().start(timeout)

    container = Kafka(image).with_kraft()
    for name, value in OPTIONS.items():
        if name not in SET_BY_TESTCONTAINERS:
            container.with_env(f"KAFKA_{name.upper().replace('.', '_')}", value)
    container.with_env("KAFKA_HEAP_OPTS", "-Xms512m -Xmx1g")
    _on_loopback(container, 9093, port)
    return cast("DockerContainer", container)


def _registry(image: str, port: int) -> DockerContainer:
    from testcontainers.core.container import DockerContainer

    container = DockerContainer(image).with_env("APICURIO_DATASOURCE_URL", "jdbc:h2:file:/tmp/registry;WRITE_DELAY=0")
    _on_loopback(container, 8080, port)
    return container


def _postgres(image: str, port: int, password: str) -> DockerContainer:
    from testcontainers.community.postgres import PostgresContainer

    container = PostgresContainer(image, username=USER, password=password, dbname=DATABASE, driver=None)
    _on_loopback(container, 5432, port)
    return cast("DockerContainer", container)


def _redis(image: str, port: int, password: str) -> DockerContainer:
    from testcontainers.community.redis import RedisContainer

    container = RedisContainer(image, password=password)
    _on_loopback(container, 6379, port)
    container.with_command(f"redis-server --requirepass {password} --appendonly yes")
    return cast("DockerContainer", container)


def _s3(image: str, port: int, password: str) -> DockerContainer:
    from testcontainers.core.container import DockerContainer

    container = DockerContainer(image).with_env("AWS_ACCESS_KEY_ID", USER).with_env("AWS_SECRET_ACCESS_KEY", password)
    _on_loopback(container, 8333, port)
    options = " ".join(f"-{name}={value}" for name, value in OPTIONS_OF_S3.items())
    container.with_command(f"mini -dir=/data -ip.bind=0.0.0.0 {options}")
    return container


def _neo4j(image: str, port: int, password: str) -> DockerContainer:
    from testcontainers.core.container import DockerContainer

    # Not the library's own module: it waits for a line about HTTP, which is off here.
    container = DockerContainer(image).with_env("NEO4J_AUTH", f"neo4j/{password}")
    for name, value in (OPTIONS_OF_NEO4J | MEMORY_OF_NEO4J).items():
        container.with_env("NEO4J_" + name.replace("_", "__").replace(".", "_"), value)
    _on_loopback(container, 7687, port)
    return container
