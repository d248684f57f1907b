"""Feeds: the newest entries of a row, newest first, each for a while."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from eventlog.digest import digest
from eventlog.errors import BadInput, OnefactError
from eventlog.memory import MemoryRows
from eventlog.models import ColumnType, Feed, Model
from eventlog.operations import Add, Newest, Push, Put, Remove, coalesce
from projections.stores.redis import RedisStore
from tests.stores.conftest import Subject, _subject, fresh_name

ENTRY: dict[str, ColumnType] = {"line": "text", "n": "integer", "amount": "decimal", "late": "boolean", "at": "time"}
DAY = timedelta(hours=24)
NOW = datetime.now(UTC).replace(microsecond=0)
"""When the tests were collected, which may be an hour before one of them runs."""


@pytest.fixture(params=["memory", "redis"])
def subject(request: pytest.FixtureRequest) -> Iterator[Subject]:
    """The stores that keep feeds."""
    yield from _subject(request.param, request)


def feed(subject: Subject, limit: int = 3, expires: timedelta | None = None) -> Model:
    model = Feed(
        fresh_name("feed"), ("id",), {"id": "text", "entries": "text"}, entry=ENTRY, limit=limit, expires=expires
    )
    subject.store.prepare([model])
    return model


def push(n: int, at: datetime = NOW, key: str = "m") -> Push:
    return Push((key,), {"n": n}, at)


def numbers(subject: Subject, model: Model, key: str = "m", version: int | None = None) -> list[int] | None:
    row = subject.store.get(model, (key,), version)
    return None if row is None else [entry["n"] for entry in row["entries"]]


def test_entries_have_all_columns_with_their_types(subject: Subject) -> None:
    model = feed(subject)
    sink, _ = subject.opened(model)
    values: dict[str, Any] = {
        "line": "67' \"é\" \x00\n", "n": 2**62, "amount": Decimal("1.50"), "late": True, "at": NOW,
    }  # fmt: skip
    sink.apply(coalesce([Push(("a:b",), {"line": "x"}, NOW), Push(("a:b",), values, NOW)]), 1)
    expected = {"id": "a:b", "entries": [values, dict.fromkeys(ENTRY) | {"line": "x"}]}
    assert subject.store.get(model, ("a:b",)) == expected
    assert subject.rows(model) == [expected]
    assert list(subject.rows(model)[0]["entries"][0]) == list(ENTRY)


def test_the_newest_are_first_and_the_oldest_go(subject: Subject) -> None:
    model = feed(subject)
    sink, _ = subject.opened(model)
    assert numbers(subject, model) is None
    sink.apply(coalesce([push(1), push(2)]), 1)
    assert numbers(subject, model) == [2, 1]
    sink.apply(coalesce([push(3), push(0, key="other"), push(4)]), 2)
    assert numbers(subject, model) == [4, 3, 2]
    sink.apply(coalesce([push(n) for n in range(10, 10_000)]), 3)
    assert numbers(subject, model) == [9_999, 9_998, 9_997]
    assert numbers(subject, model, "other") == [0]
    sink.apply(coalesce([push(1), Remove(("m",)), push(2)]), 4)
    assert numbers(subject, model) == [2]
    sink.apply(coalesce([Remove(("m",))]), 5)
    assert numbers(subject, model) is None


def test_a_thousand_entries_of_a_row(subject: Subject) -> None:
    model = feed(subject, limit=1000)
    sink, _ = subject.opened(model)
    sink.apply(coalesce([push(n) for n in range(9_000)]), 1)
    assert numbers(subject, model) == list(range(8_999, 7_999, -1))


def test_an_entry_is_shown_for_a_while(subject: Subject) -> None:
    model = feed(subject, expires=DAY)
    sink, _ = subject.opened(model)
    old, young = NOW - DAY - timedelta(seconds=1), NOW - DAY + timedelta(hours=6)
    sink.apply(coalesce([push(1, old, "gone"), push(1, old), push(2, young)]), 1)
    sink.apply(coalesce([push(3)]), 2)
    assert numbers(subject, model) == [3, 2]
    assert numbers(subject, model, "gone") is None
    assert [row["id"] for row in subject.rows(model)] == ["m"]


def test_a_version_that_is_rebuilt_later_shows_what_the_live_one_shows(subject: Subject) -> None:
    """The live one lost entries when their time came; the rebuilt one is given all of them at once."""
    model = feed(subject, expires=DAY)
    pushes = [push(n, NOW - timedelta(hours=30 - n)) for n in range(12)] + [push(1, NOW - timedelta(days=400), "gone")]
    pushes += [push(5, NOW, "gone"), push(1, NOW - timedelta(days=3), "old")]
    live, _ = subject.opened(model)
    for position, each in enumerate(pushes, 1):
        live.apply(coalesce([each]), position)
    version = subject.store.create_version(model)
    rebuilt, _ = subject.opened(model, version=version)
    rebuilt.apply(coalesce(pushes), len(pushes))
    shown = {"m": [11, 10, 9], "gone": [5], "old": None}
    for each in (None, version):
        assert {key: numbers(subject, model, key, each) for key in shown} == shown
    assert digest(subject.store.scan(model)) == digest(subject.store.scan(model, version))
    assert subject.store.switch(model, version, {("facts", 0): len(pushes)})


def test_as_of_a_point_nothing_has_expired_yet() -> None:
    model = Feed("feed", ("id",), {"id": "text", "entries": "text"}, entry=ENTRY, limit=3, expires=DAY)
    rows = MemoryRows(model)
    rows.apply(coalesce([push(n, NOW - timedelta(days=n)) for n in (9, 3, 0)]))
    (row,) = rows.scan()
    assert [entry["n"] for entry in row["entries"]] == [0, 3, 9]
    assert rows.get(("m",), NOW) == {"id": "m", "entries": [dict.fromkeys(ENTRY) | {"n": 0}]}


def test_only_entries_are_pushed_and_only_to_feeds(subject: Subject) -> None:
    model = feed(subject)
    wrong = (Push(("m",), {"nothing": 1}, NOW),)
    if subject.name == "redis":
        wrong += (Put(("m",), {"id": "m"}), Add(("m",), {"n": 1}), Newest(("m",), {"n": 1}, ("n",)))  # type: ignore[assignment]
    for operation in wrong:
        sink, _ = subject.opened(model)
        with pytest.raises((TypeError, KeyError)):
            sink.apply(coalesce([operation]), 1)
        sink.close()
    other = subject.model()
    sink, _ = subject.opened(other)
    with pytest.raises((TypeError, AssertionError)):
        sink.apply(coalesce([Push(("m",), {"n": 1}, NOW)]), 1)


def test_tables_have_no_entries(postgres: Subject) -> None:
    model = postgres.model()
    sink, _ = postgres.opened(model)
    with pytest.raises(TypeError, match="is a table"):
        sink.apply(coalesce([Push(("m",), {"count": 1}, NOW)]), 1)
    with pytest.raises(BadInput, match="not a Table"):
        postgres.store.prepare([Feed("f", ("id",), {"id": "text", "entries": "text"}, entry=ENTRY)])


@pytest.mark.parametrize(
    "wrong", [{"limit": 0}, {"limit": 1001}, {"entry": {}}, {"columns": {"id": "text"}}, {"key": ("entries",)}]
)
def test_what_is_no_feed(wrong: dict[str, Any]) -> None:
    with pytest.raises(TypeError):
        replace(Feed("f", ("id",), {"id": "text", "entries": "text"}, entry=ENTRY), **wrong)


def test_a_row_is_a_list_that_others_can_read_and_expires(redis_store: Subject) -> None:
    model = feed(redis_store, expires=DAY)
    sink, _ = redis_store.opened(model)
    name, client = f"onefact:{model.name}:v1:row:m", redis_store.redis()
    sink.apply(coalesce([Push(("m",), {"line": "é", "n": 1, "amount": Decimal("1E+1"), "late": False}, NOW)]), 1)
    ms = int(NOW.timestamp() * 1000)
    assert client.lrange(name, 0, -1) == [f'[{ms},{{"line":"é","n":1,"amount":"10","late":false,"at":null}}]'.encode()]
    at = client.pexpiretime(name)
    assert at == ms + 86_460_000, "a day, and a minute for clocks that differ"
    sink.apply(coalesce([push(2, NOW - timedelta(hours=1))]), 2)
    assert client.pexpiretime(name) == at, "an entry that comes late does not take the others with it"
    sink.apply(coalesce([push(3, NOW + timedelta(hours=1))]), 3)
    assert client.pexpiretime(name) == at + 3_600_000  # type: ignore[operator]
    sink.apply(coalesce([push(1, NOW - timedelta(days=30), "old")]), 4)
    assert not client.exists(f"onefact:{model.name}:v1:row:old")
    lasting = feed(redis_store)
    sink, _ = redis_store.opened(lasting)
    sink.apply(coalesce([push(1, NOW - timedelta(days=3000))]), 1)
    assert client.ttl(f"onefact:{lasting.name}:v1:row:m") == -1


def test_dropping_a_version_leaves_no_list(redis_store: Subject) -> None:
    model = feed(redis_store)
    version = redis_store.store.create_version(model)
    sink, _ = redis_store.opened(model, version=version)
    sink.apply(coalesce([push(1)]), 1)
    redis_store.store.drop_version(model, version)
    assert not list(redis_store.redis().scan_iter(f"onefact:{model.name}:v{version}:*"))


def test_a_feed_that_keeps_something_else_is_rebuilt(redis_store: Subject) -> None:
    model = feed(redis_store)
    assert isinstance(model, Feed)
    for other in (replace(model, limit=4), replace(model, expires=DAY), replace(model, entry=ENTRY | {"n": "text"})):
        with pytest.raises(OnefactError, match="replay"):
            redis_store.store.prepare([other])
    redis_store.store.prepare([replace(model, entry=ENTRY | {"more": "text"})])


def test_a_server_that_may_evict_what_expires_is_refused_for_feeds_that_do(redis_store: Subject) -> None:
    client, settings = redis_store.redis(), redis_store.settings
    assert settings is not None
    expiring, lasting = feed(redis_store, expires=DAY), feed(redis_store)
    client.config_set("maxmemory-policy", "volatile-ttl")
    try:
        redis_store.store.prepare([lasting])
        with pytest.raises(OnefactError, match="maxmemory-policy=volatile-ttl"):
            redis_store.store.prepare([lasting, expiring])
        RedisStore(settings.redis, unsafe=True).prepare([expiring])
    finally:
        client.config_set("maxmemory-policy", "noeviction")
