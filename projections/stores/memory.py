"""A store in memory that keeps the whole contract: for tests of what stands on it, and the suite's reference."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from eventlog.errors import Fenced, NotFound, OnefactError
from eventlog.memory import MemoryRows
from eventlog.models import Key, Model, Row
from eventlog.operations import Change
from eventlog.sink import Progress
from projections.stores._versions import FIRST_VERSION, moved


class _Position:
    """One partition's progress; the object's identity is the fence."""

    __slots__ = ("next",)

    def __init__(self, following: int = 0) -> None:
        self.next = following


@dataclass
class _Version:
    rows: MemoryRows
    positions: dict[tuple[str, int], _Position] = field(default_factory=dict)
    note: str = ""


@dataclass
class _Kept:
    live: int = FIRST_VERSION
    last: int = FIRST_VERSION
    previous: int | None = None
    versions: dict[int, _Version] = field(default_factory=dict)


class MemoryStore:
    """Rows and progress in this process; safe to share between threads."""

    name = "memory"

    def __init__(self) -> None:
        self._models: dict[str, _Kept] = {}
        self._lock = threading.RLock()

    def prepare(self, models: list[Model]) -> None:
        with self._lock:
            for model in models:
                self._kept(model)

    def doubts(self) -> list[str]:
        return []

    def live_version(self, model: Model) -> int:
        with self._lock:
            return self._kept(model).live

    def sink(self, model: Model, topic: str, partition: int, version: int | None = None) -> MemorySink:
        return MemorySink(self, model, topic, partition, version)

    def progress(self, model: Model, version: int | None = None) -> Progress:
        with self._lock:
            return {place: position.next for place, position in self._version(model, version).positions.items()}

    def get(self, model: Model, key: Key, version: int | None = None) -> Row | None:
        with self._lock:
            return self._version(model, version).rows.get(key, datetime.now(UTC))

    def scan(self, model: Model, version: int | None = None) -> Iterator[Row]:
        with self._lock:
            rows = list(self._version(model, version).rows.scan(datetime.now(UTC)))
        yield from rows

    def create_version(self, model: Model, note: str = "") -> int:
        with self._lock:
            kept = self._kept(model)
            kept.last += 1
            kept.versions[kept.last] = _Version(MemoryRows(model), note=note)
            return kept.last

    def notes(self, model: Model) -> dict[int, str]:
        with self._lock:
            return {number: each.note for number, each in self._kept(model).versions.items() if each.note}

    def previous_version(self, model: Model) -> int | None:
        with self._lock:
            kept = self._kept(model)
            return kept.previous if kept.previous in kept.versions else None

    def switch(self, model: Model, version: int, progress: Progress, live: int | None = None) -> bool:
        with self._lock:
            new = self._version(model, version)
            kept = self._kept(model)
            old = kept.versions[kept.live]
            if kept.live != (live or kept.live) or moved(self.progress(model)) != moved(progress):
                return False
            if version != kept.live:
                old.positions = {place: _Position(position.next) for place, position in old.positions.items()}
                kept.previous, kept.live, new.note = kept.live, version, ""
            return True

    def amend(self, model: Model, changes: Mapping[Key, Change], progress: Progress) -> bool:
        with self._lock:
            kept = self._kept(model)
            live = kept.versions[kept.live]
            if moved(self.progress(model)) != moved(progress):
                return False
            live.rows.apply(changes)
            live.positions = {place: _Position(position.next) for place, position in live.positions.items()}
            return True

    def drop_version(self, model: Model, version: int) -> None:
        with self._lock:
            kept = self._kept(model)
            if version == kept.live:
                raise OnefactError(f"version {version} of {model.name} is live; it cannot be dropped")
            kept.versions.pop(version, None)

    def versions(self, model: Model) -> list[int]:
        with self._lock:
            return sorted(self._kept(model).versions)

    def empty(self) -> None:
        """Lose everything, as a store whose disk was replaced has."""
        with self._lock:
            self._models.clear()

    def close(self) -> None:
        pass

    def _kept(self, model: Model) -> _Kept:
        kept = self._models.get(model.name)
        if kept is None:
            kept = self._models[model.name] = _Kept(versions={FIRST_VERSION: _Version(MemoryRows(model))})
        return kept

    def _version(self, model: Model, version: int | None) -> _Version:
        kept = self._kept(model)
        found = kept.versions.get(kept.live if version is None else version)
        if found is None:
            raise NotFound(f"read model {model.name} has no version {version}")
        return found

    def _open(self, model: Model, place: tuple[str, int], version: int | None) -> _Position:
        with self._lock:
            return self._version(model, version).positions.setdefault(place, _Position())

    def _apply(
        self,
        model: Model,
        place: tuple[str, int],
        position: _Position,
        expected: int,
        changes: Mapping[Key, Change],
        following: int,
    ) -> None:
        with self._lock:
            for version in self._kept(model).versions.values():
                if version.positions.get(place) is position and position.next == expected:
                    version.rows.apply(changes)
                    position.next = following
                    return
        raise Fenced(f"{model.name} {place[0]}/{place[1]} is no longer at {expected} for this owner")


class MemorySink:
    """One partition's way into a `MemoryStore`, fenced as the real ones are."""

    def __init__(self, store: MemoryStore, model: Model, topic: str, partition: int, version: int | None) -> None:
        self._store = store
        self._model = model
        self._place = (topic, partition)
        self._version = version
        self._position: _Position | None = None
        self._next = 0

    def open(self) -> int:
        self._position = self._store._open(self._model, self._place, self._version)
        self._next = self._position.next
        return self._next

    def apply(self, changes: Mapping[Key, Change], next_offset: int) -> None:
        position, self._position = self._position, None
        if position is None:
            raise Fenced(f"the sink of {self._model.name} is not open")
        self._store._apply(self._model, self._place, position, self._next, changes, next_offset)
        self._position, self._next = position, next_offset

    def close(self) -> None:
        self._position = None
