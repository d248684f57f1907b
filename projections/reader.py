"""Reads read models: as they are, as they were, or not before they have applied what the caller has seen."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from datetime import date, datetime
from typing import Any, NamedTuple, overload

from eventlog.errors import BadInput, NotFound
from eventlog.models import Key, Model, Row, Value
from eventlog.position import Position
from eventlog.roles import Catalog, Projection
from eventlog.settings import Settings
from eventlog.sink import Store
from projections.asof import Histories
from projections.finding import projection_of
from projections.keys import key_of, row_key
from projections.lineage import Deadline, Lineage
from projections.points import parse_point
from projections.stores import OpenStore, open_store

TIMEOUT_S = 30.0
"""Of a wait for a position, unless the caller says otherwise."""

Given = Value | Sequence[Value]
"""A key: one value, a tuple of one value per key column, or of the first ones only."""


class _Found(NamedTuple):
    projection: Projection
    model: Model
    store: Store
    plain: bool
    """The key is one text column: what is given is the key."""


class Reader:
    """Reads the models of every store; connections are opened when they are first needed, and kept until `close`.

    Safe to use from several threads. Rows have the types of the model's columns (`Decimal`, `datetime`);
    `eventlog.digest.plain` makes them JSON.
    """

    def __init__(
        self, settings: Settings | None = None, *, catalog: Catalog | None = None, stores: OpenStore = open_store
    ) -> None:
        self.settings = settings or Settings()
        self._catalog = catalog
        self._open_store = stores
        self._lock = threading.RLock()
        self._found: dict[str, _Found] = {}
        self._stores: dict[str, Store] = {}
        self._lineage: Lineage | None = None
        self._histories: Histories | None = None

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Release connections."""
        with self._lock:
            for store in self._stores.values():
                store.close()
            if self._histories is not None:
                self._histories.close()
            if self._lineage is not None:
                self._lineage.close()
            self._found, self._stores, self._lineage, self._histories = {}, {}, None, None

    @property
    def catalog(self) -> Catalog:
        if self._catalog is None:
            from eventlog.discovery import catalog

            self._catalog = catalog()
        return self._catalog

    def models(self) -> list[Model]:
        """Every read model there is."""
        return [projection.model for projection in self.catalog.projections]

    def model(self, name: str) -> Model:
        """The model of that name; raises `NotFound`."""
        return self.projection(name).model

    def projection(self, name: str) -> Projection:
        """The projection behind a model; raises `NotFound`, listing the models that there are."""
        return projection_of(self.catalog, name)

    def store(self, name: str) -> Store:
        """The store that keeps a model."""
        return self._find(name).store

    @overload
    def read(
        self,
        model: str,
        key: None = None,
        *,
        as_of: str | datetime | date | Position | None = None,
        at_least: str | Position | None = None,
        timeout_s: float = TIMEOUT_S,
        version: int | None = None,
    ) -> list[Row]: ...

    @overload
    def read(
        self,
        model: str,
        key: Given,
        *,
        as_of: str | datetime | date | Position | None = None,
        at_least: str | Position | None = None,
        timeout_s: float = TIMEOUT_S,
        version: int | None = None,
    ) -> Row | list[Row] | None: ...

    def read(
        self,
        model: str,
        key: Given = None,
        *,
        as_of: str | datetime | date | Position | None = None,
        at_least: str | Position | None = None,
        timeout_s: float = TIMEOUT_S,
        version: int | None = None,
    ) -> Row | list[Row] | None:
        """One row for a whole key (None where there is none); else a list of rows, of all or of a key's first columns.

        Sorted sets come highest first. `at_least` waits until the model has applied a position, or something
        that it leads to. `as_of` folds the log up to a time or a position, exactly. `version` reads one that
        is not live. Raises `NotFound` (no such model), `BadInput`, `Lags` (not so far in `timeout_s`), `ServiceAway`.
        """
        if as_of is not None:
            if version is not None:
                raise BadInput("a read as of a point folds the log itself; it has no version")
            return self._as_of(self.projection(model), key, as_of, at_least, Deadline(timeout_s))
        found = self._found.get(model) or self._find(model)
        if at_least is not None:
            self._wait(found, at_least, Deadline(timeout_s), version)
        elif type(key) is str and found.plain and version is None:
            return found.store.get(found.model, (key,))
        if version is not None and version not in found.store.versions(found.model):
            raise NotFound(f"read model {model} has no version {version}; see `onefact models`")
        if key is None:
            return list(found.store.scan(found.model, version))
        whole = key_of(found.model, key)
        if len(whole) == len(found.model.key):
            return found.store.get(found.model, whole, version)
        return _starting(found.model, found.store.scan(found.model, version), whole)

    def _as_of(
        self,
        projection: Projection,
        key: Given,
        as_of: str | datetime | date | Position,
        at_least: str | Position | None,
        deadline: Deadline,
    ) -> Row | list[Row] | None:
        """Folded from the log; the model's store is not even opened, but to wait for it."""
        if at_least is not None:
            self._wait(self._find(projection.model.name), at_least, deadline)
        whole = () if key is None else key_of(projection.model, key)
        rows = self.histories.fold(projection, whole, parse_point(as_of), deadline)
        if len(whole) == len(projection.model.key):
            return rows.get(whole)
        return _starting(projection.model, rows.scan(), whole)

    def _wait(self, found: _Found, at_least: str | Position, deadline: Deadline, version: int | None = None) -> None:
        position = Position.parse(at_least) if isinstance(at_least, str) else at_least
        self.lineage.wait(found.projection, found.store, position, deadline, version)

    def ask(
        self,
        model: str,
        question: str,
        *,
        at_least: str | Position | None = None,
        timeout_s: float = TIMEOUT_S,
        version: int | None = None,
        **parameters: str | float,
    ) -> list[Row]:
        """Rows that answer one of a graph's questions; `at_least` and `version` as in `read`.

        Raises `NotFound` (no such model, no such question), `BadInput` (no graph), `Lags`, `ServiceAway`.
        """
        found = self._find(model)
        ask = getattr(found.store, "ask", None)
        if ask is None:
            raise BadInput(f"{model} is no graph; read it by key")
        if at_least is not None:
            self._wait(found, at_least, Deadline(timeout_s), version)
        rows: list[Row] | None = ask(found.model, question, parameters, version)
        return rows or []

    @property
    def lineage(self) -> Lineage:
        with self._lock:
            if self._lineage is None:
                self._lineage = Lineage(self.settings, self.catalog)
            return self._lineage

    @property
    def histories(self) -> Histories:
        with self._lock:
            if self._histories is None:
                self._histories = Histories(self.settings, self.catalog, self.lineage)
            return self._histories

    def _find(self, name: str) -> _Found:
        with self._lock:
            projection = self.projection(name)
            model = projection.model
            if model.store not in self._stores:
                self._stores[model.store] = self._open_store(model.store, self.settings)
            plain = len(model.key) == 1 and model.columns[model.key[0]] == "text"
            found = self._found[name] = _Found(projection, model, self._stores[model.store], plain)
            return found


def _starting(model: Model, rows: Any, start: Key) -> list[Row]:
    count = len(start)
    return [row for row in rows if row_key(model, row)[:count] == start]


class AsyncReader:
    """`Reader` for programs that run an event loop: each read in a thread."""

    def __init__(
        self, settings: Settings | None = None, *, catalog: Catalog | None = None, stores: OpenStore = open_store
    ) -> None:
        self.reader = Reader(settings, catalog=catalog, stores=stores)

    async def __aenter__(self) -> AsyncReader:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Release connections."""
        await asyncio.to_thread(self.reader.close)

    async def read(
        self,
        model: str,
        key: Given = None,
        *,
        as_of: str | datetime | date | Position | None = None,
        at_least: str | Position | None = None,
        timeout_s: float = TIMEOUT_S,
        version: int | None = None,
    ) -> Row | list[Row] | None:
        """As `Reader.read`."""
        return await asyncio.to_thread(
            self.reader.read, model, key, as_of=as_of, at_least=at_least, timeout_s=timeout_s, version=version
        )

    async def ask(
        self,
        model: str,
        question: str,
        *,
        at_least: str | Position | None = None,
        timeout_s: float = TIMEOUT_S,
        version: int | None = None,
        **parameters: str | float,
    ) -> list[Row]:
        """As `Reader.ask`."""
        return await asyncio.to_thread(
            self.reader.ask, model, question, at_least=at_least, timeout_s=timeout_s, version=version, **parameters
        )
