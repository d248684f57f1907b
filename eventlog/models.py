"""Read models as data: what they are called, their key, their columns, and the store that keeps them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

Value = str | int | bool | Decimal | datetime | None
Key = tuple[Value, ...]
ColumnType = Literal["text", "integer", "decimal", "boolean", "time"]
StoreName = Literal["postgres", "redis", "neo4j"]


@dataclass(frozen=True)
class Model:
    """Rows of `columns` under `key`. Base of `Table`, `Hash`, `Timeline`, `SortedSet`, `Feed` and `Graph`.

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
class Timeline(Hash):
    """Names under each key (of one column) by their times, newest first: a Redis sorted set per key.

    Its other column is a map of times; an operation names an entry as `column.name`, and None takes it out. A row
    without entries is none. Times are exact to the microsecond from 1684 to 2255, to 32 of them beyond.
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        others = [name for name in self.columns if name not in self.key]
        if len(others) != 1 or dict(self.maps) != {others[0]: "time"}:
            raise TypeError(f"model {self.name}: the columns of a timeline are its key and one map of times")

    @property
    def times(self) -> str:
        """The column of times."""
        return next(iter(self.maps))


@dataclass(frozen=True)
class SortedSet(Model):
    """A Redis sorted set of keys (of one column) by its decimal column `score`, highest first, exact values beside."""

    score: str = ""
    store: StoreName = field(default="redis", init=False)


@dataclass(frozen=True)
class NodeType:
    """Nodes of one label: the column (of type text) that tells them apart, and their other columns."""

    key: str
    columns: Mapping[str, ColumnType] = field(default_factory=dict)


@dataclass(frozen=True)
class EdgeType:
    """Edges of one type, from nodes of the label `source` to nodes of the label `target`; one at most for each pair."""

    source: str
    target: str
    columns: Mapping[str, ColumnType] = field(default_factory=dict)


@dataclass(frozen=True)
class Graph(Model):
    """A graph in Neo4j; each node and each edge is a row.

    A row's key is (`element`, `id`, `to`): label and key of a node with an empty `to`, or type, source and target of an
    edge. `nodes` by label, `edges` by type: the names that a query may contain are these and no others. `questions`
    are Cypher by name, read-only, whose parameters begin with `$`; `$graph` is the version that is read.
    """

    key: tuple[str, ...] = field(default=("element", "id", "to"), init=False)
    columns: Mapping[str, ColumnType] = field(default_factory=dict, init=False)
    nodes: Mapping[str, NodeType] = field(default_factory=dict)
    edges: Mapping[str, EdgeType] = field(default_factory=dict)
    questions: Mapping[str, str] = field(default_factory=dict)
    store: StoreName = field(default="neo4j", init=False)

    def __post_init__(self) -> None:
        columns: dict[str, ColumnType] = dict.fromkeys(self.key, "text")
        elements: list[tuple[str, NodeType | EdgeType]] = [*self.nodes.items(), *self.edges.items()]
        for name, declared in elements:
            pattern = _LABEL if isinstance(declared, NodeType) else _EDGE
            self._check(name, pattern)
            if isinstance(declared, NodeType):
                self._check(declared.key, _COLUMN)
                if declared.key in declared.columns:
                    raise TypeError(f"model {self.name}: column {declared.key} is declared twice, differently")
            elif not {declared.source, declared.target} <= self.nodes.keys():
                raise TypeError(f"model {self.name}: {name} joins {declared.source} to {declared.target}")
            for column, kind in declared.columns.items():
                self._check(column, _COLUMN)
                if kind == "decimal":
                    raise TypeError(
                        f"model {self.name}: {name}.{column}: a graph has no decimals; keep money elsewhere"
                    )
                if columns.setdefault(column, kind) != kind or column in self.key:
                    raise TypeError(f"model {self.name}: column {column} is declared twice, differently")
        if not self.nodes:
            raise TypeError(f"model {self.name} has no nodes")
        object.__setattr__(self, "columns", columns)

    def _check(self, name: str, pattern: re.Pattern[str]) -> None:
        if not pattern.fullmatch(name):
            raise TypeError(f"model {self.name}: {name!r} is no name for what it is; want {pattern.pattern}")

    def columns_of(self, element: str) -> Mapping[str, ColumnType]:
        """Columns of a label's nodes or a type's edges, without the key; raises `KeyError`."""
        declared = self.nodes.get(element) or self.edges.get(element)
        if declared is None:
            raise KeyError(f"model {self.name} has no {element}; it has {', '.join((*self.nodes, *self.edges))}")
        return declared.columns


_LABEL = re.compile(r"(?!Onefact)[A-Z][A-Za-z0-9]{0,50}")
_EDGE = re.compile(r"[A-Z][A-Z0-9_]{0,50}")
_COLUMN = re.compile(r"(?!graph$)[a-z][a-z0-9_]{0,50}")


ENTRIES = "entries"
"""The column of a `Feed` that holds its entries."""
FEED_ENTRIES_MAX = 1000
"""Of one row of a feed."""


@dataclass(frozen=True)
class Feed(Model):
    """The newest entries of each key (of one column), newest first: a Redis list.

    `columns` are the key and `entries`, `entry` the columns that each entry has. A row keeps the last `limit` of those
    that were pushed. With `expires` an entry is shown until so long after its `at`, and a row without one is gone;
    a rebuilt version shows the same. Reads as of a point show the entries that a row had at that point.
    """

    entry: Mapping[str, ColumnType] = field(default_factory=dict)
    limit: int = 10
    expires: timedelta | None = None
    store: StoreName = field(default="redis", init=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        if list(self.columns) != [*self.key, ENTRIES] or not self.entry:
            raise TypeError(f"model {self.name}: the columns of a feed are its key and {ENTRIES}, each with an `entry`")
        if not 0 < self.limit <= FEED_ENTRIES_MAX:
            raise TypeError(f"model {self.name}: a feed keeps 1 to {FEED_ENTRIES_MAX} entries of each row")


Row = dict[str, Any]
"""One row of a model: column to value; maps are dicts, the entries of a feed a list of dicts."""


def table_form(name: str) -> str:
    """A model's name as SQL writes it: `news-alerts` is the table `news_alerts`, and may be asked for so too."""
    return name.replace("-", "_")


def column_type(model: Model, column: str) -> ColumnType:
    """Type of a column, or of a map's entries where it is named `column.entry`; of a feed, of an entry's column."""
    if isinstance(model, Feed):
        if column in model.entry:
            return model.entry[column]
        raise KeyError(f"the entries of {model.name} have no {column}; they have {', '.join(model.entry)}")
    if column in model.columns:
        return model.columns[column]
    name, dot, _ = column.partition(".")
    if dot and isinstance(model, Hash) and name in model.maps:
        return model.maps[name]
    raise KeyError(f"model {model.name} has no column {column}; it has {', '.join(model.columns)}")
