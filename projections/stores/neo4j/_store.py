"""Versions, progress and reads of the graphs that Neo4j keeps."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

import neo4j

from eventlog.errors import NotFound, OnefactError, ServiceAway
from eventlog.models import Key, Model, Row
from eventlog.operations import Change
from eventlog.sink import Progress
from projections.stores._versions import FIRST_VERSION, moved
from projections.stores.neo4j import _bookkeeping as book
from projections.stores.neo4j import _cypher
from projections.stores.neo4j._connection import READ_TIMEOUT_S, answering, connect, is_deadlock, parse
from projections.stores.neo4j._sink import DEADLOCK_ATTEMPTS_MAX, Neo4jSink, writing

SCAN_ROWS = 5_000
"""Rows fetched at a time."""

T = TypeVar("T")
Read = Callable[[neo4j.Transaction], T]


class Neo4jStore:
    """A `Store`; its methods may be called from several threads."""

    name = "neo4j"

    def __init__(self, url: str) -> None:
        self._address = parse(url)
        self._lock = threading.Lock()
        self._connected: neo4j.Driver | None = None

    def prepare(self, models: list[Model]) -> None:
        for model in [book.checked(model) for model in models]:
            with answering(), self._session() as session:
                for attempt in range(1, DEADLOCK_ATTEMPTS_MAX + 1):
                    try:
                        book.make_constraints(session, model)
                        break
                    except neo4j.exceptions.Neo4jError as error:
                        # Somebody else made the same one at this moment.
                        if not is_deadlock(error) or attempt == DEADLOCK_ATTEMPTS_MAX:
                            raise
                writing(session, lambda run, model=model: book.prepare(run, model, uuid.uuid4().hex))

    def doubts(self) -> list[str]:
        return []  # every commit is on disk

    def live_version(self, model: Model) -> int:
        return self._read(lambda run: _live(run, model) or FIRST_VERSION)

    def sink(self, model: Model, topic: str, partition: int, version: int | None = None) -> Neo4jSink:
        return Neo4jSink(self, book.checked(model), topic, partition, version)

    def progress(self, model: Model, version: int | None = None) -> Progress:
        def read(run: neo4j.Transaction) -> Progress:
            wanted = version or _live(run, model)
            found = book.records(run, book.PROGRESS, model=model.name, version=wanted)
            return {(topic, partition): following for topic, partition, following in found}

        return self._read(read)

    def get(self, model: Model, key: Key, version: int | None = None) -> Row | None:
        graph = book.checked(model)
        element, id_, to = key
        if element not in graph.nodes and element not in graph.edges:
            return None
        statement = _cypher.one_of(graph, str(element))

        def read(run: neo4j.Transaction) -> Row | None:
            wanted = version or _live(run, model)
            found = book.records(run, statement, graph=wanted, id=id_, to=to)
            return _cypher.row_of(graph, str(element), found[0]) if found else None

        return self._read(read)

    def scan(self, model: Model, version: int | None = None) -> Iterator[Row]:
        """Nodes, then edges, in no order; one that is written meanwhile may show its old or its new value."""
        graph = book.checked(model)
        wanted = self.live_version(model) if version is None else version
        with answering(), self._session(fetch_size=SCAN_ROWS) as session:
            for element in (*graph.nodes, *graph.edges):
                for values in session.run(_cypher.all_of(graph, element), graph=wanted):
                    yield _cypher.row_of(graph, element, values)

    def ask(
        self, model: Model, question: str, parameters: Mapping[str, Any], version: int | None = None
    ) -> list[Row] | None:
        """Answer one of the model's questions on one version of it; None before there is any.

        Raises `NotFound` where the model has no such question.
        """
        graph = book.checked(model)
        if question not in graph.questions:
            raise NotFound(f"{model.name} has no question {question!r}; it has {', '.join(graph.questions) or 'none'}")

        def read(run: neo4j.Transaction) -> list[Row] | None:
            wanted = version or _live(run, model)
            if wanted is None:
                return None
            asked = run.run(graph.questions[question], {**parameters, "graph": wanted})
            return [record.data() for record in asked]

        return self._read(read)

    def create_version(self, model: Model, note: str = "") -> int:
        graph = book.checked(model)

        def work(run: neo4j.Transaction) -> int:
            ((_, last),) = book.records(run, book.LOCK, model=model.name, fence=uuid.uuid4().hex)
            return book.next_version(run, graph, last, note)

        self.prepare([model]) if self._read(lambda run: _live(run, model)) is None else None
        with answering():
            return int(self.write(work))

    def notes(self, model: Model) -> dict[int, str]:
        return self._read(lambda run: {row[0]: row[1] for row in book.records(run, book.NOTES, model=model.name)})

    def previous_version(self, model: Model) -> int | None:
        found = self._read(lambda run: book.records(run, book.PREVIOUS, model=model.name))
        return int(found[0][0]) if found else None

    def switch(self, model: Model, version: int, progress: Progress, live: int | None = None) -> bool:
        def work(run: neo4j.Transaction) -> bool:
            fence = uuid.uuid4().hex
            found = book.records(run, book.LOCK, model=model.name, fence=fence)
            if not found or not book.records(run, book.VERSION, id=book.version_id(model, version)):
                raise NotFound(f"read model {model.name} has no version {version}")
            old = found[0][0]
            at = book.records(run, book.PROGRESS_LOCKED, model=model.name, version=old, fence=fence)
            stands = moved({(topic, partition): following for topic, partition, following in at}) == moved(progress)
            if old != (live or old) or not stands:
                return False
            if version != old:
                # A new fence: a sink that wakes later finds its position there, but no longer its own.
                run.run(book.REFENCE, model=model.name, version=old, fence=fence).consume()
                run.run(book.SHOW, model=model.name, version=version).consume()
                run.run(book.REPLACED, model=model.name, old=old, id=book.version_id(model, version)).consume()
            return True

        with answering():
            return bool(self.write(work))

    def amend(self, model: Model, changes: Mapping[Key, Change], progress: Progress) -> bool:
        graph = book.checked(model)

        def work(run: neo4j.Transaction) -> bool:
            fence = uuid.uuid4().hex
            found = book.records(run, book.LOCK, model=model.name, fence=fence)
            if not found:
                raise NotFound(f"read model {model.name} has no version in Neo4j")
            live = found[0][0]
            at = book.records(run, book.PROGRESS_LOCKED, model=model.name, version=live, fence=fence)
            if moved({(topic, partition): following for topic, partition, following in at}) != moved(progress):
                return False
            Neo4jSink(self, graph, "", 0, live).amend(run, live, changes)
            run.run(book.REFENCE, model=model.name, version=live, fence=fence).consume()
            return True

        with answering():
            return bool(self.write(work))

    def drop_version(self, model: Model, version: int) -> None:
        def work(run: neo4j.Transaction) -> None:
            found = book.records(run, book.LOCK, model=model.name, fence=uuid.uuid4().hex)
            if found and found[0][0] == version:
                raise OnefactError(f"version {version} of {model.name} is live; it cannot be dropped")
            run.run(book.FORGET, model=model.name, version=version).consume()

        with answering():
            self.write(work)
            # Its owners are fenced by now. Killed here, it leaves rows that nobody reads; dropping again removes them.
            with self._session() as session:
                for statement in _cypher.wiping(book.checked(model)):
                    session.run(statement, graph=version).consume()

    def versions(self, model: Model) -> list[int]:
        return self._read(lambda run: [row[0] for row in book.records(run, book.VERSIONS, model=model.name)])

    def close(self) -> None:
        with self._lock:
            driver, self._connected = self._connected, None
        if driver is not None:
            driver.close()

    def write(self, work: Callable[[neo4j.Transaction], T]) -> T:
        """Run it in one transaction; the caller says what an absent server means."""
        with self._session() as session:
            done: T = writing(session, work)
            return done

    @property
    def _driver(self) -> neo4j.Driver:
        with self._lock:
            if self._connected is None:
                self._connected = connect(self._address)
            return self._connected

    def _session(self, **options: Any) -> neo4j.Session:
        return self._driver.session(database=self._address.database, **options)

    def _read(self, read: Read[T]) -> T:
        """Ask in a transaction that cannot write; once more on a new connection where the old one had died."""
        try:
            return self._ask(read)
        except ServiceAway:
            return self._ask(read)

    def _ask(self, read: Read[T]) -> T:
        with (
            answering(),
            self._session(default_access_mode=neo4j.READ_ACCESS) as session,
            session.begin_transaction(timeout=READ_TIMEOUT_S) as run,
        ):
            return read(run)


def _live(run: neo4j.Transaction, model: Model) -> int | None:
    found = book.records(run, book.LIVE, model=model.name)
    return int(found[0][0]) if found else None
