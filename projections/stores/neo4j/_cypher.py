"""Cypher for a declared graph: names in it come from the declaration, which checks them, all else is a parameter.

A node has its label, its key and `graph`, the version that it belongs to; an edge belongs to the version of its ends.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from eventlog.models import ColumnType, Graph, Key, NodeType, Row
from eventlog.operations import Change

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Columns(NamedTuple):
    """Of one element, what a group of rows sets, adds to and raises; equal ones share a statement."""

    element: str
    puts: tuple[str, ...]
    adds: tuple[str, ...]
    greatest: tuple[str, ...]


class Shape:
    """The statement for one group's rows: `$rows` are lists of the key's parts and then the columns' values."""

    def __init__(self, model: Graph, columns: Columns) -> None:
        self.columns = columns
        self.is_node = columns.element in model.nodes
        kinds = model.columns_of(columns.element)
        self._converters: list[tuple[int, str, Callable[[Any], Any], bool]] = []
        self._place = 1 if self.is_node else 2
        values, sets = [], []
        for column in columns.puts:
            values.append(self._value(0, column, kinds))
            sets.append(f"x.`{column}` = v{len(values)}")
        for column in columns.adds:
            values.append(self._value(1, column, kinds))
            sets.append(f"x.`{column}` = coalesce(x.`{column}`, 0) + v{len(values)}")
        for column in columns.greatest:
            values.append(self._value(2, column, kinds))
            at = f"v{len(values)}"
            sets.append(f"x.`{column}` = CASE WHEN x.`{column}` >= {at} THEN x.`{column}` ELSE {at} END")
        carried = ", ".join(["x", *(f"{value} AS v{number}" for number, value in enumerate(values, 1))])
        change = f"WITH {carried} SET {', '.join(sets)}" if sets else ""
        self.statement = f"UNWIND $rows AS r {merge_of(model, columns.element)} {change} RETURN count(*)"

    def _value(self, part: int, column: str, kinds: Mapping[str, ColumnType]) -> str:
        kind = kinds.get(column)
        if kind is None:
            raise KeyError(f"{self.columns.element} has no column {column}; it has {', '.join(kinds) or 'none'}")
        place = self._place
        self._converters.append((part, column, WRITTEN[kind], kind == "time"))
        if kind != "time":
            self._place += 1
            return f"r[{place}]"
        # As two numbers: the driver takes 40 times as long for a time of Python's.
        self._place += 2
        return (
            f"CASE WHEN r[{place}] IS NULL THEN NULL "
            f"ELSE datetime({{epochSeconds: r[{place}], nanosecond: r[{place + 1}]}}) END"
        )

    def row(self, key: Key, change: Change) -> list[Any]:
        """A row as the statement takes it; raises `TypeError` where a value is not of its column's type."""
        row: list[Any] = [key[1]] if self.is_node else [key[1], key[2]]
        parts = (change.puts, change.adds, change.greatest)
        for part, column, convert, is_time in self._converters:
            value = parts[part][column]
            if is_time:
                row += (None, None) if value is None else convert(value)
            else:
                row.append(None if value is None else convert(value))
        return row


def merge_of(model: Graph, element: str) -> str:
    """The clause that has the element of a row `r`, as `x`."""
    if element in model.nodes:
        return f"MERGE (x:`{element}` {{graph: $graph, `{model.nodes[element].key}`: r[0]}})"
    return f"{_ends(model, element, 'r[0]', 'r[1]')} MERGE (a)-[x:`{element}`]->(b)"


def removal_of(model: Graph, element: str) -> str:
    """Removes edges; `$rows` are lists of source and target."""
    return f"UNWIND $rows AS r {_ends(model, element, 'r[0]', 'r[1]')} MATCH (a)-[x:`{element}`]->(b) DELETE x"


def node_removal_of(model: Graph, element: str) -> str:
    """Removes a node with its edges; parameters `$graph`, `$id`."""
    return f"MATCH (x:`{element}` {{graph: $graph, `{model.nodes[element].key}`: $id}}) DETACH DELETE x"


def _ends(model: Graph, element: str, source: str, target: str) -> str:
    edge = model.edges[element]
    a, b = model.nodes[edge.source].key, model.nodes[edge.target].key
    return (
        f"MATCH (a:`{edge.source}` {{graph: $graph, `{a}`: {source}}}) "
        f"MATCH (b:`{edge.target}` {{graph: $graph, `{b}`: {target}}})"
    )


def one_of(model: Graph, element: str) -> str:
    """Reads the element of a key: parameters `$graph`, `$id`, `$to`."""
    if element in model.nodes:
        found = f"MATCH (x:`{element}` {{graph: $graph, `{model.nodes[element].key}`: $id}})"
        return f"{found} RETURN {_returned(model, element, '$id', '$to')}"
    found = f"{_ends(model, element, '$id', '$to')} MATCH (a)-[x:`{element}`]->(b)"
    return f"{found} RETURN {_returned(model, element, '$id', '$to')}"


def all_of(model: Graph, element: str) -> str:
    """Reads every element of a label or type."""
    if element in model.nodes:
        key = f"x.`{model.nodes[element].key}`"
        found = f"MATCH (x:`{element}`) WHERE x.graph = $graph AND {key} IS NOT NULL"
        return f"{found} RETURN {_returned(model, element, key, repr(''))}"
    edge = model.edges[element]
    a, b = (f"{name}.`{model.nodes[label].key}`" for name, label in (("a", edge.source), ("b", edge.target)))
    found = f"MATCH (a:`{edge.source}`) WHERE a.graph = $graph AND {a} IS NOT NULL MATCH (a)-[x:`{element}`]->(b)"
    return f"{found} RETURN {_returned(model, element, a, b)}"


def _returned(model: Graph, element: str, id_: str, to: str) -> str:
    kinds = model.columns_of(element)
    return ", ".join([id_, to, *(_value(f"x.`{name}`", kind) for name, kind in kinds.items())])


def _value(column: str, kind: ColumnType) -> str:
    if kind != "time":
        return column
    # As two numbers here, too. Of a time before 1970 with a fraction, `epochSeconds` alone is one too many.
    seconds = f"datetime.truncate('second', {column}).epochSeconds"
    return f"CASE WHEN {column} IS NULL THEN [NULL, NULL] ELSE [{seconds}, {column}.microsecond] END"


def row_of(model: Graph, element: str, values: Any) -> Row:
    """A row from what `one_of` or `all_of` returns."""
    row: Row = {"element": element, "id": values[0], "to": values[1]}
    for (name, kind), value in zip(model.columns_of(element).items(), values[2:], strict=True):
        if kind != "time":
            row[name] = value
        else:
            row[name] = None if value[0] is None else EPOCH + timedelta(seconds=value[0], microseconds=value[1])
    return row


def wiping(model: Graph) -> list[str]:
    """Statements that remove all of a version, in transactions of their own."""
    some = "IN TRANSACTIONS OF 10000 ROWS"
    edges = [
        f"MATCH (a:`{edge.source}`) WHERE a.graph = $graph AND a.`{model.nodes[edge.source].key}` IS NOT NULL "
        f"MATCH (a)-[x:`{name}`]->() CALL (x) {{ DELETE x }} {some}"
        for name, edge in model.edges.items()
    ]
    nodes = [
        f"MATCH (x:`{label}`) WHERE x.graph = $graph AND x.`{node.key}` IS NOT NULL "
        f"CALL (x) {{ DETACH DELETE x }} {some}"
        for label, node in model.nodes.items()
    ]
    return edges + nodes


def any_of(model: Graph) -> str:
    """Whether a version has any node: its ends make edges unthinkable without."""
    parts = [
        f"MATCH (x:`{label}`) WHERE x.graph = $graph AND x.`{node.key}` IS NOT NULL RETURN 1 AS found LIMIT 1"
        for label, node in model.nodes.items()
    ]
    return " UNION ".join(parts)


def constraint_of(label: str, node: NodeType) -> str:
    """A key is there once in each version; also the index that everything is found by."""
    return (
        f"CREATE CONSTRAINT `{constraint_name(label)}` IF NOT EXISTS "
        f"FOR (x:`{label}`) REQUIRE (x.graph, x.`{node.key}`) IS UNIQUE"
    )


def constraint_name(label: str) -> str:
    return f"onefact_{label}"


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"want text, got {value!r}")
    return value


def _integer(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"want an integer, got {value!r}")
    return value


def _boolean(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError(f"want true or false, got {value!r}")
    return value


def _time(value: Any) -> tuple[int, int]:
    if not isinstance(value, datetime) or value.tzinfo is None:
        raise TypeError(f"want a time with its zone, got {value!r}")
    since = value - EPOCH
    return since.days * 86_400 + since.seconds, since.microseconds * 1_000


WRITTEN: dict[ColumnType, Callable[[Any], Any]] = {
    "text": _text,
    "integer": _integer,
    "boolean": _boolean,
    "time": _time,
}
"""A value as a parameter, by its column's type."""
