"""What is Neo4j's own: the graph that others read, sums without order, two owners at once, a server that dies."""

from __future__ import annotations

import os
import random
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from eventlog.digest import canonical, digest
from eventlog.errors import BadInput, Fenced, NotFound, OnefactError, ServiceAway
from eventlog.memory import MemoryRows
from eventlog.models import EdgeType, Graph, Hash, NodeType
from eventlog.operations import MergeEdge, MergeNode, Newest, NodeKey, Operation, Push, Put, Remove, coalesce
from eventlog.settings import Settings
from projections.stores import open_store
from projections.stores.neo4j import Neo4jSink, Neo4jStore, _sink
from projections.stores.neo4j._connection import parse
from tests.backing import Backing
from tests.stores.conftest import Subject, fresh_name

NOON = datetime(2006, 1, 2, 12, 0, 0, 123456, tzinfo=UTC)
COLUMNS = {"times": "integer", "last": "time", "open": "boolean", "label": "text"}


def graph(name: str | None = None, **changed: object) -> Graph:
    name = name or fresh_name("graph")
    label = name.title().replace("_", "")
    declared = {
        "nodes": {f"{label}P": NodeType("name", COLUMNS), f"{label}Q": NodeType("code")},  # type: ignore[arg-type]
        "edges": {"LIKES": EdgeType(f"{label}P", f"{label}Q", COLUMNS)},  # type: ignore[arg-type]
        "questions": {"liked": f"MATCH (:{label}P {{graph: $graph, name: $who}})-[x:LIKES]->(q) RETURN q.code AS code"},
    }
    return Graph(name, **declared | changed)  # type: ignore[arg-type]


def ends(model: Graph, one: str, other: str) -> tuple[NodeKey, NodeKey]:
    p, q = model.nodes
    return NodeKey(p, one), NodeKey(q, other)


def likes(model: Graph, one: str, other: str, **more: object) -> MergeEdge:
    return MergeEdge("LIKES", *ends(model, one, other), **more)  # type: ignore[arg-type]


@pytest.fixture
def store(graphs: Subject) -> Neo4jStore:
    return graphs.store.graphs  # type: ignore[attr-defined,no-any-return]


@pytest.fixture
def opened(store: Neo4jStore) -> Iterator[tuple[Graph, Neo4jSink]]:
    model = graph()
    store.prepare([model])
    sink = store.sink(model, "facts", 0)
    sink.open()
    yield model, sink
    sink.close()


def test_a_graph_that_others_can_read(graphs: Subject, store: Neo4jStore, opened: tuple[Graph, Neo4jSink]) -> None:
    model, sink = opened
    name = "Robert`) DETACH DELETE (n) //"
    more = {"add": {"times": 2}, "greatest": {"last": NOON}, "put": {"label": "'\"\x00\u202e", "open": True}}
    sink.apply(coalesce([likes(model, name, "q", **more), likes(model, name, "q", add={"times": 1})]), 9)
    p, q = model.nodes
    (found,) = graphs.cypher(f"MATCH (a:{p})-[x:LIKES]->(b:{q}) RETURN a.name, b.code, properties(x) AS x")
    assert (found["a.name"], found["b.code"]) == (name, "q")
    assert found["x"]["times"] == 3 and found["x"]["last"].to_native() == NOON
    row = {"element": "LIKES", "id": name, "to": "q", "times": 3, "last": NOON, "open": True, "label": "'\"\x00\u202e"}
    assert store.get(model, ("LIKES", name, "q")) == row
    assert store.get(model, (p, name, "")) == {"element": p, "id": name, "to": ""} | dict.fromkeys(COLUMNS)
    assert store.get(model, (p, "nobody", "")) is None and store.get(model, ("HATES", name, "q")) is None
    assert store.ask(model, "liked", {"who": name}) == [{"code": "q"}]
    with pytest.raises(NotFound, match="liked"):
        store.ask(model, "loved", {})


def test_what_a_graph_does_not_know_is_an_error(store: Neo4jStore, opened: tuple[Graph, Neo4jSink]) -> None:
    model, sink = opened
    node, _ = ends(model, "ada", "x")
    key = (node.label, node.id, "")
    for wrong in (Push(key, {"label": "x"}, NOON), Newest(key, {"last": NOON}, ("last",))):
        with pytest.raises(TypeError, match="is a graph"):
            sink.apply(coalesce([wrong]), 1)
        assert sink.open() == 0
    assert list(store.scan(model)) == []


def test_a_question_cannot_write(store: Neo4jStore) -> None:
    model = graph(questions={"sly": "CREATE (x:Sly) RETURN 1"})
    store.prepare([model])
    with pytest.raises(Exception, match=r"(?i)write|writing"):
        store.ask(model, "sly", {})


keys = st.sampled_from(["x", "y", "é\x00"])
numbers = st.integers(-5, 5)
times = st.datetimes(timezones=st.just(UTC))
changes = st.one_of(
    st.fixed_dictionaries({"add": st.just({"times": 1}), "greatest": st.builds(lambda t: {"last": t}, times)}),
    st.fixed_dictionaries(
        {"put": st.fixed_dictionaries({}, optional={"label": st.none() | st.text(max_size=3), "open": st.booleans()})}
    ),
    st.fixed_dictionaries({"put": st.fixed_dictionaries({"last": st.none() | times, "times": st.none() | numbers})}),
)
drawn = st.lists(st.tuples(st.sampled_from(["node", "edge", "remove"]), keys, keys, changes), max_size=12)


@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
@given(drawn=drawn, cuts=st.lists(st.integers(0, 12), max_size=3), takeover=st.booleans())
def test_any_split_into_batches_gives_the_fold(
    store: Neo4jStore, opened: tuple[Graph, Neo4jSink], drawn: list[tuple[str, str, str, dict[str, object]]],
    cuts: list[int], takeover: bool,
) -> None:  # fmt: skip
    model = opened[0]
    made: list[Operation] = [
        {
            "node": lambda one, _, more: MergeNode(ends(model, one, "")[0], **more),
            "edge": lambda one, other, more: likes(model, one, other, **more),
            "remove": lambda one, other, _: Remove(("LIKES", one, other)),
        }[kind](one, other, more)  # type: ignore[no-untyped-call]
        for kind, one, other, more in drawn
    ]
    reference, version = MemoryRows(model), store.create_version(model)
    sink = store.sink(model, "facts", 0, version)
    sink.open()
    for number, (start, end) in enumerate(pairwise([0, *sorted(min(c, len(made)) for c in cuts), len(made)]), 1):
        for operation in made[start:end]:
            reference.apply(coalesce([operation]))
        sink.apply(coalesce(made[start:end]), number)
        if takeover:
            assert sink.open() == number
    assert sorted(map(canonical, store.scan(model, version))) == sorted(map(canonical, reference.scan()))
    assert digest(store.scan(model, version)) == digest(reference.scan())
    store.drop_version(model, version)


def test_of_two_owners_at_once_one_writes(store: Neo4jStore, opened: tuple[Graph, Neo4jSink]) -> None:
    """Both begin from the same position at the same moment, again and again."""
    model, rounds = opened[0], 25
    together, wins = threading.Barrier(2), []

    def own() -> None:
        sink = store.sink(model, "facts", 0)
        for _ in range(rounds):
            at = sink.open()
            together.wait()
            try:
                sink.apply(coalesce([likes(model, "a", "b", add={"times": 1})]), at + 1)
                wins.append(at)
            except Fenced:
                pass
            together.wait()
        sink.close()

    with ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(own) for _ in range(2)]:
            done.result()
    row = store.get(model, ("LIKES", "a", "b"))
    assert row is not None and row["times"] == rounds
    assert sorted(wins) == list(range(rounds))
    assert store.progress(model) == {("facts", 0): rounds}


def test_partitions_that_write_the_same_edges_at_once_lose_none(store: Neo4jStore) -> None:
    """Deadlocks are tried again, and sums and greatest times come out whatever the order."""
    model, batches, seed = graph(), 6, int(os.environ.get("SEED") or random.SystemRandom().randrange(1 << 31))
    print(f"SEED={seed}")
    store.prepare([model])

    def work(partition: int) -> None:
        draw, sink = random.Random(seed + partition), store.sink(model, "facts", partition)
        at = sink.open()
        for _ in range(batches):
            pairs = [(f"p{draw.randrange(12)}", f"q{draw.randrange(8)}") for _ in range(150)]
            late = {"greatest": {"last": NOON + timedelta(seconds=at)}}
            sink.apply(coalesce([likes(model, *pair, add={"times": 1}, **late) for pair in pairs]), at := at + 1)
        sink.close()

    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(work, partition) for partition in range(4)]:
            done.result()
    edges = [row for row in store.scan(model) if row["element"] == "LIKES"]
    assert sum(row["times"] for row in edges) == 4 * batches * 150
    assert max(row["last"] for row in edges) == NOON + timedelta(seconds=batches - 1)
    p, q = model.nodes
    assert len([row for row in store.scan(model) if row["element"] in (p, q)]) == 20


def test_nodes_that_somebody_removed_are_noticed(
    graphs: Subject, store: Neo4jStore, opened: tuple[Graph, Neo4jSink]
) -> None:
    model, sink = opened
    sink.apply(coalesce([likes(model, "a", "b")]), 1)
    graphs.cypher(f"MATCH (x:{next(iter(model.nodes))}) DETACH DELETE x")
    with pytest.raises(OnefactError, match="1 of LIKES were written as 0"):
        sink.apply(coalesce([likes(model, "a", "b")]), 2)
    assert sink.open() == 1
    sink.apply(coalesce([likes(model, "a", "b")]), 2)
    assert store.get(model, ("LIKES", "a", "b")) is not None


def test_what_is_kept_is_what_is_declared(store: Neo4jStore, opened: tuple[Graph, Neo4jSink]) -> None:
    model, sink = opened
    for wrong in ({"times": "1"}, {"times": True}, {"open": 1}, {"label": 1}, {"last": datetime(2006, 1, 2)}):
        with pytest.raises(TypeError):
            sink.apply(coalesce([likes(model, "a", "b", put=wrong)]), 1)
        assert sink.open() == 0
    with pytest.raises(KeyError, match="no column other"):
        sink.apply(coalesce([likes(model, "a", "b", put={"other": 1})]), 1)
    sink.open()
    with pytest.raises(TypeError, match="only edges can be"):
        sink.apply(coalesce([Remove((next(iter(model.nodes)), "a", ""))]), 1)
    assert list(store.scan(model)) == []


def test_a_contradiction_to_what_is_there_is_named(store: Neo4jStore, opened: tuple[Graph, Neo4jSink]) -> None:
    model = opened[0]
    p, q = model.nodes
    more = graph(model.name, nodes=dict(model.nodes) | {q: NodeType("code", {"new": "text"})})
    store.prepare([more])
    nodes = {p: NodeType("name"), q: NodeType("code")}
    other = graph(model.name, edges={"LIKES": EdgeType(p, q, {"times": "text"})}, nodes=nodes)
    with pytest.raises(OnefactError, match=r"LIKES.times integer, not text.*replay"):
        store.prepare([other])
    with pytest.raises(OnefactError, match="told apart by name in Neo4j, not by id"):
        store.prepare([graph(model.name, nodes={p: NodeType("id"), q: NodeType("code")}, edges={})])
    with pytest.raises(OnefactError, match=f"label {p} belongs to read model {model.name}"):
        store.prepare([Graph(fresh_name(), nodes={p: NodeType("name")})])
    with pytest.raises(BadInput, match="not a Graph"):
        store.prepare([Hash("x", ("id",), {"id": "text"})])


def test_a_killed_server_loses_nothing_and_half_of_nothing(
    graph_backing: Backing, store: Neo4jStore, opened: tuple[Graph, Neo4jSink], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed while the rows of a batch are in an open transaction: neither they nor their position are there."""
    model, sink = opened
    sink.apply(coalesce([likes(model, "a", "b", add={"times": 1})]), 1)
    in_pieces = _sink._in_pieces

    def killed_after(*arguments: object) -> int:
        written = in_pieces(*arguments)  # type: ignore[arg-type]
        monkeypatch.undo()
        graph_backing.restart("neo4j", kill=True)
        return written

    monkeypatch.setattr(_sink, "_in_pieces", killed_after)
    with pytest.raises(ServiceAway):
        sink.apply(coalesce([likes(model, "a", "b", add={"times": 1}), likes(model, "a", "c")]), 2)
    with pytest.raises(Fenced):
        sink.apply({}, 2)
    assert sink.open() == 1
    assert store.get(model, ("LIKES", "a", "b"))["times"] == 1  # type: ignore[index]
    assert store.get(model, ("LIKES", "a", "c")) is None
    sink.apply(coalesce([likes(model, "a", "b", add={"times": 1})]), 2)
    assert store.get(model, ("LIKES", "a", "b"))["times"] == 2  # type: ignore[index]


@pytest.mark.parametrize(
    "url", ["bolt://neo4j:secretword@127.0.0.1:1", "bolt://neo4j:secretword@127.0.0.1:port", "http://x"]
)
def test_no_password_in_an_error(url: str) -> None:
    with pytest.raises((ServiceAway, BadInput)) as raised, closing(Neo4jStore(url)) as store:
        store.versions(graph())
    assert "secretword" not in str(raised.value)


def test_addresses() -> None:
    assert parse("bolt://u:p%40@h:1") == ("bolt://h:1", ("u", "p@"), "neo4j")
    assert parse("neo4j+s://h/graphs") == ("neo4j+s://h:7687", None, "graphs")
    with pytest.raises(ServiceAway, match="set ONEFACT_NEO4J"):
        open_store("neo4j", Settings(neo4j="", home="/nowhere"))  # type: ignore[arg-type]


def test_a_wrong_password_is_said(graph_backing: Backing) -> None:
    address = parse(graph_backing.env["ONEFACT_NEO4J"])
    wrong = Neo4jStore(address.uri.replace("://", "://neo4j:wrong@"))
    with closing(wrong), pytest.raises(OnefactError, match="does not take the user and password"):
        wrong.versions(graph())


def test_a_raw_operation_of_tables_is_no_way_around(opened: tuple[Graph, Neo4jSink]) -> None:
    _, sink = opened
    with pytest.raises(KeyError, match="has no Strange"):
        sink.apply(coalesce([Put(("Strange", "a", ""), {"label": "x"})]), 1)
