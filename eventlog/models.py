"""Read models as data: what they are called, their key, their columns, and the store that keeps them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

Value = str | int | bool | Decimal | datetime | None
Key = tuple[Value, ...]
ColumnType = Literal["text", "integer", "decimal", "boolean", "time"]
StoreName = Literal["postgres", "redis"]


@dataclass(frozen=True)
class Model:
    """A read model: rows of `columns` under `key`. Base of `Table`, `Hash` and `SortedSet`.

    `key` columns are columns too. `columns` maps each name to its type, in the order it is shown.
    """

    name: str
    key: tuple[str, ...]
    columns: Mapping[str, ColumnType]
    store: StoreName = field(default="postgres", init=False)

    def __post_init__(self) -> None:
        missing = [column for column in self.key if column not in self.columns]
        if not self.key or missing:
            raise TypeError(f"model {self.name}: key columns {missing or '(none)'} must be among its columns")


@dataclass(frozen=True)
class Table(Model):
    """A Postgres table, behind a view of the model's name that shows the live version.

    `migrations` is a folder of `NNNN_*.sql`, applied in order to each version's table, `{table}` standing for its name.
    """

    migrations: Path | None = None
    store: StoreName = field(default="postgres", init=False)


@dataclass(frozen=True)
class Hash(Model):
    """One Redis hash per key (of one column).

    `maps` are columns that hold a map: an operation names an entry as `column.entry`, each entry is of
    the given type, and an entry that becomes zero is left out.
    """

    maps: Mapping[str, ColumnType] = field(default_factory=dict)
    store: StoreName = field(default="redis", init=False)


@dataclass(frozen=True)
class SortedSet(Model):
    """A Redis sorted set of keys (of one column) by its decimal column `score`, highest first, exact values beside."""

    score: str = ""
    store: StoreName = field(default="redis", init=False)


Row = dict[str, Any]
"""One row of a model: column to value; maps are dicts."""


def column_type(model: Model, column: str) -> ColumnType:
    """Type of a column, or of a map's entries where it is named `column.entry`."""
    if column in model.columns:
        return model.columns[column]
    name, dot, _ = column.partition(".")
    if dot and isinstance(model, Hash) and name in model.maps:
        return model.maps[name]
    raise KeyError(f"model {model.name} has no column {column}; it has {', '.join(model.columns)}")
