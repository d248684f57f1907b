"""Rows in memory: the reference that every store is held against, and the fold behind as-of reads."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from decimal import Decimal
from operator import itemgetter
from typing import Any

from eventlog.models import ENTRIES, Feed, Graph, Hash, Key, Model, Row, SortedSet, Timeline, column_type
from eventlog.operations import Change, Newest, Push, stamp, stamp_of

Entry = tuple[datetime, dict[str, Any]]
"""Of a feed: when its time to live began, and its columns."""


class MemoryRows:
    """Rows of one model under its key. Entries of feeds expire where readers say which time it is."""

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
            if change.newest is not None:
                _set_newest(row, change.newest)
            if change.pushes is not None:
                row[ENTRIES] = _pushed(self.model, change.pushes, row.get(ENTRIES, []))

    def kept(self, key: Key) -> dict[str, Any] | None:
        """A row as it is kept, which `seed` takes: more than readers see of it."""
        return self._rows.get(key)

    def seed(self, key: Key, columns: dict[str, Any]) -> None:
        """Begin with a row that was kept."""
        self._rows[key] = columns

    def get(self, key: Key, now: datetime | None = None) -> Row | None:
        row = self._rows.get(key)
        return None if row is None else self._seen(row, now)

    def scan(self, now: datetime | None = None) -> Iterator[Row]:
        seen = (self._seen(row, now) for row in self._rows.values())
        rows = [row for row in seen if row is not None]
        if isinstance(self.model, SortedSet):
            score, key = self.model.score, self.model.key[0]
            rows = [row for row in rows if row[score] is not None]
            rows.sort(key=lambda row: (-row[score], row[key]))
        else:
            rows.sort(key=lambda row: tuple(row[k] for k in self.model.key))
        yield from rows

    def _seen(self, columns: Mapping[str, Any], now: datetime | None) -> Row | None:
        """A row as readers see it; None where all of a feed's entries have expired."""
        if isinstance(self.model, Feed):
            begun = shown_since(self.model, now)
            found = [dict(values) for at, values in columns.get(ENTRIES, ()) if begun is None or at > begun]
            return feed_row(self.model, columns[self.model.key[0]], found)
        row = shaped(self.model, columns)
        return None if isinstance(self.model, Timeline) and not row[self.model.times] else row


def _pushed(model: Model, pushes: list[Push], known: list[Entry]) -> list[Entry]:
    if not isinstance(model, Feed):
        raise TypeError(f"read model {model.name} is no Feed; entries are pushed to one")
    return [*((push.at, entry(model, push)) for push in reversed(pushes)), *known][: model.limit]


def shown_since(model: Feed, now: datetime | None) -> datetime | None:
    """Entries whose time to live began then or before have expired; None where none has."""
    return now - model.expires if now and model.expires else None


def feed_row(model: Feed, key: Any, entries: list[dict[str, Any]]) -> Row | None:
    """A feed's row of the entries that have not expired, newest first; None where there are none."""
    return {model.key[0]: key, ENTRIES: entries} if entries else None


def entry(model: Feed, push: Push) -> dict[str, Any]:
    """An entry with all of its columns."""
    values: Mapping[str, Any] = push.values
    for column in values:
        column_type(model, column)
    return {
        name: Decimal(values[name]) if kind == "decimal" and values.get(name) is not None else values.get(name)
        for name, kind in model.entry.items()
    }


def _set_newest(row: dict[str, Any], newest: Newest) -> None:
    known = stamp(newest.by, row)
    if None in known or known < stamp_of(newest):
        row.update(newest.values)


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
    if isinstance(model, Timeline):
        newest_first = sorted(row[model.times].items(), key=itemgetter(1), reverse=True)
        row[model.times] = dict(newest_first)  # of one time by name, since sorting keeps the order of equals
    for name, kind in model.columns.items():
        if kind == "decimal" and name not in maps and isinstance(row[name], int):
            row[name] = Decimal(row[name])
    return row
