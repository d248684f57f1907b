"""Single records through a live worker: repeated, refused, empty, poisoned, too large, and a bug in the domain."""

from __future__ import annotations

import struct
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from confluent_kafka import Producer

from eventlog.codec import Codec
from eventlog.envelope import Headers, Record, command_headers
from eventlog.message import CommandAnswered, CommandRejected
from eventlog.partition import partition_of
from eventlog.rows import original_value
from eventlog.settings import Settings
from eventlog.topics import RECORD_BYTES_MAX, Topic
from tests.backing import Backing
from tests.runtime.counting import COUNTING, Count, Doubled
from tests.runtime.harness import Workers, consumed, header, publish, read_all, wait_until

COMMANDS, EVENTS = COUNTING.topic("commands"), COUNTING.topic("events")


@pytest.fixture(scope="module")
def workers(backing: Backing, codec: Codec, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workers]:
    started = Workers(backing.env, tmp_path_factory.mktemp("workers"))
    started.start("records", "counting.decider", "counting.enricher")
    started.wait_ready()
    yield started
    started.stop()


@pytest.fixture
def counter() -> str:
    """A stream of the test's own."""
    return f"records-{uuid.uuid4().hex[:8]}"


def decided(settings: Settings, workers: Workers) -> None:
    wait_until(lambda: consumed(settings, "counting.decider", COMMANDS), 100, "everything decided", workers.logs)


def of(settings: Settings, topic: Topic, key: str) -> list[Record]:
    return [record for record in read_all(settings, topic) if record.key == key.encode()]


def append(settings: Settings, topic: str, key: bytes | None, value: bytes | None, headers: Headers) -> None:
    producer = Producer(
        {
            "bootstrap.servers": settings.kafka,
            "partitioner": "murmur2_random",
            "message.max.bytes": 8 << 20,
            "log_level": 0,
        }
    )
    failed: list[object] = []
    producer.produce(
        topic, key=key, value=value, headers=headers,  # type: ignore[arg-type]
        on_delivery=lambda error, _: failed.append(error) if error else None,
    )  # fmt: skip
    assert producer.flush(30) == 0
    assert not failed


def test_repeated_command_is_answered_with_its_first_outcome(
    settings: Settings, codec: Codec, workers: Workers, counter: str
) -> None:
    again = [
        ("one", Count(counter_id=counter, number=5)),
        ("two", Count(counter_id=counter, number=6, times=2)),
        ("bad", Count(counter_id=counter, number=-1)),
    ]
    again = [(f"{counter}/{command_id}", command) for command_id, command in again]
    publish(settings, codec, COMMANDS, [*again, again[1]])  # once within the batch
    decided(settings, workers)
    publish(settings, codec, COMMANDS, again)  # and once after it
    decided(settings, workers)
    events = of(settings, EVENTS, counter)
    assert [header(e, "ce_sequence") for e in events] == ["1", "2", "3"]
    assert header(events[1], "ce_decided") == "2"
    answers = {}
    for record in of(settings, COUNTING.topic("outcomes"), counter):
        answer = codec.decode(record.value, COUNTING.topic("outcomes"))
        assert isinstance(answer, CommandAnswered)
        answers.setdefault(header(record, "ce_causationid"), []).append(answer)
    assert {k: len(v) for k, v in answers.items()} == {again[0][0]: 1, again[1][0]: 2, again[2][0]: 1}
    assert [(a.version, a.offset) for a in answers[again[1][0]]] == [(3, events[2].offset + 1)] * 2
    assert [(a.version, a.offset) for a in answers[again[0][0]]] == [(1, events[0].offset + 1)]
    assert [(a.code, a.offset) for a in answers[again[2][0]]] == [("negative", -1)]


def test_outcomes_are_remembered_across_owners(
    settings: Settings, codec: Codec, workers: Workers, counter: str
) -> None:
    commands = [(f"{counter}/{i}", Count(counter_id=counter, number=1)) for i in range(1000)]
    publish(settings, codec, COMMANDS, commands)
    decided(settings, workers)
    workers.kill("records")
    workers.start("records")
    workers.wait_ready()
    publish(settings, codec, COMMANDS, commands)
    decided(settings, workers)
    assert len(of(settings, EVENTS, counter)) == 1000
    assert len(of(settings, COUNTING.topic("outcomes"), counter)) == 1000


def test_refusal_is_a_fact(settings: Settings, codec: Codec, workers: Workers, counter: str) -> None:
    publish(settings, codec, COMMANDS, [(f"{counter}/no", Count(counter_id=counter, number=-3))])
    decided(settings, workers)
    (record,) = of(settings, COUNTING.topic("rejections"), counter)
    fact = codec.decode(record.value, COUNTING.topic("rejections"))
    assert isinstance(fact, CommandRejected)
    assert (fact.code, fact.command_type, header(record, "ce_causationid")) == ("negative", "Count", f"{counter}/no")


def test_command_that_changes_nothing_is_answered(
    settings: Settings, codec: Codec, workers: Workers, counter: str
) -> None:
    publish(settings, codec, COMMANDS, [(f"{counter}/zero", Count(counter_id=counter, number=0))])
    decided(settings, workers)
    (record,) = of(settings, COUNTING.topic("outcomes"), counter)
    answer = codec.decode(record.value, COUNTING.topic("outcomes"))
    assert isinstance(answer, CommandAnswered)
    assert (answer.version, answer.offset, answer.code) == (0, -1, None)
    assert of(settings, EVENTS, counter) == []


def poisons(codec: Codec, counter: str) -> dict[str, tuple[bytes | None, bytes | None, Headers]]:
    """By expected code: key, value and headers of a record that cannot be taken."""
    key = counter.encode()
    headers = command_headers(f"{counter}/poison", "test", "Count", counter, datetime.now(UTC))
    good = codec.encode(Count(counter_id=counter, number=1))
    return {
        "no_key": (None, good, headers),
        "no_value": (key, None, headers),
        "bad_magic": (key, b"\x01" + good[1:], headers),
        "unknown_schema": (key, struct.pack(">bI", 0, 999_999) + good[5:], headers),
        "bad_avro": (key, good[:-3], headers),
        "wrong_schema": (key, codec.encode(Doubled(counter_id=counter, number=1, count=1)), headers),
        "too_large": (key, good + b"\x00" * (2 * RECORD_BYTES_MAX), headers),
        "missing_header": (key, good, [h for h in headers if h[0] != "ce_id"]),
        "bad_header": (key, good, [h for h in headers if h[0] != "ce_time"] + [("ce_time", b"yesterday")]),
        "wrong_key": (b"another-" + key, good, headers),
        "decide_failed": (key, codec.encode(Count(counter_id=counter, number=13)), headers),
    }


def test_poison_goes_to_the_dead_letters_and_the_partition_goes_on(
    settings: Settings, codec: Codec, workers: Workers, counter: str
) -> None:
    made = poisons(codec, counter)
    for key, value, headers in made.values():
        append(settings, COMMANDS.name, key, value, headers)
    publish(settings, codec, COMMANDS, [(f"{counter}/after", Count(counter_id=counter, number=2))])
    decided(settings, workers)
    (event,) = of(settings, EVENTS, counter)
    assert header(event, "ce_causationid") == f"{counter}/after"
    letters = {}
    for letter in read_all(settings, COMMANDS.dead):
        position = (header(letter, "onefact_dead_topic"), header(letter, "onefact_dead_role"))
        assert position == (COMMANDS.name, "counting.decider")
        letters[int(header(letter, "onefact_dead_partition")), int(header(letter, "onefact_dead_offset"))] = letter
    found = {}
    for record in read_all(settings, COMMANDS):
        letter = letters.get((record.partition, record.offset))
        if letter is not None and (record.key is None or counter.encode() in record.key):
            assert original_value(letter.value, letter.headers) == record.value, "the original bytes are kept"
            assert letter.value is not None, "a letter without a value would be compacted away"
            assert set(record.headers) <= set(letter.headers), "the original headers are kept"
            found[header(letter, "onefact_dead_code")] = record.value
            assert header(letter, "onefact_dead_reason")
    assert {code: value for code, (_, value, _) in made.items()}.items() <= found.items()


def test_command_in_a_partition_that_is_not_its_streams(
    settings: Settings, codec: Codec, workers: Workers, counter: str
) -> None:
    publish(settings, codec, COMMANDS, [(f"{counter}/right", Count(counter_id=counter, number=1))])
    wrong = (partition_of(counter.encode(), COMMANDS.partitions) + 1) % COMMANDS.partitions
    producer = Producer({"bootstrap.servers": settings.kafka, "log_level": 0})
    headers = command_headers(f"{counter}/wrong", "test", "Count", counter, datetime.now(UTC))
    value = codec.encode(Count(counter_id=counter, number=1))
    producer.produce(COMMANDS.name, key=counter, value=value, headers=headers, partition=wrong)  # type: ignore[arg-type]
    assert producer.flush(30) == 0
    decided(settings, workers)
    assert len(of(settings, EVENTS, counter)) == 1
    letters = [r for r in read_all(settings, COMMANDS.dead) if r.partition == wrong]
    assert header(letters[-1], "onefact_dead_code") == "wrong_partition"
    assert header(letters[-1], "ce_id") == f"{counter}/wrong"


def test_poison_among_facts_does_not_stop_the_enricher(
    settings: Settings, codec: Codec, workers: Workers, counter: str
) -> None:
    append(settings, EVENTS.name, counter.encode(), b"\x00garbage", [("ce_id", b"x")])
    publish(settings, codec, COMMANDS, [(f"{counter}/1", Count(counter_id=counter, number=4))])
    decided(settings, workers)
    wait_until(lambda: consumed(settings, "counting.enricher", EVENTS), 100, "everything enriched", workers.logs)
    (fact,) = [
        codec.decode(r.value, COUNTING.topic("enriched")) for r in of(settings, COUNTING.topic("enriched"), counter)
    ]
    assert isinstance(fact, Doubled)
    assert fact.number == 8
    letters = [r for r in read_all(settings, EVENTS.dead) if header(r, "onefact_dead_role") == "counting.enricher"]
    assert b"\x00garbage" in [letter.value for letter in letters]


def test_metrics_tell_what_happened(workers: Workers) -> None:
    workers.wait_ready()
    text = workers.metrics("records")
    for name in (
        "records_total",
        "batches_total",
        "commit_seconds_bucket",
        "lag_records",
        "lag_seconds",
        "dead_letters_total",
    ):
        assert f"onefact_{name}{{" in text
    assert "onefact_ready 1.0" in text
