"""The stores under test, each with what an operator (or fate) can do to it."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import neo4j
import psycopg
import pytest
import redis
from psycopg import sql

from eventlog.models import ColumnType, Hash, Model, Row, Table
from eventlog.settings import Settings
from eventlog.sink import Sink, Store
from projections.stores import open_store
from projections.stores.memory import MemoryStore
from projections.stores.neo4j import Neo4jStore
from projections.stores.neo4j._connection import parse
from tests.backing import Backing
from tests.stores.edges import EdgeStore, Rows

COLUMNS: dict[str, ColumnType] = {
    "id": "text",
    "label": "text",
    "count": "integer",
    "amount": "decimal",
    "open": "boolean",
    "seen": "time",
}
SCRATCH = "stores_test"
SCRATCH_REDIS = 9
_NUMBERS = itertools.count(1)


def fresh_name(prefix: str = "model") -> str:
    """A name that no other test, and no other run on the same servers, has."""
    return f"{prefix}_{os.getpid()}_{next(_NUMBERS)}"


@pytest.fixture(scope="session")
def scratch(settings: Settings) -> Settings:
    """The real servers, but a database of our own in each, which may be emptied."""
    with psycopg.connect(settings.postgres, autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(SCRATCH)))
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(SCRATCH)))
    own = settings.model_copy(
        update={
            "postgres": urlunsplit(urlsplit(settings.postgres)._replace(path=f"/{SCRATCH}")),
            "redis": urlunsplit(urlsplit(settings.redis)._replace(path=f"/{SCRATCH_REDIS}")),
        }
    )
    redis.Redis.from_url(own.redis).flushdb()
    return own


@dataclass
class Subject:
    """One store, and ways to hurt it."""

    name: str
    store: Store
    settings: Settings | None = None
    sinks: list[Sink] = field(default_factory=list)

    def model(self) -> Model:
        """A new model of every column type, prepared."""
        kind = {"redis": Hash, "neo4j": Rows}.get(self.name, Table)
        model: Model = kind(fresh_name(), ("id",), COLUMNS)
        self.store.prepare([model])
        return model

    def sink(self, model: Model, partition: int = 0, version: int | None = None) -> Sink:
        sink = self.store.sink(model, "facts", partition, version)
        self.sinks.append(sink)
        return sink

    def opened(self, model: Model, partition: int = 0, version: int | None = None) -> tuple[Sink, int]:
        sink = self.sink(model, partition, version)
        return sink, sink.open()

    def rows(self, model: Model, version: int | None = None) -> list[Row]:
        return list(self.store.scan(model, version))

    def sql(self, statement: str, *parameters: object) -> list[tuple[object, ...]]:
        assert self.settings is not None
        with psycopg.connect(self.settings.postgres, autocommit=True) as connection:
            cursor = connection.execute(statement.encode(), parameters)
            return cursor.fetchall() if cursor.description else []

    def redis(self) -> redis.Redis:
        assert self.settings is not None
        return redis.Redis.from_url(self.settings.redis)

    def cypher(self, statement: str, **parameters: object) -> list[Any]:
        assert self.settings is not None
        address = parse(self.settings.neo4j)
        with neo4j.GraphDatabase.driver(address.uri, auth=address.auth) as driver:
            return driver.execute_query(statement, parameters).records  # type: ignore[arg-type]

    def kill_connections(self) -> None:
        """What a restart of the server does to those connected."""
        match self.name:
            case "postgres":
                self.sql(
                    "SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity "
                    "WHERE datname = current_database() AND pid <> pg_backend_pid()"
                )
            case "redis":
                self.redis().client_kill_filter(_type="normal", skipme=True)
            case "neo4j":
                self.cypher(
                    "CALL dbms.listConnections() YIELD connectionId, userAgent WITH connectionId, userAgent "
                    "WHERE userAgent = 'onefact' CALL dbms.killConnection(connectionId) YIELD message RETURN message"
                )

    def empty(self) -> None:
        """Lose what keeps the positions (and, in Redis, everything)."""
        match self.name:
            case "postgres":
                self.sql("TRUNCATE onefact.progress")
            case "redis":
                self.redis().flushdb()
            case "neo4j":
                self.cypher("MATCH (p:OnefactProgress) DELETE p")
            case _:
                assert isinstance(self.store, MemoryStore)
                self.store.empty()


@pytest.fixture(params=["memory", "postgres", "redis", "neo4j"])
def subject(request: pytest.FixtureRequest) -> Iterator[Subject]:
    """Each store in turn; a test that takes it is part of the contract."""
    yield from _subject(request.param, request)


@pytest.fixture(params=["postgres", "redis", "neo4j"])
def server(request: pytest.FixtureRequest) -> Iterator[Subject]:
    """Each store that has connections to lose."""
    yield from _subject(request.param, request)


@pytest.fixture
def postgres(request: pytest.FixtureRequest) -> Iterator[Subject]:
    yield from _subject("postgres", request)


@pytest.fixture
def redis_store(request: pytest.FixtureRequest) -> Iterator[Subject]:
    yield from _subject("redis", request)


@pytest.fixture
def graphs(request: pytest.FixtureRequest) -> Iterator[Subject]:
    yield from _subject("neo4j", request)


def settings_of(name: str, request: pytest.FixtureRequest) -> Settings:
    match name:
        case "memory":
            return Settings()
        case "neo4j":
            backing: Backing = request.getfixturevalue("graph_backing")
            return Settings(**backing.settings())
        case _:
            scratch: Settings = request.getfixturevalue("scratch")
            return scratch


def opened(name: str, settings: Settings) -> Store:
    """The store of that name; a graph as the contract's tests see it."""
    store = open_store(name, settings)
    return EdgeStore(store) if isinstance(store, Neo4jStore) else store


def _subject(name: str, request: pytest.FixtureRequest) -> Iterator[Subject]:
    settings = settings_of(name, request)
    subject = Subject(name, opened(name, settings), None if name == "memory" else settings)
    yield subject
    for sink in subject.sinks:
        sink.close()
    subject.store.close()
