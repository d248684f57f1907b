"""The stores that read models live in: one adapter each, all under the one contract of `eventlog.sink`."""

from __future__ import annotations

from collections.abc import Callable

from eventlog.errors import BadInput
from eventlog.settings import Settings
from eventlog.sink import Store

STORES = ("postgres", "redis", "neo4j")
"""Names that `open_store` knows, besides `memory`."""
OPTIONAL = frozenset({"neo4j"})
"""Stores that an installation may do without; read models in them are then left out."""

OpenStore = Callable[[str, Settings], Store]
"""As `open_store`: tests give stores of their own."""


def left_out(store: str, settings: Settings) -> bool:
    """Whether this installation does without the store: it is one that may be left out, and has no address."""
    return store in OPTIONAL and not getattr(settings, store)


def open_store(name: str, settings: Settings) -> Store:
    """The store of that name at the address that the settings give; it connects when it is first asked something.

    Raises `ServiceAway` when the address is not known, `BadInput` when it cannot be read or the name is none.
    A driver is imported only when its store is opened.
    """
    match name:
        case "postgres":
            from projections.stores.postgres import PostgresStore

            return PostgresStore(settings.required("postgres").postgres, unsafe=settings.unsafe_stores)
        case "redis":
            from projections.stores.redis import RedisStore

            return RedisStore(settings.required("redis").redis, unsafe=settings.unsafe_stores)
        case "neo4j":
            from projections.stores.neo4j import Neo4jStore

            return Neo4jStore(settings.required("neo4j").neo4j)
        case "memory":
            from projections.stores.memory import MemoryStore

            return MemoryStore()
        case _:
            raise BadInput(f"there is no store {name!r}; there are {', '.join(STORES)} and memory")
