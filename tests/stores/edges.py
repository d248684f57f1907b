"""A graph seen as a table: each row is an edge from one node to another, so that the contract's tests hold it too."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from typing import Any

from eventlog.models import EdgeType, Graph, Key, Model, NodeType, Row, Table
from eventlog.operations import Change
from eventlog.sink import Progress
from projections.stores.neo4j import Neo4jSink, Neo4jStore

HUB = "hub"
UNIT = 10**9
"""A graph has no decimals; those of the tests have few places."""


@dataclass(frozen=True)
class Rows(Table):
    """The model that the tests speak of; `graph` is what Neo4j has."""

    @cached_property
    def graph(self) -> Graph:
        label = "".join(part.capitalize() for part in self.name.split("_"))
        columns = {
            name: "integer" if kind == "decimal" else kind for name, kind in self.columns.items() if name != "id"
        }
        return Graph(
            self.name,
            nodes={f"{label}From": NodeType("name"), f"{label}To": NodeType("name")},
            edges={self.edge: EdgeType(f"{label}From", f"{label}To", columns)},  # type: ignore[arg-type]
        )

    @property
    def edge(self) -> str:
        return self.name.upper()

    def row(self, found: Row | None) -> Row | None:
        if found is None:
            return None
        return {"id": found["to"]} | {name: self._out(name, found[name]) for name in self.columns if name != "id"}

    def _out(self, name: str, value: Any) -> Any:
        return Decimal(value) / UNIT if self.columns[name] == "decimal" and value is not None else value

    def change(self, change: Change) -> Change:
        """The same with the columns of an edge."""
        made = Change(self._in(change.puts), append=change.append)
        made.adds, made.reset, made.removed = self._in(change.adds), change.reset, change.removed
        return made

    def _in(self, values: Mapping[str, Any]) -> dict[str, Any]:
        given = {name: value for name, value in values.items() if name != "id"}
        for name, value in given.items():
            if self.columns[name] == "decimal" and value is not None:
                given[name] = int(value * UNIT)
        return given


class EdgeSink:
    def __init__(self, model: Rows, sink: Neo4jSink) -> None:
        self._model, self._sink = model, sink

    def open(self) -> int:
        return self._sink.open()

    def apply(self, changes: Mapping[Key, Change], next_offset: int) -> None:
        self._sink.apply(_edges(self._model, changes), next_offset)

    def close(self) -> None:
        self._sink.close()


class EdgeStore:
    """A `Store` of `Rows` on the real one."""

    name = "neo4j"

    def __init__(self, store: Neo4jStore) -> None:
        self.graphs = store

    def prepare(self, models: list[Model]) -> None:
        self.graphs.prepare([_graph(model) for model in models])

    def doubts(self) -> list[str]:
        return self.graphs.doubts()

    def live_version(self, model: Model) -> int:
        return self.graphs.live_version(_graph(model))

    def sink(self, model: Model, topic: str, partition: int, version: int | None = None) -> EdgeSink:
        assert isinstance(model, Rows)
        return EdgeSink(model, self.graphs.sink(model.graph, topic, partition, version))

    def progress(self, model: Model, version: int | None = None) -> Progress:
        return self.graphs.progress(_graph(model), version)

    def get(self, model: Model, key: Key, version: int | None = None) -> Row | None:
        assert isinstance(model, Rows)
        return model.row(self.graphs.get(model.graph, (model.edge, HUB, key[0]), version))

    def scan(self, model: Model, version: int | None = None) -> Iterator[Row]:
        assert isinstance(model, Rows)
        rows = [model.row(row) for row in self.graphs.scan(model.graph, version) if row["element"] == model.edge]
        return iter(sorted(rows, key=lambda row: str(row["id"])))  # type: ignore[index,arg-type]

    def create_version(self, model: Model, note: str = "") -> int:
        return self.graphs.create_version(_graph(model), note)

    def notes(self, model: Model) -> dict[int, str]:
        return self.graphs.notes(_graph(model))

    def previous_version(self, model: Model) -> int | None:
        return self.graphs.previous_version(_graph(model))

    def switch(self, model: Model, version: int, progress: Progress, live: int | None = None) -> bool:
        return self.graphs.switch(_graph(model), version, progress, live)

    def amend(self, model: Model, changes: Mapping[Key, Change], progress: Progress) -> bool:
        assert isinstance(model, Rows)
        return self.graphs.amend(model.graph, _edges(model, changes), progress)

    def drop_version(self, model: Model, version: int) -> None:
        self.graphs.drop_version(_graph(model), version)

    def versions(self, model: Model) -> list[int]:
        return self.graphs.versions(_graph(model))

    def close(self) -> None:
        self.graphs.close()


def _edges(model: Rows, changes: Mapping[Key, Change]) -> dict[Key, Change]:
    edges: dict[Key, Change] = {}
    label = model.graph.edges[model.edge]
    for (key,), change in changes.items():
        edges[label.source, HUB, ""] = Change()
        edges[label.target, key, ""] = Change()
        edges[model.edge, HUB, key] = model.change(change)
    return edges


def _graph(model: Model) -> Graph:
    assert isinstance(model, Rows)
    return model.graph
