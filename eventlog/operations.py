"""The vocabulary in which projections speak to stores, and how a batch of it becomes one change per row."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from eventlog.models import Key, Value


class Put(NamedTuple):
    """Set these columns of the row; others keep their values, a missing row is made."""

    key: Key
    values: Mapping[str, Value]


class Add(NamedTuple):
    """Add these numbers to the row's columns; a missing row or column counts as 0."""

    key: Key
    values: Mapping[str, Any]


class Append(NamedTuple):
    """Insert a row that is never changed again."""

    key: Key
    values: Mapping[str, Value]


class Remove(NamedTuple):
    """Remove the row; a missing one is none of anybody's business."""

    key: Key


Operation = Put | Add | Append | Remove


class Change:
    """The net effect of a batch on one row: `reset` drops what was there, then `puts` are set, then `adds` added.

    No column is in both `puts` and `adds`. `append` says that the row is new and complete.
    """

    __slots__ = ("adds", "append", "puts", "removed", "reset")

    def __init__(self, puts: dict[str, Value] | None = None, *, append: bool = False) -> None:
        self.reset = self.removed = False
        self.append = append
        self.puts: dict[str, Value] = {} if puts is None else puts
        self.adds: dict[str, Any] = {}

    def put(self, values: Mapping[str, Value]) -> None:
        self.removed = False
        self.puts.update(values)
        if self.adds:
            for column in values:
                self.adds.pop(column, None)

    def add(self, values: Mapping[str, Any]) -> None:
        self.removed = False
        for column, number in values.items():
            if column in self.puts:
                self.puts[column] = (self.puts[column] or 0) + number
            else:
                self.adds[column] = self.adds.get(column, 0) + number

    def remove(self) -> None:
        self.reset = self.removed = True
        self.append = False
        self.puts = {}
        self.adds = {}


def coalesce(operations: Iterable[Operation]) -> dict[Key, Change]:
    """One change per row, with the same outcome as the operations in their order."""
    changes: dict[Key, Change] = {}
    known = changes.get
    for operation in operations:
        key, kind = operation[0], type(operation)
        change = known(key)
        if change is None:
            if kind is Put or kind is Append:
                # Most rows are touched once in a batch.
                changes[key] = Change(dict(operation[1]), append=kind is Append)  # type: ignore[misc]
                continue
            change = changes[key] = Change()
        if kind is Put:
            change.put(operation.values)  # type: ignore[union-attr]
        elif kind is Add:
            change.add(operation.values)  # type: ignore[union-attr]
        elif kind is Append:
            change.put(operation.values)  # type: ignore[union-attr]
            change.append = True
        else:
            change.remove()
    return changes
