"""One partition's way into Redis: rows and position in one script call, fenced by the position."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Mapping
from datetime import datetime
from itertools import islice
from typing import Any

import msgspec
import redis

from eventlog.errors import Fenced, NotFound
from eventlog.models import Feed, Hash, Key, SortedSet, Timeline
from eventlog.operations import Change, Newest
from projections.stores.redis._connection import connect
from projections.stores.redis._layout import Layout, decimal_text, microseconds, read, score
from projections.stores.redis._scripts import APPLY, OPEN, VALUES

CACHED_ROWS_MAX = 100_000
"""Rows whose added-up columns are remembered between batches, so that they need not be read again."""

Known = dict[str, Any]


class Written:
    """One batch as the script takes it: see `APPLY`."""

    def __init__(self) -> None:
        self.deleted: list[str] = []
        self.cleared: list[list[str]] = []
        self.rows: list[list[str]] = []
        self.unscored: list[str] = []
        self.forgotten: list[str] = []
        self.scores: list[str] = []
        self.exact: list[str] = []
        self.made: list[str] = []
        self.newest: list[list[str | list[str]]] = []
        self.pushed: list[list[str | int]] = []
        self.timed: list[list[str | int]] = []
        self.untimed: list[list[str]] = []

    def packed(self) -> bytes:
        return msgspec.msgpack.encode(
            [
                *(self.deleted, self.cleared, self.rows),
                *(self.unscored, self.forgotten, self.scores, self.exact, self.made),
                *(self.newest, self.pushed, self.timed, self.untimed),
            ]
        )


class RedisSink:
    """A `Sink`; not to be shared between threads. After any error it is closed, and `open` starts it anew.

    `Add` is exact: the sink reads the numbers, adds in decimals, and writes the sums. That is safe because the script
    applies them only if nothing was written since by another owner of the partition; so a row that has adds belongs
    to one partition. What was read and written stays known until an error.
    """

    def __init__(self, url: str, layout: Layout, topic: str, partition: int, version: int | None) -> None:
        self._url = url
        self._layout = layout
        self._place = f"{topic}:{partition}"
        self._pinned = version
        self._client: redis.Redis | None = None
        self._prefix = ""
        self._next = 0
        self._fence = ""
        self._known: dict[str, Known] = {}

    def open(self) -> int:
        self.close()
        client = connect(self._url, single=True)
        try:
            arguments = [str(self._pinned or ""), self._place, uuid.uuid4().hex]
            found = OPEN(client, [self._layout.base], arguments)
        except BaseException:
            client.close()
            raise
        if found is None:
            client.close()
            raise NotFound(f"read model {self._layout.model.name} has no version {self._pinned}")
        version, position = found
        following, self._fence = position.decode().split(" ")
        self._next = int(following)
        self._prefix = self._layout.prefix(int(version))
        self._client = client
        return self._next

    def apply(self, changes: Mapping[Key, Change], next_offset: int) -> None:
        if self._client is None:
            raise Fenced(f"{self} is not open")
        try:
            batch = self._written(self._client, changes)
            keys = [f"{self._prefix}progress", f"{self._prefix}scores", f"{self._prefix}exact"]
            positions = [f"{following} {self._fence}" for following in (self._next, next_offset)]
            if APPLY(self._client, keys, [self._place, *positions, batch.packed()]) != 1:
                raise Fenced(f"{self} is no longer at {self._next} for this owner")
        except BaseException:
            self.close()
            raise
        self._next = next_offset
        self._bound()

    def packed(self, version: int, changes: Mapping[Key, Change]) -> bytes:
        """A batch of whole rows of a version, as the scripts take it; for one that is not open."""
        self._prefix = self._layout.prefix(version)
        return self._written(None, changes).packed()

    def close(self) -> None:
        self._known.clear()
        client, self._client = self._client, None
        if client is not None:
            with contextlib.suppress(redis.RedisError, OSError):
                client.close()

    def __str__(self) -> str:
        return f"{self._prefix}{self._place}"

    def _written(self, client: redis.Redis | None, changes: Mapping[Key, Change]) -> Written:
        named = [(self._layout.member(key), change) for key, change in changes.items()]
        if client is not None:
            self._read_added(client, named)
        batch = Written()
        model = self._layout.model
        for member, change in named:
            if isinstance(model, Feed):
                self._write_feed(batch, member, change, model)
            elif change.pushes is not None:
                raise TypeError(f"read model {model.name} is no Feed; entries are pushed to one")
            elif isinstance(model, Timeline):
                self._write_times(batch, member, change, model)
            elif isinstance(model, SortedSet):
                self._write_score(batch, member, change, model.score)
            else:
                self._write_row(batch, member, change)
        return batch

    def _read_added(self, client: redis.Redis, named: list[tuple[str, Change]]) -> None:
        """Learn the numbers that will be added to, all in one call."""
        wanted: list[tuple[str, list[str]]] = []
        for member, change in named:
            if change.adds and not change.reset:
                known = self._known.setdefault(member, {})
                missing = [column for column in change.adds if column not in known]
                if missing:
                    wanted.append((member, missing))
        if not wanted:
            return
        if isinstance(self._layout.model, Hash):
            asked = [[f"{self._prefix}row:{member}", *columns] for member, columns in wanted]
            found = msgspec.msgpack.decode(VALUES(client, [], [msgspec.msgpack.encode(asked)]))
        else:
            asked = [[f"{self._prefix}exact", *(member for member, _ in wanted)]]
            (values,) = msgspec.msgpack.decode(VALUES(client, [], [msgspec.msgpack.encode(asked)]))
            found = [[value] for value in values]
        for (member, columns), values in zip(wanted, found, strict=True):
            known = self._known[member]
            for column, text in zip(columns, values, strict=True):
                known[column] = read(self._layout.kind(column)[0], text) if text else 0

    def _write_row(self, batch: Written, member: str, change: Change) -> None:
        name = f"{self._prefix}row:{member}"
        if change.reset:
            batch.deleted.append(name)
            self._known.pop(member, None)
            if change.removed:
                return
        row = [name, self._layout.key_column, member]
        cleared = [name]
        writers = self._layout.writers
        for column, value in self._columns(member, change).items():
            show, entry = writers.get(column) or self._layout.writer(column)
            if value is None or (entry and value == 0):
                cleared.append(column)
            else:
                row.append(column)
                row.append(show(value))
        batch.rows.append(row)
        if len(cleared) > 1 and not change.reset:
            batch.cleared.append(cleared)

        if change.newest is not None:
            batch.newest.append(self._newest(name, change.newest))

    def _newest(self, name: str, newest: Newest) -> list[str | list[str]]:
        cleared: list[str] = []
        row: list[str | list[str]] = [name, self._layout.stamp(newest), cleared]
        for column, value in newest.values.items():
            show, entry = self._layout.writers.get(column) or self._layout.writer(column)
            if value is None or (entry and value == 0):
                cleared.append(column)
            else:
                row += (column, show(value))
        return row

    def _write_feed(self, batch: Written, member: str, change: Change, model: Feed) -> None:
        name = f"{self._prefix}row:{member}"
        if change.puts or change.adds or change.newest or change.append:
            raise TypeError(f"read model {model.name} is a Feed; entries are pushed to it, and nothing else")
        if change.reset:
            batch.deleted.append(name)
        if change.pushes:
            kept = change.pushes[-model.limit :]
            elements = [self._layout.element(push) for push in kept]
            batch.pushed.append([name, model.limit, self._layout.expires_ms(kept), *elements])

    def _write_times(self, batch: Written, member: str, change: Change, model: Timeline) -> None:
        name = f"{self._prefix}row:{member}"
        if change.adds or change.newest:
            raise TypeError(f"read model {model.name} is a Timeline; its times are put, and nothing else")
        if change.reset:
            batch.deleted.append(name)
        timed: list[str | int] = [name]
        untimed = [name]
        for column, time in change.puts.items():
            self._layout.kind(column)  # raises at one that does not exist
            _, _, entry = column.partition(".")
            if column in model.key:
                continue
            if isinstance(time, datetime) and entry:
                timed += (microseconds(time), entry)
            elif time is None and entry:
                untimed.append(entry)
            else:
                raise TypeError(f"{column} of {model.name} is not {time!r} but the time of a name")
        if len(timed) > 1:
            batch.timed.append(timed)
        if len(untimed) > 1 and not change.reset:
            batch.untimed.append(untimed)

    def _write_score(self, batch: Written, member: str, change: Change, column: str) -> None:
        if change.newest is not None:
            raise TypeError(f"read model {self._layout.model.name} is a SortedSet; its rows know no newest columns")
        if change.reset:
            batch.unscored.append(member)
            batch.forgotten.append(member)
            self._known.pop(member, None)
            if change.removed:
                return
        columns = self._columns(member, change)
        for name in columns:
            self._layout.kind(name)  # raises at one that does not exist
        number = columns.get(column)
        if number is not None:
            batch.scores += (score(number), member)
            batch.exact += (member, decimal_text(number))
        elif column in columns or change.reset:
            batch.unscored.append(member)
            batch.exact += (member, "")
        else:
            batch.made.append(member)

    def _columns(self, member: str, change: Change) -> Mapping[str, Any]:
        """The row's columns as they become: what is put, and the sums of what is added."""
        columns = change.puts
        if self._layout.key_column in columns:
            columns = {name: value for name, value in columns.items() if name != self._layout.key_column}
        known = self._known.get(member)
        if known is not None:
            for name in known.keys() & columns.keys():
                known[name] = columns[name] or 0
        if change.adds:
            columns = columns.copy()
            if known is None:
                known = self._known[member] = {}
            for name, number in change.adds.items():
                columns[name] = known[name] = known.get(name, 0) + number
        return columns

    def _bound(self) -> None:
        """Forget the rows that have been known for longest."""
        over = len(self._known) - CACHED_ROWS_MAX
        if over > 0:
            for member in list(islice(self._known, over)):
                del self._known[member]
