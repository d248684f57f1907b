"""The vocabulary in which projections speak to stores, and how a batch of it becomes one change per row."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
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


class NodeKey(NamedTuple):
    """A node of a graph: its label and the value of its key."""

    label: str
    id: str


_NOTHING: Mapping[str, Any] = MappingProxyType({})


class MergeNode(NamedTuple):
    """Have the node, once; set columns, add to numbers, raise columns to the greatest value given so far."""

    node: NodeKey
    put: Mapping[str, Value] = _NOTHING
    add: Mapping[str, Any] = _NOTHING
    greatest: Mapping[str, Any] = _NOTHING

    @property
    def key(self) -> Key:
        return self.node.label, self.node.id, ""

    @property
    def values(self) -> Mapping[str, Any]:
        return {**self.put, **self.add, **self.greatest}


class MergeEdge(NamedTuple):
    """Have both nodes and one edge of the type from `source` to `target`; columns as those of `MergeNode`."""

    type: str
    source: NodeKey
    target: NodeKey
    put: Mapping[str, Value] = _NOTHING
    add: Mapping[str, Any] = _NOTHING
    greatest: Mapping[str, Any] = _NOTHING

    @property
    def key(self) -> Key:
        return self.type, self.source.id, self.target.id

    @property
    def values(self) -> Mapping[str, Any]:
        return {**self.put, **self.add, **self.greatest}


Operation = Put | Add | Append | Remove | MergeNode | MergeEdge


class Change:
    """The net effect of a batch on one row: `reset` drops what was there, then `puts` are set, then `adds` added.

    No column is in both `puts` and `adds`; those in `greatest` are in neither, and never go down. `append` says that
    the row is new and complete.
    """

    __slots__ = ("adds", "append", "greatest", "puts", "removed", "reset")

    def __init__(self, puts: dict[str, Value] | None = None, *, append: bool = False) -> None:
        self.reset = self.removed = False
        self.append = append
        self.puts: dict[str, Value] = {} if puts is None else puts
        self.adds: dict[str, Any] = {}
        self.greatest: dict[str, Any] = {}

    def put(self, values: Mapping[str, Value]) -> None:
        self.removed = False
        self.puts.update(values)
        if self.adds:
            for column in values:
                self.adds.pop(column, None)
        if self.greatest:
            for column in values:
                self.greatest.pop(column, None)

    def add(self, values: Mapping[str, Any]) -> None:
        self.removed = False
        for column, number in values.items():
            if column in self.puts:
                self.puts[column] = (self.puts[column] or 0) + number
            else:
                self.adds[column] = self.adds.get(column, 0) + number

    def lift(self, values: Mapping[str, Any]) -> None:
        """Raise columns to these values where they are lower, or have none."""
        self.removed = False
        for column, value in values.items():
            kept = self.puts if column in self.puts else self.greatest
            had = kept.get(column)
            kept[column] = value if had is None or value > had else had

    def remove(self) -> None:
        self.reset = self.removed = True
        self.append = False
        self.puts = {}
        self.adds = {}
        self.greatest = {}


def coalesce(operations: Iterable[Operation]) -> dict[Key, Change]:
    """One change per row, with the same outcome as the operations in their order."""
    changes: dict[Key, Change] = {}
    known = changes.get
    for operation in operations:
        kind = type(operation)
        if kind is MergeNode or kind is MergeEdge:
            _merge(changes, operation)  # type: ignore[arg-type]
            continue
        key: Key = operation[0]  # type: ignore[assignment]
        change = known(key)
        if change is None:
            if kind is Put or kind is Append:
                # Most rows are touched once in a batch.
                changes[key] = Change(dict(operation[1]), append=kind is Append)  # type: ignore[misc,arg-type]
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


def _merge(changes: dict[Key, Change], operation: MergeNode | MergeEdge) -> None:
    """An edge has nodes at both of its ends: they are rows too, be it without columns."""
    if type(operation) is MergeEdge:
        for label, id_ in (operation.source, operation.target):
            if (label, id_, "") not in changes:
                changes[label, id_, ""] = Change()
    key = operation.key
    change = changes.get(key)
    if change is None:
        change = changes[key] = Change()
    change.removed = False
    if operation.put:
        change.put(operation.put)
    if operation.add:
        change.add(operation.add)
    if operation.greatest:
        change.lift(operation.greatest)
