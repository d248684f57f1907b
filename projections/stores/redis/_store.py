"""Versions, progress and reads of the read models that Redis keeps."""

from __future__ import annotations

import re
import threading
import uuid
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from operator import itemgetter
from typing import Any

import msgspec

from eventlog.errors import NotFound, OnefactError, ServiceAway
from eventlog.models import Feed, Key, Model, Row, SortedSet, Timeline
from eventlog.operations import Change
from eventlog.sink import Progress
from projections.stores._versions import FIRST_VERSION, moved
from projections.stores.redis._connection import Argument, answering, connect
from projections.stores.redis._layout import Layout
from projections.stores.redis._scripts import AMEND, CREATE, DROP, LISTS, PREPARE, PROGRESS, RANGE, ROWS, SWITCH, TIMES
from projections.stores.redis._sink import RedisSink

SCAN_KEYS = 2_000
"""Keys looked at in one step of a scan: a millisecond or so of the server's time."""
RANGE_MEMBERS = 5_000


class RedisStore:
    """A `Store`; its methods may be called from several threads (reads by key take turns on one connection)."""

    name = "redis"

    def __init__(self, url: str, *, unsafe: bool = False) -> None:
        self._url = url
        self._unsafe = unsafe
        self._client = connect(url)
        self._lock = threading.Lock()
        self._reader: Any = None
        self._pool = connect(url, decoded=True).connection_pool
        self._layouts: dict[str, Layout] = {}
        self._live: dict[str, str] = {}

    def prepare(self, models: list[Model]) -> None:
        policy = str(self._info("memory").get("maxmemory_policy", ""))
        # volatile policies take only keys that expire, as those of feeds may.
        expiring = any(isinstance(model, Feed) and model.expires for model in models)
        if (policy.startswith("allkeys") or (expiring and policy.startswith("volatile"))) and not self._unsafe:
            raise OnefactError(
                f"Redis runs with maxmemory-policy={policy}: when its memory is full it drops rows and keeps their "
                "position; set maxmemory-policy=noeviction (ONEFACT_UNSAFE_STORES=true for data that may be lost)"
            )
        for model in models:
            layout = self._layout(model)
            differences = PREPARE(self._client, [layout.base], layout.declared())
            if differences:
                named = "; ".join(difference.decode() for difference in differences)
                raise OnefactError(
                    f"read model {model.name} in Redis: {named}; rebuild it: onefact replay {model.name}"
                )

    def doubts(self) -> list[str]:
        if self._info("persistence").get("aof_enabled") != 0:
            return []
        return ["Redis has no append-only file: a restart takes its read models back; set appendonly=yes"]

    def live_version(self, model: Model) -> int:
        with answering():
            return int(self._client.get(self._layout(model).live) or FIRST_VERSION)

    def sink(self, model: Model, topic: str, partition: int, version: int | None = None) -> RedisSink:
        return RedisSink(self._url, self._layout(model), topic, partition, version)

    def progress(self, model: Model, version: int | None = None) -> Progress:
        found = PROGRESS(self._client, [self._layout(model).base], [str(version or "")])
        progress: Progress = {}
        for place, position in zip(found[::2], found[1::2], strict=True):
            topic, _, partition = place.decode().rpartition(":")
            progress[topic, int(partition)] = int(position.split()[0])
        return progress

    def get(self, model: Model, key: Key, version: int | None = None) -> Row | None:
        layout = self._layout(model)
        member = layout.member(key)
        with self._lock:
            if version is not None:
                return self._found(layout, member, self._ask(self._commands(layout, member, str(version))))
            while True:
                believed = self._live.get(model.name, str(FIRST_VERSION))
                # The live version is asked after the row, in the same round trip: if it is the one believed to be live,
                # the row was read while it was.
                *found, live = self._ask([*self._commands(layout, member, believed), ("GET", layout.live)])
                if live is None or live == believed:
                    return self._found(layout, member, found)
                self._live[model.name] = live

    def scan(self, model: Model, version: int | None = None) -> Iterator[Row]:
        """Rows in pieces: one that is written meanwhile may show its old or its new value."""
        layout = self._layout(model)
        prefix = layout.prefix(self.live_version(model) if version is None else version)
        if isinstance(model, SortedSet):
            yield from self._scan_scores(layout, prefix)
            return
        for keys in self._row_keys(prefix):
            if isinstance(model, Feed):
                yield from self._feeds(layout, prefix, keys)
                continue
            if isinstance(model, Timeline):
                yield from self._timelines(layout, prefix, keys)
                continue
            for row in msgspec.msgpack.decode(ROWS(self._client, [], keys)):
                if row:
                    yield layout.row(dict(zip(row[::2], row[1::2], strict=True)))

    def _feeds(self, layout: Layout, prefix: str, keys: list[bytes | str]) -> Iterator[Row]:
        now = datetime.now(UTC)
        skipped = len(f"{prefix}row:".encode())
        for key, elements in zip(keys, msgspec.msgpack.decode(LISTS(self._client, [], keys)), strict=True):
            name = key if isinstance(key, bytes) else key.encode()
            row = layout.feed(name[skipped:].decode(), elements, now)
            if row is not None:
                yield row

    def _timelines(self, layout: Layout, prefix: str, keys: list[bytes | str]) -> Iterator[Row]:
        skipped = len(f"{prefix}row:".encode())
        for key, found in zip(keys, msgspec.msgpack.decode(TIMES(self._client, [], keys)), strict=True):
            name = key if isinstance(key, bytes) else key.encode()
            row = layout.timeline(name[skipped:].decode(), found)
            if row is not None:
                yield row

    def create_version(self, model: Model, note: str = "") -> int:
        layout = self._layout(model)
        return int(CREATE(self._client, [layout.base], [note, *layout.declared()]))

    def notes(self, model: Model) -> dict[int, str]:
        with answering():
            found: dict[Any, Any] = self._client.hgetall(f"{self._layout(model).base}:notes")
            return {int(version): note.decode() for version, note in found.items()}

    def previous_version(self, model: Model) -> int | None:
        with answering():
            found = self._client.get(f"{self._layout(model).base}:previous")
        return int(found) if found and int(found) in self.versions(model) else None

    def switch(self, model: Model, version: int, progress: Progress, live: int | None = None) -> bool:
        wanted = [*self._standing(version, progress), str(live or "")]
        done = SWITCH(self._client, [self._layout(model).base], wanted)
        if done < 0:
            raise NotFound(f"read model {model.name} has no version {version}")
        return bool(done)

    def amend(self, model: Model, changes: Mapping[Key, Change], progress: Progress) -> bool:
        layout, live = self._layout(model), self.live_version(model)
        batch = RedisSink(self._url, layout, "", 0, live).packed(live, changes)
        prefix = layout.prefix(live)
        keys = [layout.base, f"{prefix}scores", f"{prefix}exact"]
        return bool(AMEND(self._client, keys, [*self._standing(live, progress), batch]))

    @staticmethod
    def _standing(version: int, progress: Progress) -> list[Argument]:
        """A version, the live one's progress as it must be, and a new fence."""
        wanted = {f"{topic}:{partition}": str(n) for (topic, partition), n in moved(progress).items()}
        return [str(version), msgspec.msgpack.encode(wanted), str(len(wanted)), uuid.uuid4().hex]

    def drop_version(self, model: Model, version: int) -> None:
        layout = self._layout(model)
        if not DROP(self._client, [layout.base], [str(version)]):
            raise OnefactError(f"version {version} of {model.name} is live; it cannot be dropped")
        # Its owners are fenced by now. Killed here, it leaves rows that nobody reads; dropping again removes them.
        prefix = layout.prefix(version)
        with answering():
            self._client.unlink(f"{prefix}scores", f"{prefix}exact")
            for keys in self._row_keys(prefix):
                self._client.unlink(*keys)

    def versions(self, model: Model) -> list[int]:
        with answering():
            return sorted(int(version) for version in self._client.smembers(f"{self._layout(model).base}:versions"))

    def close(self) -> None:
        with self._lock:
            self._drop_reader()
        self._client.close()

    def _info(self, section: str) -> dict[str, Any]:
        with answering():
            found: dict[str, Any] = self._client.info(section)
            return found

    def _layout(self, model: Model) -> Layout:
        layout = self._layouts.get(model.name)
        if layout is None or layout.model is not model:
            layout = self._layouts[model.name] = Layout(model)
        return layout

    def _row_keys(self, prefix: str) -> Iterator[list[bytes | str]]:
        pattern = re.sub(r"([*?\[\]\\])", r"\\\1", prefix) + "row:*"
        seen: set[bytes | str] = set()
        cursor = 0
        while True:
            with answering():
                cursor, keys = self._client.scan(cursor, match=pattern, count=SCAN_KEYS)
            fresh = [key for key in dict.fromkeys(keys) if key not in seen]
            seen.update(fresh)
            if fresh:
                yield fresh
            if cursor == 0:
                return

    def _scan_scores(self, layout: Layout, prefix: str) -> Iterator[Row]:
        """Highest first by exact score, and by key where that is equal: the doubles that Redis sorts by may tie."""
        assert isinstance(layout.model, SortedSet)
        tied: list[tuple[Decimal, str, Row]] = []
        tied_at = None
        first = 0
        while True:
            keys = [f"{prefix}scores", f"{prefix}exact"]
            rows = msgspec.msgpack.decode(RANGE(self._client, keys, [first, first + RANGE_MEMBERS - 1]))
            for member, at, exact in rows:
                if at != tied_at:
                    yield from self._untied(tied)
                    tied, tied_at = [], at
                row = layout.scored(member, exact, at)
                if row is not None:
                    tied.append((-row[layout.model.score], member, row))
            if len(rows) < RANGE_MEMBERS:
                yield from self._untied(tied)
                return
            first += RANGE_MEMBERS

    @staticmethod
    def _untied(tied: list[tuple[Decimal, str, Row]]) -> Iterator[Row]:
        for _, _, row in sorted(tied, key=itemgetter(0, 1)):
            yield row

    @staticmethod
    def _commands(layout: Layout, member: str, version: str) -> list[tuple[str, ...]]:
        prefix = f"{layout.base}:v{version}:"
        if isinstance(layout.model, SortedSet):
            return [("HGET", f"{prefix}exact", member), ("ZSCORE", f"{prefix}scores", member)]
        if isinstance(layout.model, Feed):
            return [("LRANGE", f"{prefix}row:{member}", "0", "-1")]
        if isinstance(layout.model, Timeline):
            return [("ZRANGE", f"{prefix}row:{member}", "0", "-1", "WITHSCORES")]
        return [("HGETALL", f"{prefix}row:{member}")]

    @staticmethod
    def _found(layout: Layout, member: str, answers: list[Any]) -> Row | None:
        found = answers[0]
        if isinstance(layout.model, SortedSet):
            return layout.scored(member, found, answers[1])
        if isinstance(layout.model, Feed):
            return layout.feed(member, found, datetime.now(UTC))
        if isinstance(layout.model, Timeline):
            return layout.timeline(member, found)
        return layout.row(dict(zip(found[::2], found[1::2], strict=True))) if found else None

    def _ask(self, commands: list[tuple[str, ...]]) -> list[Any]:
        """Answers to commands sent together; once more on a new connection where the old one had died."""
        fresh = self._reader is None
        try:
            return self._ask_once(commands)
        except ServiceAway:
            if fresh:
                raise
            return self._ask_once(commands)

    def _ask_once(self, commands: list[tuple[str, ...]]) -> list[Any]:
        # The driver's connection, without its pipeline around it, which costs more than the round trip.
        try:
            with answering():
                if self._reader is None:
                    self._reader = self._pool.make_connection()
                    self._reader.connect()
                self._reader.send_packed_command(self._reader.pack_commands(commands))
                return [self._reader.read_response() for _ in commands]
        except BaseException:
            self._drop_reader()
            raise

    def _drop_reader(self) -> None:
        reader, self._reader = self._reader, None
        if reader is not None:
            reader.disconnect()
