"""Dead letters: listed, shown, published again once, and kept where that would double a fact."""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest
from confluent_kafka import KafkaException, Producer

from eventlog import dead
from eventlog.discovery import catalog
from eventlog.envelope import Record, command_headers
from eventlog.errors import NotFound, OnefactError, Poison
from eventlog.rows import dead_letter
from eventlog.settings import Settings
from tests.cli.conftest import Onefact
from tests.runtime.batches import produce_raw
from tests.runtime.harness import read_all

COMMANDS = catalog().topic("trading.commands")
EVENTS = catalog().topic("trading.events")
AT = datetime(2024, 1, 2, tzinfo=UTC)


def produce(
    settings: Settings, topic: str, key: bytes | None, value: bytes | None, headers: Any, partition: int = -1
) -> None:
    config = {"bootstrap.servers": settings.kafka, "partitioner": "murmur2_random", "message.max.bytes": 16_000_000}
    producer = Producer(config)
    producer.produce(topic, value, key, partition, headers=headers)
    assert producer.flush(30) == 0


def until(found: Callable[[], Any], timeout_s: float = 120) -> Any:
    deadline = time.monotonic() + timeout_s
    while not (value := found()):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    return value


def poison(
    onefact: Onefact, settings: Settings, value: bytes = b"no avro", key: bytes | None = b""
) -> tuple[str, bytes]:
    """A command that cannot be read; id of its letter, and its key."""
    key = uuid4().hex.encode() if key == b"" else key
    headers = command_headers(uuid4().hex, "tests", "BuyStock", "s", AT)
    before = {each["id"] for each in onefact("dead", "list", "--json").json()}
    produce(settings, COMMANDS.name, key, value, headers)
    found = until(
        lambda: [e for e in onefact("dead", "list", "trading.commands", "--json").json() if e["id"] not in before]
    )
    return found[0]["id"], key or b""


def count(settings: Settings, key: bytes) -> int:
    return sum(record.key == key for record in read_all(settings, COMMANDS))


def test_a_letter_is_listed_and_shown_as_it_was(onefact: Onefact, settings: Settings) -> None:
    letter, key = poison(onefact, settings)
    listed = next(e for e in onefact("dead", "list", "--json").json() if e["id"] == letter)
    assert (listed["code"], listed["role"], listed["topic"]) == ("bad_magic", "trading.decider", "trading.commands")
    shown = onefact("dead", "show", letter, "--json").json()
    assert base64.b64decode(shown["value_base64"]) == b"no avro"
    assert shown["key"] == key.decode()
    assert shown["headers"]["ce_type"] == "BuyStock"
    assert not [name for name in shown["headers"] if name.startswith("onefact_dead")]
    assert f"trading.commands/{shown['partition']}/{shown['offset']}" in letter
    assert letter in onefact("dead", "list").out
    assert "b'no avro'" in onefact("dead", "show", letter).out


def test_retry_publishes_the_original_once_and_is_done_with_the_letter(onefact: Onefact, settings: Settings) -> None:
    letter, key = poison(onefact, settings, b"\x00\x00\x00\x00\x01 cut")
    done = onefact("dead", "retry", letter, "--json")
    assert (done.code, done.json()) == (0, {"retried": [letter], "kept": {}})
    assert letter not in {e["id"] for e in onefact("dead", "list", "--json").json()}
    again = onefact("dead", "retry", letter)
    assert (again.code, "there is no dead letter" in again.err) == (1, True)
    first, second = [record for record in read_all(settings, COMMANDS) if record.key == key]
    assert (second.value, list(second.headers), second.partition) == (first.value, list(first.headers), first.partition)
    assert onefact("dead", "show", letter).code == 1


def test_many_at_a_time_publish_it_once(onefact: Onefact, settings: Settings) -> None:
    letter, key = poison(onefact, settings)

    def attempt(_: int) -> bool:
        try:
            return dead.retry(settings, catalog(), letter)[0] == [letter]
        except (NotFound, OnefactError):
            return False

    with ThreadPoolExecutor(4) as pool:
        won = list(pool.map(attempt, range(4)))
    if not any(won):  # they fenced each other
        assert attempt(0)
    assert sum(won) <= 1
    assert count(settings, key) == 2


def test_all_of_them(onefact: Onefact, settings: Settings) -> None:
    keys = [poison(onefact, settings)[1] for _ in range(3)]
    poison(onefact, settings, b"", key=None)  # neither key nor value
    live = len(onefact("dead", "list", "--json").json())
    done = onefact("dead", "retry", "--all", "--json")
    assert (done.code, len(done.json()["retried"])) == (0, live)
    assert [count(settings, key) for key in keys] == [2, 2, 2]
    # What is wrong with them has not changed.
    until(lambda: len(onefact("dead", "list", "--json").json()) == live)


def test_a_fact_that_some_role_has_read_is_not_published_again(onefact: Onefact, settings: Settings) -> None:
    key = uuid4().hex.encode()
    record = Record(EVENTS.name, 0, 10**9, 0, key, b"x", [("ce_id", b"i")])
    roles = [r.name for r in (*catalog().enrichers, *(p for p in catalog().projections if EVENTS in p.sources))]
    assert len(roles) > 1
    ids = []
    for number, role in enumerate(roles):
        letter_key, value, headers = dead_letter(record, role, Poison("bad_avro", "cut"))
        assert letter_key
        produce(settings, EVENTS.dead.name, letter_key, value, headers, 0)
        ids.append(letter_key.decode())
        if number == 0:
            done = onefact("dead", "retry", ids[0], "--json")
            assert (done.code, done.json()["retried"]) == (1, [])
            assert roles[1] in done.json()["kept"][ids[0]]
            assert "would see it twice" in done.json()["kept"][ids[0]]
    before = len([r for r in read_all(settings, EVENTS) if r.key == key])
    retried, kept = dead.retry(settings, catalog(), ids[0])
    assert (sorted(retried), kept) == (sorted(ids), {})
    assert len([r for r in read_all(settings, EVENTS) if r.key == key]) == before + 1


def test_what_is_discarded_is_gone_and_published_no_more(onefact: Onefact, settings: Settings) -> None:
    letter, key = poison(onefact, settings)
    other, other_key = poison(onefact, settings, b"\x00\x00\x00\x00\x01 cut")
    asked = onefact("dead", "discard", letter)
    assert (asked.code, "--yes" in asked.err) == (2, True)
    assert onefact("dead", "show", letter).code == 0, "not without being asked"
    done = onefact("dead", "discard", letter, "--yes", "--json")
    assert (done.code, done.json()) == (0, {"discarded": [letter]})
    assert onefact("dead", "show", letter).code == 1
    assert onefact("dead", "retry", letter).code == 1
    assert onefact("dead", "discard", letter, "--yes").code == 1
    assert onefact("dead", "show", other).code == 0
    tombstones = [r for r in read_all(settings, COMMANDS.dead) if r.key == letter.encode() and r.value is None]
    assert len(tombstones) == 1
    assert (count(settings, key), count(settings, other_key)) == (1, 1)


def test_all_of_a_topic_or_of_one_code_are_discarded(onefact: Onefact, settings: Settings) -> None:
    bad, cut = poison(onefact, settings)[0], poison(onefact, settings, b"\x00\x00\x00\x00\x01 cut")[0]
    code = onefact("dead", "show", cut, "--json").json()["code"]
    assert code != "bad_magic"
    every = {e["id"]: e["code"] for e in onefact("dead", "list", "trading.commands", "--json").json()}
    elsewhere = {e["id"] for e in onefact("dead", "list", "--json").json()} - every.keys()
    done = onefact("dead", "discard", "--all-of", "trading.commands", "--reason", "bad_magic", "--yes", "--json")
    assert set(done.json()["discarded"]) == {e for e, why in every.items() if why == "bad_magic"} >= {bad}
    assert onefact("dead", "show", cut).code == 0
    said = onefact("dead", "discard", "--all-of", "trading.commands", "--yes")
    assert said.out.startswith("discarded ")
    assert {e["id"] for e in onefact("dead", "list", "--json").json()} == elsewhere
    again = onefact("dead", "discard", "--all-of", "trading.commands", "--yes", "--json")
    assert (again.code, again.json()) == (0, {"discarded": []})


@pytest.mark.parametrize("words", [(), ("x", "--all-of", "trading.commands"), ("x", "--reason", "bad_magic")])
def test_what_to_discard_must_be_said(onefact: Onefact, words: tuple[str, ...]) -> None:
    assert onefact("dead", "discard", *words, "--yes").code == 2


def test_a_discard_ends_a_retry_that_runs(settings: Settings, onefact: Onefact) -> None:
    letter, key = poison(onefact, settings)
    running = dead._producer(settings)
    assert dead.discard(settings, catalog(), [letter]) == [letter]
    running.begin_transaction()
    running.produce(COMMANDS.name, b"again", key)
    with pytest.raises(KafkaException):
        running.commit_transaction(30)
    assert count(settings, key) == 1


def test_headers_are_shown_as_they_were(onefact: Onefact, settings: Settings) -> None:
    before = {each["id"] for each in onefact("dead", "list", "--json").json()}
    key = uuid4().hex.encode() + b"\xff"
    headers = [(b"caf\xe9", b"\xff"), (b"onefact_dead_partition", b"x"), (b"twice", b"1"), (b"twice", None)]
    asyncio.run(produce_raw(settings.kafka, COMMANDS.name, [(key, b"\x00", headers)], 0))
    (letter,) = until(lambda: {e["id"] for e in onefact("dead", "list", "--json").json()} - before)
    shown = onefact("dead", "show", letter, "--json").json()
    exact = [[base64.b64decode(part) if part else None for part in each] for each in shown["headers_base64"]]
    assert exact == [list(each) for each in headers]
    assert base64.b64decode(shown["key_base64"]) == key
    assert shown["headers"]["caf\\xe9"] == "\ufffd"
    assert onefact("dead", "show", letter).code == 0


def test_what_somebody_else_wrote_among_the_letters_is_none(onefact: Onefact, settings: Settings) -> None:
    letter, _ = poison(onefact, settings)
    produce(settings, COMMANDS.dead.name, b"k", b"v", [("onefact_dead_role", b"x"), ("onefact_dead_offset", b"y")], 0)
    assert onefact("dead", "show", letter).code == 0


def test_a_topic_without_dead_letters_is_named(onefact: Onefact) -> None:
    done = onefact("dead", "list", "trading.chess")
    assert (done.code, "market.prices" in done.err) == (2, True)


@pytest.mark.parametrize("size", [900_000])
def test_a_large_one_can_be_shown(onefact: Onefact, settings: Settings, size: int) -> None:
    letter, _ = poison(onefact, settings, b"x" * size)
    assert len(base64.b64decode(onefact("dead", "show", letter, "--json").json()["value_base64"])) == size
