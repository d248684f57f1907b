"""Versions, progress and reads of the read models that Postgres keeps."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

import psycopg
from psycopg import errors, sql

from eventlog.errors import NotFound, OnefactError, ServiceAway
from eventlog.models import Key, Model, Row, table_form
from eventlog.operations import Change
from eventlog.sink import Progress
from eventlog.storable import original
from projections.stores._versions import FIRST_VERSION, moved
from projections.stores.postgres import _schema
from projections.stores.postgres._batch import Batch
from projections.stores.postgres._connection import answering, connect, parse
from projections.stores.postgres._sink import PostgresSink
from projections.stores.postgres._text import parameter

PREPARE_LOCK_TIMEOUT_MS = 60_000
"""Workers that start together wait for each other's migrations."""
SCAN_ROWS = 5_000
"""Rows fetched at a time."""

# What is the highest number ever given, also where versions were made before this was kept.
NEXT_VERSION = """
INSERT INTO onefact.models (model, last) SELECT %s, max(version) + 1 FROM onefact.versions WHERE model = %s
ON CONFLICT (model) DO UPDATE SET last = greatest(models.last + 1, excluded.last) RETURNING last
"""
REPLACED = """
INSERT INTO onefact.models (model, last, previous)
SELECT %s, max(version), %s FROM onefact.versions WHERE model = %s
ON CONFLICT (model) DO UPDATE SET previous = excluded.previous
"""
REFENCE = "UPDATE onefact.progress SET fence = gen_random_uuid() WHERE model = %s AND version = %s"

Connection = psycopg.Connection[Any]
T = TypeVar("T")


class PostgresStore:
    """A `Store`; its methods may be called from several threads (reads by key take turns on one connection)."""

    name = "postgres"

    def __init__(self, url: str, *, unsafe: bool = False) -> None:
        self.parts = parse(url)
        self._unsafe = unsafe
        self._lock = threading.Lock()
        self._reader: Connection | None = None
        self._gets: dict[tuple[str, int | None], str] = {}

    def prepare(self, models: list[Model]) -> None:
        with self._own(lock_timeout=PREPARE_LOCK_TIMEOUT_MS) as connection, answering():
            if not self._unsafe:
                _schema.check_server(connection)
            _schema.prepare(connection, models)

    def doubts(self) -> list[str]:
        return []  # every commit is on disk: see `SESSION`

    def live_version(self, model: Model) -> int:
        def read(connection: Connection) -> int:
            select = "SELECT version FROM onefact.versions WHERE model = %s AND live"
            row = connection.execute(select, [model.name]).fetchone()
            return row[0] if row else FIRST_VERSION

        return self._read(read, missing=FIRST_VERSION)

    def sink(self, model: Model, topic: str, partition: int, version: int | None = None) -> PostgresSink:
        return PostgresSink(self, _schema.checked(model), topic, partition, version)

    def progress(self, model: Model, version: int | None = None) -> Progress:
        def read(connection: Connection) -> Progress:
            rows = connection.execute(
                "SELECT topic, partition, next FROM onefact.progress JOIN onefact.versions USING (model, version) "
                "WHERE model = %s AND (version = %s OR %s::integer IS NULL AND live)",
                [model.name, version, version],
            )
            return {(topic, partition): following for topic, partition, following in rows}

        return self._read(read, missing={})

    def get(self, model: Model, key: Key, version: int | None = None) -> Row | None:
        statement = self._gets.get((model.name, version))
        if statement is None:
            statement = self._gets[model.name, version] = self._get_statement(model, version)
        values = [parameter(value) for value in key]
        try:
            row = self._read(lambda connection: connection.execute(statement, values, prepare=True).fetchone())
        except errors.UndefinedTable:
            raise _absent(model, version) from None
        return None if row is None else _row(model, row)

    def scan(self, model: Model, version: int | None = None) -> Iterator[Row]:
        # The version's table, not the view: a long read of the view would keep a switch waiting.
        table = sql.Identifier(_schema.table_name(model, self.live_version(model) if version is None else version))
        order = sql.SQL(", ").join(
            sql.SQL('{} COLLATE "C"' if model.columns[name] == "text" else "{}").format(sql.Identifier(name))
            for name in model.key
        )
        select = sql.SQL("SELECT {} FROM {} ORDER BY {}").format(_columns(model), table, order)
        # The caller may rest between two rows as long as it likes.
        with (
            self._own(idle_in_transaction_session_timeout=0) as connection,
            answering(),
            connection.transaction(),
            connection.cursor("scan") as cursor,
        ):
            cursor.itersize = SCAN_ROWS
            try:
                cursor.execute(select)
            except errors.UndefinedTable:
                raise _absent(model, version) from None
            for row in cursor:
                yield _row(model, row)

    def create_version(self, model: Model, note: str = "") -> int:
        table = _schema.checked(model)
        with self._own(lock_timeout=PREPARE_LOCK_TIMEOUT_MS) as connection, answering(), connection.transaction():
            _schema.begin(connection, table)
            row = connection.execute(NEXT_VERSION, [model.name, model.name]).fetchone()
            assert row is not None
            insert = "INSERT INTO onefact.versions (model, version, live, note) VALUES (%s, %s, false, %s)"
            connection.execute(insert, [model.name, row[0], note])
            _schema.bring_up(connection, table, row[0])
            return int(row[0])

    def notes(self, model: Model) -> dict[int, str]:
        def read(connection: Connection) -> dict[int, str]:
            select = "SELECT version, note FROM onefact.versions WHERE model = %s AND note <> ''"
            return dict(connection.execute(select, [model.name]).fetchall())

        return self._read(read, missing={})

    def previous_version(self, model: Model) -> int | None:
        def read(connection: Connection) -> int:
            row = connection.execute(
                "SELECT version FROM onefact.models JOIN onefact.versions USING (model) "
                "WHERE model = %s AND version = previous",
                [model.name],
            ).fetchone()
            return row[0] if row else 0

        return self._read(read, missing=0) or None

    def switch(self, model: Model, version: int, progress: Progress, live: int | None = None) -> bool:
        with self._own() as connection, answering(), connection.transaction() as transaction:
            old, there = self._locked_versions(connection, model)
            if version not in there:
                raise _absent(model, version)
            if old != (live or old) or self._locked_progress(connection, model, old) != moved(progress):
                raise psycopg.Rollback(transaction)
            if version != old:
                self._make_live(connection, model, old, version)
            return True
        return False

    def amend(self, model: Model, changes: Mapping[Key, Change], progress: Progress) -> bool:
        table = _schema.checked(model)
        with self._own() as connection, answering(), connection.transaction() as transaction:
            live, _ = self._locked_versions(connection, model)
            if self._locked_progress(connection, model, live) != moved(progress):
                raise psycopg.Rollback(transaction)
            Batch(connection, table, _schema.table_name(model, live)).write(changes)
            connection.execute(REFENCE, [model.name, live])
            return True
        return False

    def drop_version(self, model: Model, version: int) -> None:
        with self._own() as connection, answering(), connection.transaction():
            _schema.lock(connection)
            row = connection.execute(
                "SELECT live FROM onefact.versions WHERE model = %s AND version = %s FOR UPDATE", [model.name, version]
            ).fetchone()
            if row is None:
                return
            if row[0]:
                raise OnefactError(f"version {version} of {model.name} is live; it cannot be dropped")
            for kept in ("progress", "migrations", "versions"):
                delete = sql.SQL("DELETE FROM onefact.{} WHERE model = %s AND version = %s")
                connection.execute(delete.format(sql.Identifier(kept)), [model.name, version])
            table = sql.Identifier(_schema.table_name(model, version))
            connection.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(table))

    def versions(self, model: Model) -> list[int]:
        def read(connection: Connection) -> list[int]:
            select = "SELECT version FROM onefact.versions WHERE model = %s ORDER BY version"
            return [version for (version,) in connection.execute(select, [model.name])]

        return self._read(read, missing=[])

    def close(self) -> None:
        with self._lock:
            self._drop_reader()

    def _own(self, **session: int | str) -> Connection:
        """A connection for one call, to be used as a context manager."""
        return connect(self.parts, "onefact store", **session)

    def _read(self, read: Callable[[Connection], T], *, missing: T | None = None) -> T:
        """Ask on the reading connection; once more on a new one where the old one had died.

        `missing`, if given, is the answer of a database that was never prepared.
        """
        with self._lock:
            try:
                fresh = self._reader is None
                try:
                    return self._ask(read)
                except ServiceAway:
                    if fresh:
                        raise
                    return self._ask(read)
            except (errors.UndefinedTable, errors.InvalidSchemaName):
                if missing is None:
                    raise
                return missing

    def _ask(self, read: Callable[[Connection], T]) -> T:
        if self._reader is None:
            self._reader = connect(self.parts, "onefact reader")
        try:
            with answering():
                return read(self._reader)
        except psycopg.Error:
            self._drop_reader()
            raise
        except ServiceAway:
            self._drop_reader()
            raise

    def _drop_reader(self) -> None:
        reader, self._reader = self._reader, None
        if reader is not None:
            reader.close()

    def _get_statement(self, model: Model, version: int | None) -> Any:
        name = table_form(model.name) if version is None else _schema.table_name(model, version)
        where = sql.SQL(" AND ").join(sql.SQL("{} = %s").format(sql.Identifier(column)) for column in model.key)
        return sql.SQL("SELECT {} FROM {} WHERE {}").format(_columns(model), sql.Identifier(name), where).as_string()

    def _locked_versions(self, connection: Connection, model: Model) -> tuple[int, set[int]]:
        """Lock the model's versions against everyone who opens or switches; the live one's number, and all."""
        rows = connection.execute(
            "SELECT version, live FROM onefact.versions WHERE model = %s ORDER BY version FOR UPDATE", [model.name]
        ).fetchall()
        live = next((number for number, live in rows if live), None)
        if live is None:
            raise _absent(model, None)
        return int(live), {number for number, _ in rows}

    def _locked_progress(self, connection: Connection, model: Model, version: int) -> Progress:
        """Lock a version's progress against its owners."""
        rows = connection.execute(
            "SELECT topic, partition, next FROM onefact.progress WHERE model = %s AND version = %s FOR UPDATE",
            [model.name, version],
        )
        return moved({(topic, partition): following for topic, partition, following in rows})

    def _make_live(self, connection: Connection, model: Model, old: int, new: int) -> None:
        # A new fence on each row: a sink that wakes later finds its position there, but no longer its own.
        connection.execute(REFENCE, [model.name, old])
        for version in (old, new):
            connection.execute(
                "UPDATE onefact.versions SET live = %s, note = '' WHERE model = %s AND version = %s",
                [version == new, model.name, version],
            )
        connection.execute(REPLACED, [model.name, old, model.name])
        _schema.show(connection, model, new)


def _columns(model: Model) -> sql.Composed:
    return sql.SQL(", ").join(map(sql.Identifier, model.columns))


def _row(model: Model, values: tuple[Any, ...]) -> Row:
    return {
        name: original(value) if value.__class__ is str else value
        for name, value in zip(model.columns, values, strict=True)
    }


def _absent(model: Model, version: int | None) -> NotFound:
    return NotFound(
        f"read model {model.name} has no {'version ' + str(version) if version else 'table yet'} in Postgres"
    )
