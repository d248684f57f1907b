"""A batch of changes as few statements: one per shape of row, by COPY where there are many."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import psycopg
from psycopg import sql

from eventlog.models import ColumnType, Key, Table, column_type
from eventlog.operations import Change
from projections.stores.postgres._text import array, copy_lines

SQL_TYPES: dict[ColumnType, str] = {
    "text": "text",
    "integer": "bigint",
    "decimal": "numeric",
    "boolean": "boolean",
    "time": "timestamptz",
}

COPY_ROWS_MIN = 2_000
"""From here on COPY is the faster way; below it, one statement with an array per column is (measured, local server)."""


class Columns(NamedTuple):
    """What a group of rows sets and adds to; equal ones share a statement."""

    append: bool
    puts: tuple[str, ...]
    adds: tuple[str, ...]
    newest: tuple[str, ...] = ()
    by: tuple[str, ...] = ()
    """Those of `newest` that say which row is the newer one."""


def _columns(change: Change) -> Columns:
    newest = change.newest
    if newest is None:
        return Columns(change.append, tuple(change.puts), tuple(change.adds))
    # In one order, so that rows whose facts name their columns in another one share a statement.
    return Columns(change.append, tuple(change.puts), tuple(change.adds), tuple(sorted(newest.values)), newest.by)


class Shape:
    """The statements for one group's rows of one table."""

    def __init__(self, model: Table, table: str, columns: Columns) -> None:
        key = model.key
        # A put may name key columns; the row's key is what counts.
        self.puts = tuple(column for column in columns.puts if column not in key)
        self.adds = columns.adds
        self.newest = columns.newest
        self.plain = self.puts == columns.puts and not columns.newest
        names = (*key, *self.puts, *self.adds, *self.newest)
        self.types = [column_type(model, name) for name in names]
        self.names = sql.SQL(", ").join(map(sql.Identifier, names))
        conflict = sql.SQL("") if columns.append else self._conflict(key, model, columns.by)
        insert = sql.SQL("INSERT INTO {} AS t ({}) ").format(sql.Identifier(table), self.names)
        arrays = sql.SQL(", ").join(sql.SQL(f"%s::{SQL_TYPES[kind]}[]") for kind in self.types)
        self.insert_arrays = insert + sql.SQL("SELECT * FROM unnest({})").format(arrays) + conflict
        self.staging = sql.Identifier("staging_" + table)
        target = sql.Identifier(table) if columns.append else self.staging
        self.copy = sql.SQL("COPY {} ({}) FROM STDIN").format(target, self.names)
        self.merge = (
            None
            if columns.append
            else insert + sql.SQL("SELECT {} FROM {}").format(self.names, self.staging) + conflict
        )

    def _conflict(self, key: Sequence[str], model: Table, by: Sequence[str]) -> sql.Composable:
        sets = [sql.SQL("{0} = excluded.{0}").format(sql.Identifier(column)) for column in self.puts]
        sets += [
            sql.SQL("{0} = coalesce(t.{0}, 0) + excluded.{0}").format(sql.Identifier(column)) for column in self.adds
        ]
        if self.newest:
            newer = _newer(model, by)
            sets += [
                sql.SQL("{0} = CASE WHEN {1} THEN excluded.{0} ELSE t.{0} END").format(sql.Identifier(column), newer)
                for column in self.newest
            ]
        action = sql.SQL("UPDATE SET ") + sql.SQL(", ").join(sets) if sets else sql.SQL("NOTHING")
        return sql.SQL(" ON CONFLICT ({}) DO ").format(sql.SQL(", ").join(map(sql.Identifier, key))) + action

    def row(self, key: Key, change: Change) -> tuple[Any, ...]:
        if self.plain:
            return (*key, *change.puts.values(), *change.adds.values())
        newest = change.newest.values if change.newest else {}
        return (
            *key,
            *(change.puts[column] for column in self.puts),
            *change.adds.values(),
            *(newest[column] for column in self.newest),
        )


def _newer(model: Table, by: Sequence[str]) -> sql.Composable:
    """Whether what is excluded is newer than what is there. Text by its bytes, as everybody else compares it."""
    sides = [
        sql.SQL(", ").join(
            sql.SQL('{}.{} COLLATE "C"' if model.columns[column] == "text" else "{}.{}").format(
                sql.SQL(side), sql.Identifier(column)
            )
            for column in by
        )
        for side in ("t", "excluded")
    ]
    absent = sql.SQL(" OR ").join(sql.SQL("t.{} IS NULL").format(sql.Identifier(column)) for column in by)
    return sql.SQL("{} OR ({}) < ({})").format(absent, *sides)


class Batch:
    """Writes batches of changes to one table over one connection."""

    def __init__(self, connection: psycopg.Connection[Any], model: Table, table: str) -> None:
        self._connection = connection
        self._model = model
        self._table = table
        self._shapes: dict[Columns, Shape] = {}
        self._staged = False
        self._dirty = False

    def write(self, changes: Mapping[Key, Change]) -> None:
        """Put the changes into the open transaction."""
        self._dirty = False
        gone, groups = self._grouped(changes)
        if gone:
            self._delete(gone)
        for shape, rows in groups:
            # In key order: neighbours share index pages (a fifth faster at 20,000 rows), and two partitions that write
            # the same rows take their locks in one order, so they wait for each other instead of deadlocking.
            rows.sort()
            columns = list(zip(*rows, strict=True))
            if len(rows) < COPY_ROWS_MIN:
                literals = [array(column, kind) for column, kind in zip(columns, shape.types, strict=True)]
                self._connection.execute(shape.insert_arrays, literals, prepare=True)
            else:
                self._copy(shape, copy_lines(columns, shape.types))

    def _grouped(self, changes: Mapping[Key, Change]) -> tuple[list[Key], list[tuple[Shape, list[tuple[Any, ...]]]]]:
        gone: list[Key] = []
        groups: dict[Columns, tuple[Shape, list[tuple[Any, ...]]]] = {}
        for key, change in changes.items():
            if change.reset:
                gone.append(key)
                if change.removed:
                    continue
            if change.pushes is not None:
                raise TypeError(f"read model {self._model.name} is a table; entries are pushed to a Feed")
            columns = _columns(change)
            group = groups.get(columns)
            if group is None:
                group = groups[columns] = (self._shape(columns), [])
            group[1].append(group[0].row(key, change))
        return gone, list(groups.values())

    def _shape(self, columns: Columns) -> Shape:
        shape = self._shapes.get(columns)
        if shape is None:
            shape = self._shapes[columns] = Shape(self._model, self._table, columns)
        return shape

    def _copy(self, shape: Shape, lines: bytes) -> None:
        if shape.merge is not None:
            self._stage(shape)
        with self._connection.cursor() as cursor:
            with cursor.copy(shape.copy) as copy:
                copy.write(lines)
            if shape.merge is not None:
                cursor.execute(shape.merge)

    def _stage(self, shape: Shape) -> None:
        """An empty temporary table of the model's columns; each commit empties it, and it goes with the connection."""
        if not self._staged:
            columns = sql.SQL(", ").join(
                sql.SQL("{} " + SQL_TYPES[kind]).format(sql.Identifier(name))
                for name, kind in self._model.columns.items()
            )
            create = sql.SQL("CREATE TEMP TABLE IF NOT EXISTS {} ({}) ON COMMIT DELETE ROWS")
            self._connection.execute(create.format(shape.staging, columns))
            self._staged = True
        elif self._dirty:
            # Only where one batch has two big groups.
            self._connection.execute(sql.SQL("TRUNCATE {}").format(shape.staging))
        self._dirty = True

    def _delete(self, keys: list[Key]) -> None:
        model = self._model
        keys.sort()
        columns = list(zip(*keys, strict=True))
        types = [model.columns[name] for name in model.key]
        names = [sql.Identifier(name) for name in model.key]
        statement = sql.SQL("DELETE FROM {} AS t USING unnest({}) AS gone ({}) WHERE {}").format(
            sql.Identifier(self._table),
            sql.SQL(", ").join(sql.SQL(f"%s::{SQL_TYPES[kind]}[]") for kind in types),
            sql.SQL(", ").join(names),
            sql.SQL(" AND ").join(sql.SQL("t.{0} = gone.{0}").format(name) for name in names),
        )
        literals = [array(column, kind) for column, kind in zip(columns, types, strict=True)]
        self._connection.execute(statement, literals, prepare=True)
