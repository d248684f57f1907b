"""The vocabulary in which projections speak to stores, and how a batch of it becomes one change per row."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Any, NamedTuple

from eventlog.models import Key, Value
from eventlog.storable import storable


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


class Newest(NamedTuple):
    """Set these columns, unless the row has them from a fact that is newer: the order of arrival does not matter.

    For rows that several streams write to, whose order among each other is not fixed. `by` names those of the columns
    (times, integers, text) that say which fact is the newer one, the first of them first, such as
    `("as_of", "event_id")`; none of their values is None, and no two facts have the same ones. A row's columns of this
    kind are always the same ones, and nothing else sets them.
    """

    key: Key
    values: Mapping[str, Value]
    by: tuple[str, ...]


class Push(NamedTuple):
    """Put an entry at the head of the row, which is a `Feed`'s; `at` is when the entry's time to live begins."""

    key: Key
    values: Mapping[str, Value]
    at: datetime


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


Operation = Put | Add | Append | Remove | Newest | Push | MergeNode | MergeEdge


class Change:
    """The net effect of a batch on one row: `reset` drops what was there, then `puts` are set, then `adds` added.

    No column is in both `puts` and `adds`; those in `greatest` are in neither, and never go down. `append` says that
    the row is new and complete. `newest`, if there is one, is set where the row's own is older. `pushes`, if there are
    any, are a feed's entries, oldest first.
    """

    __slots__ = ("adds", "append", "greatest", "newest", "pushes", "puts", "removed", "reset")

    def __init__(self, puts: dict[str, Value] | None = None, *, append: bool = False) -> None:
        self.reset = self.removed = False
        self.append = append
        self.puts: dict[str, Value] = {} if puts is None else puts
        self.adds: dict[str, Any] = {}
        self.greatest: dict[str, Any] = {}
        self.newest: Newest | None = None
        self.pushes: list[Push] | None = None

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

    def set_newest(self, newest: Newest) -> None:
        self.removed = False
        known = self.newest
        if known is None:
            self.newest = newest
            return
        if known.by != newest.by or known.values.keys() != newest.values.keys():
            raise TypeError(f"{newest.key}: what is newest of a row has the same columns, and goes by the same ones")
        if stamp_of(newest) > stamp_of(known):
            self.newest = newest

    def push(self, push: Push) -> None:
        self.removed = False
        if self.pushes is None:
            self.pushes = []
        self.pushes.append(push)

    def follow(self, later: Change) -> None:
        """Do what a later change does, after this one."""
        if later.reset:
            self.remove()
            self.removed = later.removed
        if later.removed:
            return
        self.removed = False
        self.append = self.append or later.append
        self.put(later.puts)
        self.add(later.adds)
        self.lift(later.greatest)
        if later.newest is not None:
            self.set_newest(later.newest)
        for push in later.pushes or ():
            self.push(push)

    def remove(self) -> None:
        self.reset = self.removed = True
        self.append = False
        self.puts = {}
        self.adds = {}
        self.greatest = {}
        self.newest = self.pushes = None


def stamp_of(newest: Newest) -> tuple[Any, ...]:
    """What says which of two is the newer one: the greater."""
    return stamp(newest.by, newest.values)


def stamp(by: tuple[str, ...], values: Mapping[str, Any]) -> tuple[Any, ...]:
    """These columns, so that every store compares them alike: text by its characters, as a table holds it."""
    return tuple(storable(value) if isinstance(value := values.get(column), str) else value for column in by)


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
        elif kind is Newest:
            change.set_newest(operation)  # type: ignore[arg-type]
        elif kind is Push:
            change.push(operation)  # type: ignore[arg-type]
        else:
            change.remove()
    return changes


def _merge(changes: dict[Key, Change], operation: MergeNode | MergeEdge) -> None:
    """An edge has nodes at both of its ends: they are rows too, be it without columns."""
    key: Key
    if type(operation) is MergeEdge:
        name, source, target, put, add, greatest = operation
        for end in ((source[0], source[1], ""), (target[0], target[1], "")):
            if end not in changes:
                changes[end] = Change()
        key = (name, source[1], target[1])
    else:
        (label, id_), put, add, greatest = operation  # type: ignore[misc]
        key = (label, id_, "")
    change = changes.get(key)
    if change is None:
        change = changes[key] = Change()
        if not put:
            # Most edges are touched once in a batch.
            change.adds, change.greatest = dict(add), dict(greatest)
            return
    change.removed = False
    if put:
        change.put(put)
    if add:
        change.add(add)
    if greatest:
        change.lift(greatest)
