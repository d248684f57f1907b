"""One partition's way into a graph: rows and position in one transaction, fenced by the position."""

from __future__ import annotations

import random
import time
import uuid
from collections.abc import Mapping
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import neo4j
from neo4j import exceptions

from eventlog.errors import Fenced, NotFound, OnefactError
from eventlog.models import Graph, Key
from eventlog.operations import Change
from projections.stores.neo4j import _bookkeeping as book
from projections.stores.neo4j import _cypher
from projections.stores.neo4j._connection import WRITE_TIMEOUT_S, answering, is_deadlock

if TYPE_CHECKING:
    from projections.stores.neo4j._store import Neo4jStore

ROWS_MAX = 5_000
"""Of one statement: its rows are in the server's memory together."""
DEADLOCK_ATTEMPTS_MAX = 20
"""Partitions that write edges of the same nodes can meet in a deadlock; nothing was applied, so try again."""
KNOWN_NODES_MAX = 200_000
OPEN_ATTEMPTS_MAX = 3

# The lock first, which `SET p.lock` takes: only then is `next` compared, so of two owners the second one waits, and
# sees what the first one wrote.
ADVANCE = """
MATCH (p:OnefactProgress {id: $id}) SET p.lock = $fence
WITH p WHERE p.next = $was AND p.fence = $fence
SET p.next = $next RETURN p.next
"""
# The lock here, too: a commit whose answer was lost may still be under way.
OPEN = """
MERGE (p:OnefactProgress {id: $id})
ON CREATE SET p.next = 0, p.fence = $fence, p.model = $model, p.version = $version, p.topic = $topic,
  p.partition = $partition
SET p.lock = $fence
RETURN p.next, p.fence
"""
ANY_PROGRESS = "MATCH (p:OnefactProgress {model: $model, version: $version}) RETURN 1 LIMIT 1"


class Neo4jSink:
    """A `Sink`; not to be shared between threads. After any error it is closed, and `open` starts it anew.

    An answer that is lost after the commit was sent shows as `ServiceAway`; the next `open` then finds the position
    wherever the commit left it.
    """

    def __init__(self, store: Neo4jStore, model: Graph, topic: str, partition: int, version: int | None) -> None:
        self._store = store
        self._model = model
        self._topic = topic
        self._partition = partition
        self._pinned = version
        self._opened = False
        self._version = 0
        self._next = 0
        self._fence = ""
        self._shapes: dict[_cypher.Columns, _cypher.Shape] = {}
        self._known: set[Key] = set()
        """Nodes that this owner has written: nobody removes nodes, so an edge alone need not make them again."""

    def open(self) -> int:
        self.close()
        with answering():
            for _ in range(OPEN_ATTEMPTS_MAX):
                if self._store.write(self._find):
                    self._opened = True
                    return self._next
                self._store.prepare([self._model])
        raise NotFound(f"read model {self._model.name} has no version {self._pinned or '(live)'}")

    def apply(self, changes: Mapping[Key, Change], next_offset: int) -> None:
        if not self._opened:
            raise Fenced(f"{self} is not open")
        self._opened = False  # until it is known to have worked
        removed, groups, made = self._grouped(changes)

        def work(run: neo4j.Transaction) -> None:
            self._advance(run, next_offset)
            self._write(run, removed, groups)

        with answering():
            self._store.write(work)
        self._opened, self._next = True, next_offset
        if len(self._known) < KNOWN_NODES_MAX:
            self._known |= made

    def amend(self, run: neo4j.Transaction, version: int, changes: Mapping[Key, Change]) -> None:
        """Write whole rows of a version into the open transaction; for one that is not open."""
        self._version, model = version, self._model
        gone = {key for key, change in changes.items() if change.removed and key[0] in model.nodes}
        for element, id_, _ in gone:
            run.run(_cypher.node_removal_of(model, str(element)), id=id_, graph=version).consume()
        whole = {key: _whole(model, key, change) for key, change in changes.items() if key not in gone}
        removed, groups, _ = self._grouped(whole)
        self._write(run, removed, groups)

    def _write(
        self,
        run: neo4j.Transaction,
        removed: Mapping[str, list[Any]],
        groups: list[tuple[_cypher.Shape, list[list[Any]]]],
    ) -> None:
        for element, rows in removed.items():
            _in_pieces(run, _cypher.removal_of(self._model, element), rows, self._version)
        for shape, rows in groups:
            found = _in_pieces(run, shape.statement, rows, self._version)
            if found != len(rows):
                raise OnefactError(f"{self}: {len(rows)} of {shape.columns.element} were written as {found}")

    def close(self) -> None:
        self._opened = False
        self._known.clear()

    def __str__(self) -> str:
        return f"{self._model.name} {self._topic}/{self._partition}"

    def _find(self, run: neo4j.Transaction) -> bool:
        """Read version and position, made if new; False where the model is not there (yet)."""
        name, fence = self._model.name, uuid.uuid4().hex
        found = book.records(run, book.LOCK, model=name, fence=fence)
        if not found:
            return False
        live, last = found[0]
        version = live if self._pinned is None else self._pinned
        if not book.records(run, book.VERSION, id=book.version_id(self._model, version)):
            if self._pinned is None:
                return False
            raise NotFound(f"read model {name} has no version {version}")
        if not book.records(run, ANY_PROGRESS, model=name, version=version) and book.records(
            run, _cypher.any_of(self._model), graph=version
        ):
            # Rows for which no partition has progress are left from a lost past; start beside them.
            if self._pinned is not None:
                raise OnefactError(f"version {version} of {name} has lost its progress")
            version = book.next_version(run, self._model, last)
            run.run(book.SHOW, model=name, version=version).consume()
        parameters = {"model": name, "version": version, "topic": self._topic, "partition": self._partition}
        place = book.place_id(self._model, version, self._topic, self._partition)
        ((self._next, self._fence),) = book.records(run, OPEN, id=place, fence=fence, **parameters)
        self._version = version
        return True

    def _advance(self, run: neo4j.Transaction, next_offset: int) -> None:
        place = book.place_id(self._model, self._version, self._topic, self._partition)
        if not book.records(run, ADVANCE, id=place, was=self._next, fence=self._fence, next=next_offset):
            raise Fenced(f"{self} of version {self._version} is no longer at {self._next} for this owner")

    def _grouped(
        self, changes: Mapping[Key, Change]
    ) -> tuple[dict[str, list[Any]], list[tuple[_cypher.Shape, list[list[Any]]]], set[Key]]:
        """Edges to remove, rows by shape (nodes before edges), and the nodes among them."""
        removed: dict[str, list[Any]] = {}
        groups: dict[tuple[Any, ...], tuple[_cypher.Shape, list[list[Any]]]] = {}
        nodes, made = self._model.nodes, set[Key]()
        for key, change in changes.items():
            element = str(key[0])
            is_node = element in nodes
            if change.newest is not None or change.pushes is not None:
                raise TypeError(f"{self._model.name} is a graph; nodes and edges are merged into it, and nothing else")
            if is_node:
                if not (change.puts or change.adds or change.greatest) and key in self._known:
                    continue
                made.add(key)
            if change.reset:
                if is_node:
                    raise TypeError(f"{self._model.name}: {element} {key[1]} is to be removed; only edges can be")
                removed.setdefault(element, []).append([key[1], key[2]])
                if change.removed:
                    continue
            columns = (element, tuple(change.puts), tuple(change.adds), tuple(change.greatest))
            group = groups.get(columns)
            if group is None:
                group = groups[columns] = (self._shape(_cypher.Columns(*columns)), [])
            group[1].append(group[0].row(key, change))
        ordered = sorted(groups.values(), key=lambda group: not group[0].is_node)
        for shape, rows in ordered:
            # In key order: transactions that write the same rows take their locks in one order.
            rows.sort(key=_NODE if shape.is_node else _EDGE)
        return removed, ordered, made

    def _shape(self, columns: _cypher.Columns) -> _cypher.Shape:
        shape = self._shapes.get(columns)
        if shape is None:
            shape = self._shapes[columns] = _cypher.Shape(self._model, columns)
        return shape


def _whole(model: Graph, key: Key, change: Change) -> Change:
    """A node cannot be dropped for a moment, edges hold it: every column that the change does not have is cleared."""
    if key[0] not in model.nodes:
        return change
    values = {**change.greatest, **change.adds, **change.puts}
    return Change(dict.fromkeys(model.columns_of(str(key[0]))) | values)


_NODE, _EDGE = itemgetter(0), itemgetter(0, 1)


def _in_pieces(run: neo4j.Transaction, statement: str, rows: list[Any], version: int) -> int:
    """Run the statement on its rows; how many it says that it wrote."""
    written = 0
    for at in range(0, len(rows), ROWS_MAX):
        found = book.records(run, statement, rows=rows[at : at + ROWS_MAX], graph=version)
        written += found[0][0] if found else 0
    return written


def writing(session: neo4j.Session, work: Any) -> Any:
    """Run `work(transaction)` and commit, again where it met another one in a deadlock."""
    for attempt in range(1, DEADLOCK_ATTEMPTS_MAX + 1):
        try:
            with session.begin_transaction(timeout=WRITE_TIMEOUT_S) as run:
                done = work(run)
                run.commit()
                return done
        except exceptions.Neo4jError as error:
            if not is_deadlock(error) or attempt == DEADLOCK_ATTEMPTS_MAX:
                raise
            time.sleep(random.uniform(0, 0.01 * attempt))  # noqa: S311 - so that they do not meet again
    raise AssertionError
