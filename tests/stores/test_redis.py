"""What is Redis's own: the layout that others read, exact sums, scripts, scores."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from eventlog.errors import BadInput, Fenced, OnefactError, ServiceAway
from eventlog.models import Hash, SortedSet, Table
from eventlog.operations import Add, Append, Put, Remove, coalesce
from projections.stores.redis import RedisStore, _sink
from tests.stores.conftest import COLUMNS, Subject, fresh_name


def portfolio() -> Hash:
    return Hash(fresh_name(), ("id",), {"id": "text", "cash": "decimal", "held": "decimal"}, maps={"held": "decimal"})


def board() -> SortedSet:
    return SortedSet(fresh_name(), ("id",), {"id": "text", "equity": "decimal"}, score="equity")


def test_a_row_is_a_hash_that_others_can_read(redis_store: Subject) -> None:
    model = portfolio()
    sink, _ = redis_store.opened(model)
    sink.apply(coalesce([Add(("P:1",), {"cash": Decimal("3.50"), "held.AAPL": Decimal(7), "held.A.B": Decimal(1)})]), 9)
    sink.apply(coalesce([Add(("P:1",), {"held.AAPL": Decimal(-7), "held.NVDA": Decimal("0.000")})]), 10)
    client = redis_store.redis()
    assert client.hgetall(f"onefact:{model.name}:v1:row:P:1") == {b"id": b"P:1", b"cash": b"3.5", b"held.A.B": b"1"}
    assert client.hget(f"onefact:{model.name}:v1:progress", "facts:0").split()[0] == b"10"  # type: ignore[union-attr]
    assert redis_store.store.get(model, ("P:1",)) == {"id": "P:1", "cash": Decimal("3.5"), "held": {"A.B": Decimal(1)}}


def test_scores_are_exact_and_ties_of_doubles_are_told_apart(redis_store: Subject) -> None:
    model = board()
    sink, _ = redis_store.opened(model)
    huge = Decimal("12345678901234567890.000000000001")
    rows = {"b": huge, "a": huge, "c": huge + Decimal("0.000000000001"), "d": Decimal("-0.1"), "e": Decimal(0)}
    sink.apply(coalesce([Put((key,), {"equity": score}) for key, score in rows.items()]), 1)
    sink.apply(coalesce([Put(("gone",), {"equity": Decimal(1)}), Add(("d",), {"equity": Decimal("-0.2")})]), 2)
    sink.apply(coalesce([Remove(("gone",))]), 3)
    assert [(row["id"], row["equity"]) for row in redis_store.rows(model)] == [
        ("c", rows["c"]), ("a", huge), ("b", huge), ("e", Decimal(0)), ("d", Decimal("-0.3"))]  # fmt: skip
    client = redis_store.redis()
    assert client.zrevrank(f"onefact:{model.name}:v1:scores", "c") in (0, 1, 2)
    assert client.hget(f"onefact:{model.name}:v1:exact", "c") == b"12345678901234567890.000000000002"


def test_a_long_ranking_comes_whole_and_in_order(redis_store: Subject) -> None:
    model = board()
    sink, _ = redis_store.opened(model)
    sink.apply(coalesce([Put((f"p{n}",), {"equity": Decimal(n % 977)}) for n in range(12_000)]), 1)
    found = [(-row["equity"], row["id"]) for row in redis_store.rows(model)]
    assert len(found) == 12_000 and found == sorted(found)


def test_a_row_with_more_fields_than_lua_can_unpack(redis_store: Subject) -> None:
    model, entries = portfolio(), 20_000
    sink, _ = redis_store.opened(model)
    sink.apply(coalesce([Add(("a",), {f"held.S{n}": Decimal(n + 1) for n in range(entries)})]), 1)
    sink.open()  # forgets what it knew, so that it reads them all
    sink.apply(coalesce([Add(("a",), {f"held.S{n}": Decimal(-n) for n in range(entries)})]), 2)
    row = redis_store.store.get(model, ("a",))
    assert row is not None and row["held"] == {f"S{n}": Decimal(1) for n in range(entries)}
    sink.apply(coalesce([Put(("a",), {f"held.S{n}": None for n in range(entries)})]), 3)
    row = redis_store.store.get(model, ("a",))
    assert row is not None and row["held"] == {}


def test_a_server_that_forgot_its_scripts_is_told_again(redis_store: Subject) -> None:
    model = portfolio()
    sink, _ = redis_store.opened(model)
    redis_store.redis().script_flush()
    sink.apply(coalesce([Put(("a",), {"cash": Decimal(1)})]), 1)
    redis_store.redis().script_flush()
    assert len(redis_store.rows(model)) == 1


def test_known_sums_are_bounded_and_forgotten_with_the_fence(
    redis_store: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_sink, "CACHED_ROWS_MAX", 3)
    model = portfolio()
    first, _ = redis_store.opened(model)
    second, _ = redis_store.opened(model)
    for position in range(1, 6):
        first.apply(coalesce([Add((f"k{n}",), {"cash": Decimal(1)}) for n in range(8)]), position)
        assert len(first._known) <= 3  # type: ignore[attr-defined]
    second.open()
    second.apply(coalesce([Add(("k7",), {"cash": Decimal(10)})]), 6)
    with pytest.raises(Fenced):
        first.apply(coalesce([Add(("k7",), {"cash": Decimal(1)})]), 7)
    first.open()
    first.apply(coalesce([Add(("k7",), {"cash": Decimal(1)})]), 7)
    assert {row["id"]: row["cash"] for row in redis_store.rows(model)} == {f"k{n}": 5 for n in range(7)} | {"k7": 16}


def test_dropping_a_version_leaves_none_of_its_keys(redis_store: Subject) -> None:
    model = Hash("odd[*]?" + fresh_name(), ("id",), COLUMNS)
    store = redis_store.store
    store.prepare([model])
    version = store.create_version(model)
    for wanted in (1, version):
        sink, _ = redis_store.opened(model, version=wanted)
        sink.apply(coalesce([Append((f"k{n}",), {"count": n}) for n in range(5_000)]), 1)
    store.drop_version(model, version)
    left = [key for key in redis_store.redis().scan_iter(count=1_000) if f":v{version}:".encode() in key]
    assert [key for key in left if model.name.encode() in key] == []
    assert len(redis_store.rows(model)) == 5_000


def test_what_redis_cannot_keep_is_refused(redis_store: Subject) -> None:
    store = redis_store.store
    with pytest.raises(BadInput, match="not a Hash, a SortedSet or a Feed"):
        store.prepare([Table("x", ("id",), COLUMNS)])
    with pytest.raises(BadInput, match="one column"):
        store.prepare([Hash("x", ("id", "label"), COLUMNS)])
    with pytest.raises(BadInput, match=r"no other columns.*label"):
        store.prepare([SortedSet("x", ("id",), {"id": "text", "n": "decimal", "label": "text"}, score="n")])
    with pytest.raises(BadInput, match="score"):
        store.prepare([SortedSet("x", ("id",), {"id": "text", "n": "integer"}, score="n")])


def test_a_column_that_changed_its_meaning_is_named(redis_store: Subject) -> None:
    model, store = portfolio(), redis_store.store
    store.prepare([model])
    more = replace(model, columns={**model.columns, "extra": "text"})
    store.prepare([more])
    other = replace(model, columns={**model.columns, "cash": "integer"})
    with pytest.raises(OnefactError, match=r"cash was decimal, not integer.*replay"):
        store.prepare([other])
    assert store.switch(other, store.create_version(other), {})
    store.prepare([other])


@pytest.mark.parametrize("url", ["redis://:secretword@127.0.0.1:1/0", "redis://:secretword@127.0.0.1:port/0"])
def test_no_password_in_an_error(url: str) -> None:
    with pytest.raises((ServiceAway, BadInput)) as raised:
        RedisStore(url).versions(portfolio())
    assert "secretword" not in str(raised.value)


@pytest.mark.parametrize("policy", ["allkeys-lru", "allkeys-random"])
def test_a_server_that_evicts_rows_is_refused(redis_store: Subject, policy: str) -> None:
    client, model = redis_store.redis(), portfolio()
    settings = redis_store.settings
    assert settings is not None
    client.config_set("maxmemory-policy", policy)
    try:
        with pytest.raises(OnefactError, match=f"maxmemory-policy={policy}"):
            redis_store.store.prepare([model])
        RedisStore(settings.redis, unsafe=True).prepare([model])
    finally:
        client.config_set("maxmemory-policy", "noeviction")
    redis_store.store.prepare([model])


def test_a_server_that_keeps_nothing_over_a_restart_is_told(redis_store: Subject) -> None:
    client = redis_store.redis()
    assert redis_store.store.doubts() == []
    client.config_set("appendonly", "no")
    try:
        assert "appendonly=yes" in " ".join(redis_store.store.doubts())
    finally:
        client.config_set("appendonly", "yes")


def test_no_row_ever_expires(redis_store: Subject) -> None:
    for model in (portfolio(), board()):
        redis_store.store.prepare([model])
        sink, _ = redis_store.opened(model)
        column = "equity" if isinstance(model, SortedSet) else "cash"
        sink.apply(coalesce([Put(("p",), {column: Decimal(1)})]), 1)
        keys = list(redis_store.redis().scan_iter(f"onefact:{model.name}:*"))
        assert len(keys) >= 5
        assert {redis_store.redis().ttl(key) for key in keys} == {-1}
