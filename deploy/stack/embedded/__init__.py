"""The stack without Docker: real servers as processes of this machine, on loopback only."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from deploy.stack.embedded.base import EmbeddedService
from deploy.stack.embedded.kafka import Kafka
from deploy.stack.embedded.neo4j import Neo4j
from deploy.stack.embedded.postgres import Postgres
from deploy.stack.embedded.provider import Provider
from deploy.stack.embedded.redis import Redis
from deploy.stack.embedded.registry import Registry
from deploy.stack.embedded.s3 import S3
from deploy.stack.home import Home
from eventlog.settings import StackKind

SERVICES: Sequence[type[EmbeddedService]] = (Postgres, Redis, Kafka, Registry, S3, Neo4j, Provider)
"""A new service is one module beside these and one entry here; its ports are its own slots."""


class EmbeddedStack:
    """Servers of the wheels and of Maven, each with its data under the home."""

    kind: StackKind = "embedded"

    def __init__(self, home: Home, port_base: int, without: Collection[str] = ()) -> None:
        self.services = [service(home, port_base) for service in SERVICES if service.name not in without]

    def addresses(self) -> Mapping[str, str]:
        return {service.setting or service.name: service.address for service in self.services}
