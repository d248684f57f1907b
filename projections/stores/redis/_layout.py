"""Where a read model's rows are in Redis, and how their values are written.

`onefact:MODEL:live` is the live version's number, `:versions` the set of those that exist, `:last` the highest number
ever given. Under `onefact:MODEL:vN:` are `progress` (a hash: `topic:partition` to `next fence`), `declared` (what the
columns mean) and the rows: for a `Hash` one hash `row:KEY` each, with the key's own column too, so that a row without
others exists; for a `SortedSet` the sorted set `scores` and the hash `exact` with each score's exact text (empty where
a row has no score). Values are text: plain digits, UTC times, `true` and `false`; a column that is None has no field.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from typing import Any

from eventlog import decimals
from eventlog.envelope import parse_time, time_text
from eventlog.errors import BadInput
from eventlog.memory import shaped
from eventlog.models import ColumnType, Hash, Key, Model, Row, SortedSet

Writer = tuple[Callable[[Any], str], bool]

WRITERS_MAX = 10_000
"""Columns are few, but entries of maps may be any number."""


class Layout:
    """Names of one model's keys."""

    def __init__(self, model: Model) -> None:
        if not isinstance(model, Hash | SortedSet):
            raise BadInput(f"read model {model.name} is not a Hash or a SortedSet; Redis keeps only those")
        if len(model.key) != 1:
            raise BadInput(f"read model {model.name}: a key in Redis is one column, not {', '.join(model.key)}")
        if isinstance(model, SortedSet):
            _check_sorted_set(model)
        self.model = model
        self.key_column = model.key[0]
        self.key_kind = model.columns[self.key_column]
        self.base = f"onefact:{model.name}"
        self.live = f"{self.base}:live"
        self.writers: dict[str, Writer] = {}

    def declared(self) -> list[str]:
        """What rows of the model mean, name and meaning in turn: rows written under another meaning are not its."""
        kinds: dict[str, str] = dict(self.model.columns)
        if isinstance(self.model, Hash):
            kinds |= {name: f"map of {kind}" for name, kind in self.model.maps.items()}
        kinds["the model"] = f"{type(self.model).__name__} by {self.key_column}"
        return [part for named in kinds.items() for part in named]

    def prefix(self, version: int) -> str:
        return f"{self.base}:v{version}:"

    def member(self, key: Key) -> str:
        """The key's value as text: the end of a row's name, or a member of the sorted set."""
        (value,) = key
        if value is None:
            raise BadInput(f"read model {self.model.name}: the key {self.key_column} is None")
        return SHOWN[self.key_kind](value)

    def kind(self, column: str) -> tuple[ColumnType, bool]:
        """Type of a column, or of an entry of a map (`column.entry`), and whether it is such an entry."""
        kind = self.model.columns.get(column)
        if kind is not None:
            return kind, False
        name, dot, _ = column.partition(".")
        if dot and isinstance(self.model, Hash) and name in self.model.maps:
            return self.model.maps[name], True
        raise KeyError(f"model {self.model.name} has no column {column}; it has {', '.join(self.model.columns)}")

    def writer(self, column: str) -> Writer:
        """How a column's values are written, and whether it is a map's entry; remembered in `writers` for a while."""
        kind, entry = self.kind(column)
        if len(self.writers) >= WRITERS_MAX:
            self.writers = {}
        writer = self.writers[column] = (SHOWN[kind], entry)
        return writer

    def row(self, fields: dict[str, str]) -> Row:
        """A row from a hash's fields; those that the model does not have (any more) are left out."""
        columns: dict[str, Any] = {}
        for field, text in fields.items():
            try:
                kind, _ = self.kind(field)
            except KeyError:
                continue
            columns[field] = read(kind, text)
        return shaped(self.model, columns)

    def scored(self, member: str, exact: str) -> Row:
        """A row of a sorted set."""
        assert isinstance(self.model, SortedSet)
        columns = {self.key_column: read(self.key_kind, member), self.model.score: Decimal(exact) if exact else None}
        return shaped(self.model, columns)


def _check_sorted_set(model: SortedSet) -> None:
    if model.columns.get(model.score) != "decimal":
        raise BadInput(f"read model {model.name}: its score {model.score!r} must be a decimal column")
    others = [name for name in model.columns if name not in (*model.key, model.score)]
    if others:
        raise BadInput(
            f"read model {model.name}: a sorted set has no other columns; use a Hash for {', '.join(others)}"
        )


def text(value: str) -> str:
    if not isinstance(value, str):
        raise TypeError(f"want text, got {value!r}")
    return value


def decimal_text(value: Decimal | int) -> str:
    return decimals.text(value if isinstance(value, Decimal) else Decimal(value))


def integer_text(value: int) -> str:
    return str(int(value))


def boolean_text(value: bool) -> str:
    return "true" if value else "false"


SHOWN: dict[ColumnType, Callable[[Any], str]] = {
    "text": text,
    "decimal": decimal_text,
    "integer": integer_text,
    "boolean": boolean_text,
    "time": time_text,
}
"""A value as Redis keeps it."""


def read(kind: ColumnType, text: str) -> str | int | bool | Decimal | datetime:
    """The value that was written by `SHOWN`."""
    match kind:
        case "text":
            return text
        case "decimal":
            return Decimal(text)
        case "integer":
            return int(text)
        case "boolean":
            return text == "true"
        case "time":
            return parse_time(text)


def score(number: Decimal) -> str:
    """The sorted set's own number, the nearest double; Redis must not refuse it halfway through a script."""
    nearest = float(number)
    if math.isnan(nearest):
        raise BadInput(f"a score cannot be {number}")
    return repr(nearest)
