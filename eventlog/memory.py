"""Rows in memory: the reference that every store is held against, and the fold behind as-of reads."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

from eventlog.models import Graph, Hash, Key, Model, Row, SortedSet, column_type
from eventlog.operations import Change


class MemoryRows:
    """Rows of one model under its key."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self._rows: dict[Key, dict[str, Any]] = {}

    def apply(self, changes: Mapping[Key, Change]) -> None:
        for key, change in changes.items():
            if change.reset:
                self._rows.pop(key, None)
            if change.removed:
                continue
            row = self._rows.setdefault(key, dict(zip(self.model.key, key, strict=True)))
            row.update(change.puts)
            for column, number in change.adds.items():
                row[column] = (row.get(column) or 0) + number
            for column, value in change.greatest.items():
                had = row.get(column)
                row[column] = value if had is None or value > had else had

    def get(self, key: Key) -> Row | None:
        row = self._rows.get(key)
        return None if row is None else shaped(self.model, row)

    def scan(self) -> Iterator[Row]:
        rows = [shaped(self.model, row) for row in self._rows.values()]
        if isinstance(self.model, SortedSet):
            score, key = self.model.score, self.model.key[0]
            rows = [row for row in rows if row[score] is not None]
            rows.sort(key=lambda row: (-row[score], row[key]))
        else:
            rows.sort(key=lambda row: tuple(row[k] for k in self.model.key))
        yield from rows


def shaped(model: Model, columns: Mapping[str, Any]) -> Row:
    """A row as readers see it: every column, maps gathered from their entries, zero entries left out."""
    if isinstance(model, Graph):
        # Every label and every type has columns of its own.
        named = (*model.key, *model.columns_of(columns["element"]))
        return {name: columns.get(name) for name in named}
    row: Row = {name: columns.get(name) for name in model.columns}
    maps = model.maps if isinstance(model, Hash) else {}
    for name in maps:
        row[name] = {}
    for column, value in columns.items():
        if column not in row:
            column_type(model, column)
            name, _, entry = column.partition(".")
            if value is not None and value != 0:
                row[name][entry] = Decimal(value) if maps[name] == "decimal" else value
    for name in maps:
        row[name] = dict(sorted(row[name].items()))
    for name, kind in model.columns.items():
        if kind == "decimal" and name not in maps and isinstance(row[name], int):
            row[name] = Decimal(row[name])
    return row
