"""The contract of `eventlog.sink`, held against every store."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from eventlog.errors import Fenced, NotFound, OnefactError, ServiceAway
from eventlog.models import Table, Value
from eventlog.operations import Add, Append, Operation, Put, Remove, coalesce
from tests.backing import until
from tests.stores.conftest import COLUMNS, Subject, opened
from tests.stores.line import Line

NOON = datetime(2006, 1, 2, 12, 0, 0, 123456, tzinfo=UTC)


def test_a_new_model_is_empty(subject: Subject) -> None:
    model = subject.model()
    assert subject.store.live_version(model) == 1
    assert subject.store.versions(model) == [1]
    assert subject.store.get(model, ("a",)) is None
    assert subject.rows(model) == []
    assert subject.store.progress(model) == {}


def test_rows_and_position_appear_together(subject: Subject) -> None:
    model = subject.model()
    sink, start = subject.opened(model)
    assert start == 0
    values: dict[str, Value] = {"label": "x", "count": 3, "amount": Decimal("1.50"), "open": False, "seen": NOON}
    sink.apply(coalesce([Put(("a",), values), Append(("b",), {"count": 1})]), 7)
    assert subject.store.get(model, ("a",)) == {"id": "a"} | values
    assert subject.store.get(model, ("b",)) == dict.fromkeys(COLUMNS) | {"id": "b", "count": 1}
    assert subject.store.progress(model) == {("facts", 0): 7}
    assert sorted(row["id"] for row in subject.rows(model)) == ["a", "b"]


def test_what_is_put_stays_until_it_is_put_again_or_removed(subject: Subject) -> None:
    model = subject.model()
    sink, _ = subject.opened(model)
    sink.apply(coalesce([Put(("a",), {"label": "x", "count": 1})]), 1)
    sink.apply(coalesce([Put(("a",), {"count": None}), Add(("a",), {"amount": Decimal(2)})]), 2)
    assert subject.store.get(model, ("a",)) == dict.fromkeys(COLUMNS) | {"id": "a", "label": "x", "amount": Decimal(2)}
    sink.apply(coalesce([Remove(("a",)), Remove(("never",))]), 3)
    assert subject.store.get(model, ("a",)) is None
    sink.apply(coalesce([Remove(("a",)), Add(("a",), {"amount": Decimal(1)}), Put(("b",), {})]), 4)
    assert subject.store.get(model, ("a",)) == dict.fromkeys(COLUMNS) | {"id": "a", "amount": Decimal(1)}
    assert subject.store.get(model, ("b",)) == dict.fromkeys(COLUMNS) | {"id": "b"}


def test_tables_are_scanned_in_key_order(subject: Subject) -> None:
    if not isinstance(model := subject.model(), Table):
        pytest.skip("only tables have an order of keys")
    keys = ["b", "a", "B", "ä", "a b", "10", "9", ""]
    sink, _ = subject.opened(model)
    sink.apply(coalesce([Put((key,), {"count": 1}) for key in keys]), 1)
    assert [row["id"] for row in subject.store.scan(model)] == sorted(keys)


def test_sums_go_on_from_what_was_put_or_removed_in_between(subject: Subject) -> None:
    model = subject.model()
    sink, _ = subject.opened(model)
    steps: list[Operation] = [
        Add(("a",), {"count": 1}),
        Put(("a",), {"count": 10}),
        Add(("a",), {"count": 1}),
        Remove(("a",)),
    ]
    script = [*steps, *steps[::2], steps[2], Put(("a",), {"count": None}), steps[0]]
    for position, operation in enumerate(script, 1):
        sink.apply(coalesce([operation]), position)
        if position == 3:
            assert subject.store.get(model, ("a",))["count"] == 11  # type: ignore[index]
        if position == 7:
            assert subject.store.get(model, ("a",))["count"] == 3  # type: ignore[index]
    assert subject.store.get(model, ("a",))["count"] == 1  # type: ignore[index]


def test_an_empty_batch_moves_the_position(subject: Subject) -> None:
    model = subject.model()
    sink, _ = subject.opened(model)
    sink.apply({}, 12)
    assert subject.opened(model)[1] == 12


def test_partitions_and_topics_have_their_own_positions(subject: Subject) -> None:
    model = subject.model()
    for partition in (0, 1):
        subject.opened(model, partition)[0].apply({}, partition + 5)
    other = subject.store.sink(model, "other:topic", 0)
    assert other.open() == 0
    other.close()
    assert subject.store.progress(model) == {("facts", 0): 5, ("facts", 1): 6, ("other:topic", 0): 0}


def test_a_sink_goes_on_where_the_last_one_stopped(subject: Subject) -> None:
    model = subject.model()
    sink, _ = subject.opened(model)
    sink.apply(coalesce([Add(("a",), {"amount": Decimal("0.1")})]), 1)
    sink.close()
    sink.close()
    assert sink.open() == 1
    sink.apply(coalesce([Add(("a",), {"amount": Decimal("0.2")})]), 2)
    assert subject.store.get(model, ("a",))["amount"] == Decimal("0.3")  # type: ignore[index]


def test_of_two_owners_the_one_that_writes_first_wins(subject: Subject) -> None:
    model = subject.model()
    zombie, _ = subject.opened(model)
    zombie.apply(coalesce([Add(("a",), {"count": 1})]), 10)
    owner, position = subject.opened(model)
    assert position == 10
    owner.apply(coalesce([Add(("a",), {"count": 1})]), 11)
    with pytest.raises(Fenced):
        zombie.apply(coalesce([Add(("a",), {"count": 100}), Put(("b",), {})]), 12)
    assert subject.store.get(model, ("a",))["count"] == 2  # type: ignore[index]
    assert subject.store.get(model, ("b",)) is None
    owner.apply(coalesce([Add(("a",), {"count": 1})]), 12)
    assert zombie.open() == 12
    assert subject.store.get(model, ("a",))["count"] == 3  # type: ignore[index]


def test_a_sink_that_is_not_open_writes_nothing(subject: Subject) -> None:
    model = subject.model()
    sink, _ = subject.opened(model)
    sink.close()
    with pytest.raises(Fenced):
        sink.apply(coalesce([Put(("a",), {})]), 1)
    assert subject.rows(model) == []


def test_two_workers_may_open_a_new_partition_at_once(subject: Subject) -> None:
    model = subject.model()
    sinks = [subject.sink(model) for _ in range(8)]
    together = threading.Barrier(len(sinks))

    def begin(sink: object) -> int:
        together.wait()
        return sink.open()  # type: ignore[attr-defined,no-any-return]

    with ThreadPoolExecutor(len(sinks)) as pool:
        assert list(pool.map(begin, sinks)) == [0] * len(sinks)
    sinks[0].apply(coalesce([Add(("a",), {"count": 1})]), 1)
    for sink in sinks[1:]:
        with pytest.raises(Fenced):
            sink.apply(coalesce([Add(("a",), {"count": 1})]), 1)
    assert subject.store.get(model, ("a",))["count"] == 1  # type: ignore[index]


def test_several_workers_may_prepare_at_once(subject: Subject) -> None:
    model = subject.model()
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda _: subject.store.prepare([model]), range(12)))
    assert subject.store.versions(model) == [1]


def test_a_rebuilt_version_replaces_the_live_one_at_a_stroke(subject: Subject) -> None:
    store, model = subject.store, subject.model()
    writer, _ = subject.opened(model)
    writer.apply(coalesce([Put(("a",), {"label": "old"})]), 5)
    version = store.create_version(model)
    assert (version, store.live_version(model), store.versions(model)) == (2, 1, [1, 2])
    rebuild, start = subject.opened(model, version=version)
    assert start == 0
    rebuild.apply(coalesce([Put(("a",), {"label": "new"})]), 5)
    assert store.get(model, ("a",))["label"] == "old"  # type: ignore[index]
    assert store.get(model, ("a",), version)["label"] == "new"  # type: ignore[index]
    assert subject.rows(model, version) == [store.get(model, ("a",), version)]
    assert store.progress(model, version) == {("facts", 0): 5}

    assert store.switch(model, version, {("facts", 0): 4}) is False
    assert store.switch(model, version, {}) is False
    assert store.switch(model, version, {("facts", 0): 5, ("facts", 1): 1}) is False
    assert store.live_version(model) == 1
    assert store.switch(model, version, {("facts", 0): 5, ("facts", 1): 0}) is True
    assert store.live_version(model) == version
    assert store.get(model, ("a",))["label"] == "new"  # type: ignore[index]
    assert store.get(model, ("a",), 1)["label"] == "old"  # type: ignore[index]

    with pytest.raises(Fenced):
        writer.apply(coalesce([Put(("a",), {"label": "lost"})]), 6)
    assert writer.open() == 5
    writer.apply(coalesce([Put(("a",), {"label": "newer"})]), 6)
    assert store.get(model, ("a",))["label"] == "newer"  # type: ignore[index]
    assert store.get(model, ("a",), 1)["label"] == "old"  # type: ignore[index]
    assert store.progress(model, 1) == {("facts", 0): 5}
    store.drop_version(model, 1)
    store.drop_version(model, 1)
    assert store.versions(model) == [2]
    with pytest.raises(OnefactError):
        store.drop_version(model, 2)
    assert store.create_version(model) == 3


def test_an_idle_sink_of_the_old_version_is_fenced_even_at_position_0(subject: Subject) -> None:
    model = subject.model()
    idle, _ = subject.opened(model)
    version = subject.store.create_version(model)
    assert subject.store.switch(model, version, {})
    with pytest.raises(Fenced):
        idle.apply(coalesce([Put(("a",), {})]), 1)
    assert subject.rows(model, 1) == []


def test_a_version_that_does_not_exist_is_named(subject: Subject) -> None:
    model = subject.model()
    with pytest.raises(NotFound, match="9"):
        subject.sink(model, version=9).open()
    with pytest.raises(NotFound, match="9"):
        subject.store.switch(model, 9, {})


def test_a_dropped_version_fences_its_owner(subject: Subject) -> None:
    model = subject.model()
    version = subject.store.create_version(model)
    sink, _ = subject.opened(model, version=version)
    sink.apply(coalesce([Put(("a",), {})]), 1)
    subject.store.drop_version(model, version)
    with pytest.raises(Fenced):
        sink.apply(coalesce([Put(("b",), {})]), 2)


def test_a_switch_under_a_writer_loses_and_doubles_nothing(subject: Subject) -> None:
    """The new version is filled by a second reader until the switch takes; every fact counts once in the end."""
    model, total = subject.model(), 300
    stop = threading.Event()

    def write() -> None:
        sink, position = subject.opened(model)
        while position < total:
            try:
                sink.apply(coalesce([Add(("a",), {"count": 1})]), position + 1)
                position += 1
            except Fenced:
                position = sink.open()
        stop.set()

    writer = threading.Thread(target=write)
    writer.start()
    switches = 0
    while not stop.is_set() or switches == 0:
        version = subject.store.create_version(model)
        sink, position = subject.opened(model, version=version)
        for _ in range(200):
            live = subject.store.progress(model).get(("facts", 0), 0)
            sink.apply(coalesce([Add(("a",), {"count": live - position})]), live)
            position = live
            if subject.store.switch(model, version, {("facts", 0): live}):
                switches += 1
                break
        sink.close()
    writer.join()
    assert subject.store.get(model, ("a",))["count"] == total  # type: ignore[index]
    assert subject.store.progress(model) == {("facts", 0): total}


def test_an_emptied_store_fences_and_is_filled_from_the_start(subject: Subject) -> None:
    model = subject.model()
    sink, _ = subject.opened(model)
    other, _ = subject.opened(model, 1)
    sink.apply(coalesce([Add(("a",), {"count": 5}), Append(("b",), {})]), 5)
    subject.empty()
    with pytest.raises(Fenced):
        sink.apply(coalesce([Add(("a",), {"count": 1})]), 6)
    assert sink.open() == 0
    with pytest.raises(Fenced):  # its position was 0 and is again; but it is another store
        other.apply(coalesce([Add(("a",), {"count": 1})]), 6)
    sink.apply(coalesce([Add(("a",), {"count": 6}), Append(("b",), {})]), 6)
    assert subject.store.get(model, ("a",))["count"] == 6  # type: ignore[index]
    assert len(subject.rows(model)) == 2


def test_lost_connections_are_an_absence_and_reopening_goes_on(server: Subject) -> None:
    store, model = server.store, server.model()
    sink, _ = server.opened(model)
    sink.apply(coalesce([Add(("a",), {"count": 1})]), 1)
    assert store.get(model, ("a",)) is not None
    server.kill_connections()
    if server.name != "neo4j":  # its driver keeps a pool, and takes a new connection for one that died at rest
        with pytest.raises(ServiceAway):
            sink.apply(coalesce([Add(("a",), {"count": 1})]), 2)
    assert store.get(model, ("a",))["count"] == 1  # type: ignore[index]
    assert sink.open() == 1
    sink.apply(coalesce([Add(("a",), {"count": 1})]), 2)
    assert store.get(model, ("a",))["count"] == 2  # type: ignore[index]


@pytest.mark.parametrize("rows", [1, 3_000])
def test_a_commit_whose_answer_is_lost_is_not_repeated(server: Subject, rows: int) -> None:
    assert server.settings is not None
    model = server.model()
    last_words = {"postgres": b"COMMIT\0", "redis": b"EVALSHA", "neo4j": b"\x00\x02\xb0\x12\x00\x00"}[server.name]
    with Line(getattr(server.settings, server.name)) as line:
        store = opened(server.name, server.settings.model_copy(update={server.name: line.url}))
        sink = store.sink(model, "facts", 0)
        position = sink.open()
        sink.apply({}, position + 1)
        line.cut_after = last_words
        with pytest.raises(ServiceAway):
            sink.apply(coalesce([Put((f"k{n}",), {"count": 7}) for n in range(rows)]), position + 2)
        # The client gives up when the line is cut; the server may still be at it.
        until(lambda: server.store.progress(model) == {("facts", 0): position + 2}, "the commit has been made")
        assert sink.open() == position + 2
        sink.apply(coalesce([Add((f"k{n}",), {"count": 1}) for n in range(rows)]), position + 3)
        sink.close()
        store.close()
    assert [row["count"] for row in server.rows(model)] == [8] * rows


def test_a_wrong_value_changes_nothing_and_the_sink_can_be_opened_again(server: Subject) -> None:
    model = server.model()
    sink, _ = server.opened(model)
    sink.apply(coalesce([Put(("a",), {"count": 1})]), 1)
    with pytest.raises(Exception) as raised:  # noqa: PT011 - each store has its own
        sink.apply(coalesce([Put(("b",), {}), Put(("a",), {"count": "many"})]), 2)
    assert not isinstance(raised.value, ServiceAway | Fenced)
    assert sink.open() == 1
    assert [row["id"] for row in server.rows(model)] == ["a"]
    assert server.store.progress(model) == {("facts", 0): 1}


def test_many_threads_may_read_at_once(subject: Subject) -> None:
    model = subject.model()
    sink, _ = subject.opened(model)
    sink.apply(coalesce([Put((f"k{n}",), {"count": n}) for n in range(50)]), 1)

    def read(n: int) -> int:
        row = subject.store.get(model, (f"k{n % 50}",))
        assert row is not None and subject.store.live_version(model) == 1
        return int(row["count"])

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(read, range(400))) == [n % 50 for n in range(400)]
