"""One partition's way into a table: rows and position in one transaction, fenced by the position."""

from __future__ import annotations

import contextlib
import zlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import errors, sql

from eventlog.errors import Fenced, NotFound
from eventlog.models import Key, Table
from eventlog.operations import Change
from projections.stores.postgres import _schema
from projections.stores.postgres._batch import Batch
from projections.stores.postgres._connection import answering, connect, end_zombies

if TYPE_CHECKING:
    from projections.stores.postgres._store import PostgresStore

DEADLOCK_ATTEMPTS_MAX = 5
"""Two partitions that write the same rows in other orders can meet in a deadlock; nothing was applied, so try again."""
OPEN_ATTEMPTS_MAX = 3

ADVANCE = """
UPDATE onefact.progress SET next = %s
WHERE model = %s AND version = %s AND topic = %s AND partition = %s AND next = %s AND fence = %s
"""


class PostgresSink:
    """A `Sink`; not to be shared between threads. After any error it is closed, and `open` starts it anew.

    An answer that is lost after COMMIT was sent shows as `ServiceAway`; the next `open` then finds the position
    wherever the commit left it.
    """

    def __init__(self, store: PostgresStore, model: Table, topic: str, partition: int, version: int | None) -> None:
        self._store = store
        self._model = model
        self._topic = topic
        self._partition = partition
        self._pinned = version
        self._connection: psycopg.Connection[Any] | None = None
        self._batch: Batch | None = None
        self._version = 0
        self._next = 0
        self._fence: Any = None

    def open(self) -> int:
        self.close()
        self._connection = connection = connect(self._store.parts, self._application_name())
        try:
            with answering():
                end_zombies(connection)
                for _ in range(OPEN_ATTEMPTS_MAX):
                    if self._find(connection):
                        break
                    self._store.prepare([self._model])
                else:
                    raise NotFound(f"read model {self._model.name} has no version {self._pinned or '(live)'}")
        except BaseException:
            self.close()
            raise
        self._batch = Batch(connection, self._model, _schema.table_name(self._model, self._version))
        return self._next

    def apply(self, changes: Mapping[Key, Change], next_offset: int) -> None:
        if self._connection is None:
            raise Fenced(f"{self} is not open")
        try:
            with answering():
                self._apply(self._connection, changes, next_offset)
        except BaseException:
            self.close()
            raise
        self._next = next_offset

    def close(self) -> None:
        connection, self._connection, self._batch = self._connection, None, None
        if connection is not None:
            with contextlib.suppress(psycopg.Error):
                connection.close()

    def __str__(self) -> str:
        return f"{self._model.name} {self._topic}/{self._partition}"

    def _application_name(self) -> str:
        # At most 63 bytes are kept; the checksum makes it one partition's own, whatever is cut off.
        place = f"{self._model.name}/{self._pinned or 'live'}/{self._topic}/{self._partition}"
        return f"onefact {zlib.crc32(place.encode()):08x} {self._model.name[:20]} {self._partition}"

    def _find(self, connection: psycopg.Connection[Any]) -> bool:
        """Read version and position, made if new; False where there is no such version (yet)."""
        try:
            with connection.transaction():
                return self._locked(connection)
        except (errors.UndefinedTable, errors.InvalidSchemaName):
            return False

    def _locked(self, connection: psycopg.Connection[Any]) -> bool:
        # The row lock keeps a switch, and others who open, out until this has ended.
        which = sql.SQL("live") if self._pinned is None else sql.SQL("version = {}").format(sql.Literal(self._pinned))
        name = self._model.name
        select = sql.SQL("SELECT version FROM onefact.versions WHERE model = %s AND {} FOR UPDATE").format(which)
        row = connection.execute(select, [name]).fetchone()
        if row is None:
            return False
        self._version = row[0]
        place = [name, self._version, self._topic, self._partition]
        found = connection.execute(
            "SELECT next, fence FROM onefact.progress "
            "WHERE model = %s AND version = %s AND topic = %s AND partition = %s",
            place,
        ).fetchone()
        if found is None:
            self._clear_unaccounted(connection)
            found = connection.execute(
                "INSERT INTO onefact.progress (model, version, topic, partition, next) VALUES (%s, %s, %s, %s, 0) "
                "RETURNING next, fence",
                place,
            ).fetchone()
            assert found is not None
        self._next, self._fence = found
        return True

    def _clear_unaccounted(self, connection: psycopg.Connection[Any]) -> None:
        """Rows for which no partition has progress are left from a lost past; start without them."""
        any_progress = connection.execute(
            "SELECT 1 FROM onefact.progress WHERE model = %s AND version = %s LIMIT 1",
            [self._model.name, self._version],
        ).fetchone()
        if any_progress is None:
            table = sql.Identifier(_schema.table_name(self._model, self._version))
            connection.execute(sql.SQL("DELETE FROM {}").format(table))

    def _apply(self, connection: psycopg.Connection[Any], changes: Mapping[Key, Change], next_offset: int) -> None:
        for attempt in range(1, DEADLOCK_ATTEMPTS_MAX + 1):
            try:
                with connection.transaction():
                    self._advance(connection, next_offset)
                    if self._batch is not None:
                        self._batch.write(changes)
                return
            except errors.DeadlockDetected:
                if attempt == DEADLOCK_ATTEMPTS_MAX:
                    raise
                # The rollback took a staging table made in this transaction with it.
                self._batch = Batch(connection, self._model, _schema.table_name(self._model, self._version))

    def _advance(self, connection: psycopg.Connection[Any], next_offset: int) -> None:
        place = (self._model.name, self._version, self._topic, self._partition)
        try:
            cursor = connection.execute(ADVANCE, (next_offset, *place, self._next, self._fence), prepare=True)
        except (errors.UndefinedTable, errors.InvalidSchemaName):
            raise Fenced(f"{self}: the store was emptied") from None
        if cursor.rowcount != 1:
            raise Fenced(f"{self} of version {self._version} is no longer at {self._next} for this owner")
