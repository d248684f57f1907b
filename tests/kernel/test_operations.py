"""A batch of operations is one change per row, with the outcome of the operations in their order."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventlog.memory import MemoryRows
from eventlog.models import EdgeType, Graph, Hash, Model, NodeType, SortedSet, Table, column_type
from eventlog.operations import Add, Append, MergeEdge, MergeNode, NodeKey, Operation, Put, Remove, coalesce

MODEL = Hash("m", ("k",), {"k": "text", "n": "integer", "t": "text", "h": "decimal"}, maps={"h": "decimal"})

keys = st.sampled_from(["a", "b"]).map(lambda key: (key,))
numbers = st.dictionaries(st.sampled_from(["n", "h.x", "h.y.z"]), st.integers(-3, 3), max_size=3)
operations = st.one_of(
    st.builds(Put, keys, st.fixed_dictionaries({}, optional={"n": st.integers(-3, 3), "t": st.text(max_size=2)})),
    st.builds(Put, keys, st.fixed_dictionaries({"h.x": st.integers(-2, 2)})),
    st.builds(Add, keys, numbers),
    st.builds(Append, keys, st.just({"t": "new", "n": 1})),
    st.builds(Remove, keys),
)


def naive(made: list[Operation]) -> list[dict[str, Any]]:
    """The meaning of each operation, one at a time, written once more and independently."""
    rows: dict[str, dict[str, Any]] = {}
    for operation in made:
        key = str(operation.key[0])
        match operation:
            case Remove():
                rows.pop(key, None)
            case Put(_, values) | Append(_, values):
                rows.setdefault(key, {}).update(values)
            case Add(_, values):
                row = rows.setdefault(key, {})
                for column, number in values.items():
                    row[column] = row.get(column, 0) + number
    return [
        {
            "k": key,
            "n": row.get("n"),
            "t": row.get("t"),
            "h": {c[2:]: v for c, v in sorted(row.items()) if c.startswith("h.") and v},
        }
        for key, row in sorted(rows.items())
    ]


def rows(made: list[Operation], cuts: list[int]) -> list[dict[str, Any]]:
    memory = MemoryRows(MODEL)
    for start, end in pairwise([0, *sorted(cuts), len(made)]):
        memory.apply(coalesce(made[start:end]))
    return list(memory.scan())


@given(st.lists(operations, max_size=20), st.lists(st.integers(0, 20), max_size=4))
def test_any_batching_has_the_outcome_of_one_at_a_time(made: list[Operation], cuts: list[int]) -> None:
    assert rows(made, cuts) == naive(made)


@given(st.lists(operations, max_size=20))
def test_no_column_is_both_put_and_added(made: list[Operation]) -> None:
    for change in coalesce(made).values():
        assert not change.puts.keys() & change.adds.keys()
        assert not change.removed or (change.reset and not change.puts and not change.adds)


def test_there_is_one_change_per_row() -> None:
    changes = coalesce([Add(("a",), {"n": 1}), Add(("b",), {"n": 5}), Add(("a",), {"n": 2})])
    assert {key: change.adds for key, change in changes.items()} == {("a",): {"n": 3}, ("b",): {"n": 5}}


def test_operations_are_not_changed_by_being_coalesced() -> None:
    first = Put(("a",), {"n": 1})
    coalesce([first, Add(("a",), {"n": 1}), Put(("a",), {"t": "x"})])
    assert first.values == {"n": 1}


def test_a_row_that_was_removed_and_made_again_has_forgotten() -> None:
    change = coalesce([Put(("a",), {"n": 1}), Remove(("a",)), Append(("a",), {"t": "x"})])[("a",)]
    assert change.reset
    assert change.append
    assert not change.removed
    assert change.puts == {"t": "x"}


def test_a_sorted_set_is_highest_first() -> None:
    memory = MemoryRows(SortedSet("s", ("k",), {"k": "text", "n": "decimal"}, score="n"))
    memory.apply(coalesce([Put((key,), {"n": n}) for key, n in (("a", 1), ("b", 3), ("c", 3), ("d", -1))]))
    assert [row["k"] for row in memory.scan()] == ["b", "c", "a", "d"]


def test_a_column_that_a_model_does_not_have_is_an_error() -> None:
    memory = MemoryRows(MODEL)
    memory.apply(coalesce([Put(("a",), {"typo": 1})]))
    with pytest.raises(KeyError, match="has no column typo"):
        list(memory.scan())
    with pytest.raises(KeyError, match="has no column n"):
        column_type(MODEL, "n.x")


def test_a_models_key_is_among_its_columns() -> None:
    with pytest.raises(TypeError, match="key columns"):
        Table("t", ("k",), {"n": "integer"})
    with pytest.raises(TypeError, match="key columns"):
        Model("t", (), {"n": "integer"})


GRAPH = Graph(
    "g",
    nodes={"A": NodeType("name", {"n": "integer", "top": "integer", "t": "text"}), "B": NodeType("name")},
    edges={"TO": EdgeType("A", "B", {"n": "integer", "top": "integer", "t": "text"})},
)
names = st.sampled_from(["x", "y"])
small = st.integers(-3, 3)
parts = {
    "put": st.fixed_dictionaries({}, optional={"t": st.text(max_size=2), "n": small, "top": small}),
    "add": st.just({}),
    "greatest": st.just({}),
}
sums = {
    "put": st.just({}),
    "add": st.fixed_dictionaries({}, optional={"n": small}),
    "greatest": st.fixed_dictionaries({}, optional={"top": small}),
}
a, b = st.builds(NodeKey, st.just("A"), names), st.builds(NodeKey, st.just("B"), names)
graph_operations = st.one_of(
    *(
        st.one_of(st.builds(MergeNode, a, **each), st.builds(MergeEdge, st.just("TO"), a, b, **each))
        for each in (parts, sums)
    ),
    b.map(MergeNode),
    st.builds(lambda one, other: Remove(("TO", one, other)), names, names),
)


def naive_graph(made: list[Operation]) -> list[dict[str, Any]]:
    """A graph by nodes and edges, one operation at a time."""
    rows: dict[tuple[Any, ...], dict[str, Any]] = {}
    for operation in made:
        if isinstance(operation, Remove):
            rows.pop(operation.key, None)
            continue
        assert isinstance(operation, MergeNode | MergeEdge)
        ends = (operation.source, operation.target) if isinstance(operation, MergeEdge) else (operation.node,)
        for label, name in ends:
            rows.setdefault((label, name, ""), {})
        row = rows.setdefault(operation.key, {})
        row.update(operation.put)
        for column, number in operation.add.items():
            row[column] = (row.get(column) or 0) + number
        for column, number in operation.greatest.items():
            row[column] = max(row.get(column, number), number)
    columns = {"A": ("n", "top", "t"), "B": (), "TO": ("n", "top", "t")}
    return [
        {"element": key[0], "id": key[1], "to": key[2]} | {column: row.get(column) for column in columns[key[0]]}
        for key, row in sorted(rows.items())
    ]


@given(made=st.lists(graph_operations, max_size=14), cuts=st.lists(st.integers(0, 14), max_size=4))
def test_any_split_of_a_graphs_operations_gives_the_graph(made: list[Operation], cuts: list[int]) -> None:
    memory = MemoryRows(GRAPH)
    for start, end in pairwise([0, *sorted(min(cut, len(made)) for cut in cuts), len(made)]):
        memory.apply(coalesce(made[start:end]))
    assert list(memory.scan()) == naive_graph(made)


def test_what_a_graph_operation_touches_is_told() -> None:
    node = NodeKey("A", "x")
    edge = MergeEdge("TO", node, NodeKey("B", "y"), {"t": "1"}, {"n": 1}, {"top": 2})
    assert MergeNode(node, {"t": ""}).key == ("A", "x", "") and edge.key == ("TO", "x", "y")
    assert dict(edge.values) == {"t": "1", "n": 1, "top": 2}
    assert set(coalesce([edge])) == {("A", "x", ""), ("B", "y", ""), ("TO", "x", "y")}
    with pytest.raises(KeyError, match="no C"):
        GRAPH.columns_of("C")
