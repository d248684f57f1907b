"""What any client may write to a topic, and no role may stumble over: each is taken, or a dead letter, once."""

from __future__ import annotations

import asyncio
import gc
import sys
import uuid
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from confluent_kafka import Producer

from eventlog.codec import Codec
from eventlog.dead import letters
from eventlog.dead import retry as publish_again
from eventlog.envelope import Headers, command_headers, time_text
from eventlog.partition import partition_of
from eventlog.reader import LogReader, headers_of
from eventlog.settings import Settings
from eventlog.topics import Topic
from producers import Publisher
from projections import Reader
from projections.replay import replay
from projections.stores import open_store
from tests.backing import Backing
from tests.runtime.batches import produce_raw
from tests.runtime.counting import CATALOG, COUNTING, Count, Counted
from tests.runtime.harness import Workers, consumed, header, publish, read_all, wait_none_open, wait_until

COMMANDS, EVENTS = COUNTING.topic("commands"), COUNTING.topic("events")
ROLES = ("counting.decider", "counting.enricher", "counting.counts", "counting.sums")
NOW = datetime(2024, 1, 2, tzinfo=UTC)


@pytest.fixture(scope="module")
def workers(backing: Backing, codec: Codec, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workers]:
    started = Workers(backing.env, tmp_path_factory.mktemp("workers"))
    started.start("strange", *ROLES)
    started.wait_ready()
    yield started
    started.stop()


@pytest.fixture
def counter() -> str:
    """A stream of the test's own."""
    return f"strange-{uuid.uuid4().hex[:8]}"


def command(codec: Codec, counter: str, name: str, number: int = 1) -> tuple[bytes, bytes, Headers]:
    value = codec.encode(Count(counter_id=counter, number=number))
    return counter.encode(), value, command_headers(f"{counter}/{name}", "test", "Count", counter, NOW)


def fact(codec: Codec, counter: str, version: int) -> tuple[bytes, bytes, Headers]:
    value = codec.encode(Counted(counter_id=counter, number=1, total=version))
    headers = command_headers(f"{counter}:{version}", "test", "Counted", counter, NOW)
    return counter.encode(), value, [*headers, ("ce_sequence", b"%d" % version)]


def raw(headers: Headers) -> list[tuple[bytes, bytes | None]]:
    return [(name.encode(), value) for name, value in headers]


def append_raw(settings: Settings, topic: Topic, key: bytes, value: bytes, headers: list) -> None:
    partition = partition_of(key, topic.partitions)
    asyncio.run(produce_raw(settings.kafka, topic.name, [(key, value, headers)], partition))


def everything_read(settings: Settings, workers: Workers) -> None:
    wait_until(lambda: consumed(settings, "counting.decider", COMMANDS), 100, "everything decided", workers.logs)
    wait_until(lambda: consumed(settings, "counting.enricher", EVENTS), 100, "everything enriched", workers.logs)

    def projected() -> bool:
        with LogReader(settings) as log:
            for projection in CATALOG.projections:
                store = open_store(projection.model.store, settings)
                try:
                    at = store.progress(projection.model)
                finally:
                    store.close()
                ends = {k: v for source in projection.sources for k, v in log.ends(source.name).items()}
                if log.waiting({place: (at.get(place, 0), end) for place, end in ends.items()}):
                    return False
        return True

    wait_none_open(settings, COUNTING.topic("enriched").name, COMMANDS.dead.name, EVENTS.dead.name)
    wait_until(projected, 100, "everything projected", workers.logs)


def codes(settings: Settings, counter: str) -> dict[str, Counter[str]]:
    """Letters about a stream: by role, how many of each code."""
    found: dict[str, Counter[str]] = {}
    for letter in letters(settings, [COMMANDS, EVENTS]):
        if letter.key and letter.key.startswith(counter.encode()):
            found.setdefault(letter.role, Counter())[letter.code] += 1
    return found


def events_of(settings: Settings, counter: str) -> list[str]:
    return [header(r, "ce_causationid") for r in read_all(settings, EVENTS) if r.key == counter.encode()]


def never_restarted(workers: Workers) -> None:
    assert workers.processes["strange"].poll() is None, workers.logs()


NAMES = [b"\xff\xfe", b"ce_id\xff", b"\xed\xa0\x80", b"\xc0\x80", b"caf\xe9"]


def test_header_names_that_are_not_utf8(settings: Settings, codec: Codec, workers: Workers, counter: str) -> None:
    for number, name in enumerate(NAMES):
        key, value, headers = command(codec, counter, f"bad-{number}")
        strange = [*raw(headers), (name, b"1"), (b"onefact_dead_role", b"me"), (name, None)]
        append_raw(settings, COMMANDS, key, value, strange)
        key, value, headers = fact(codec, f"{counter}-stranger", number + 1)
        append_raw(settings, EVENTS, key, value, [(name, b"1"), *raw(headers)])
    publish(settings, codec, COMMANDS, [(f"{counter}/after", Count(counter_id=counter, number=2))])
    everything_read(settings, workers)
    never_restarted(workers)
    assert events_of(settings, counter) == [f"{counter}/after"]
    many = Counter({"bad_header": len(NAMES)})
    assert codes(settings, counter) == dict.fromkeys(ROLES, many), "one letter of each role that reads the topic"
    about = {letter.offset: letter for letter in letters(settings, [COMMANDS]) if letter.key == counter.encode()}
    names = [[name.encode(errors="surrogateescape") for name, _ in letter.headers] for letter in about.values()]
    own = [name.encode() for name, _ in command_headers("", "", "", "", NOW)]
    assert names == [[*own, name, b"onefact_dead_role", name] for name in NAMES], "as they were, in their order"
    assert [letter.headers[-1][1] for letter in about.values()] == [None] * len(NAMES)
    for letter in about.values():
        kept = publish_again(settings, CATALOG, letter.id)
        assert (kept[0], "cannot be written" in kept[1][letter.id]) == ([], True)


def test_a_rebuild_counts_the_letters_and_doubles_none(
    settings: Settings, codec: Codec, workers: Workers, counter: str
) -> None:
    key, value, headers = fact(codec, counter, 1)
    append_raw(settings, EVENTS, key, value, [*raw(headers), (b"\xff", b"1")])
    everything_read(settings, workers)
    before = codes(settings, "")
    for model, sources in {"counts": [EVENTS], "sums": [EVENTS, COUNTING.topic("enriched")]}.items():
        dead = sum(letter.role == f"counting.{model}" for letter in letters(settings, sources))
        result = replay(model, settings, catalog=CATALOG)
        assert (result.identical, result.dead) == (True, dead)
        assert dead > 0
    everything_read(settings, workers)
    assert codes(settings, "") == before


def test_a_zero_byte_in_a_name_is_read_alike_by_every_role(
    settings: Settings, codec: Codec, workers: Workers, counter: str
) -> None:
    key, value, headers = command(codec, counter, "cut")
    named = [(b"ce_id\0more" if name == b"ce_id" else name, content) for name, content in raw(headers)]
    append_raw(settings, COMMANDS, key, value, [*named, (b"other\0\xff", b"1")])
    key, value, headers = fact(codec, f"{counter}-stranger", 1)
    append_raw(settings, EVENTS, key, value, [*raw(headers), (b"ce_sequence\0", b"7")])
    everything_read(settings, workers)
    assert events_of(settings, counter) == [f"{counter}/cut"]
    with Reader(settings, catalog=CATALOG) as reader:
        rows = reader.read("counts", f"{counter}-stranger")
        assert [row["version"] for row in rows] == [7]  # type: ignore[union-attr,index,call-overload]
    assert replay("counts", settings, catalog=CATALOG).identical
    assert codes(settings, counter) == {}


def append(settings: Settings, topic: Topic, key: bytes | None, value: bytes | None, headers: Headers, **how) -> None:
    options = {"partitioner": "murmur2_random", "message.max.bytes": 900 << 20, "log_level": 0}
    timestamp = how.pop("timestamp", 0)
    producer = Producer({"bootstrap.servers": settings.kafka} | options | how)
    failed: list[object] = []
    producer.produce(
        topic.name, key=key, value=value, headers=headers, timestamp=timestamp,  # type: ignore[arg-type]
        on_delivery=lambda error, _: failed.append(error) if error else None,
    )  # fmt: skip
    assert producer.flush(120) == 0
    assert not failed


@pytest.mark.parametrize("codec_name", ["gzip", "snappy", "lz4", "zstd"])
def test_any_compression(settings: Settings, codec: Codec, workers: Workers, counter: str, codec_name: str) -> None:
    how = {"compression.type": codec_name}
    key, value, headers = command(codec, counter, codec_name)
    append(settings, COMMANDS, key, value, [*headers, ("padding", b"x" * 1000)], **how)
    append(settings, COMMANDS, key, b"\x05" + b"x" * 2_000_000, headers, **how)
    key, value, headers = fact(codec, f"{counter}-stranger", 1)
    append(settings, EVENTS, key, value, [*headers, ("padding", b"x" * 1000)], **how)
    everything_read(settings, workers)
    assert events_of(settings, counter) == [f"{counter}/{codec_name}"]
    assert codes(settings, counter) == {"counting.decider": Counter(too_large=1)}
    assert replay("counts", settings, catalog=CATALOG).identical
    with Reader(settings, catalog=CATALOG) as reader:
        assert len(reader.read("counts", f"{counter}-stranger")) == 1  # type: ignore[arg-type]


def test_what_is_too_large_for_a_letter_is_cut(
    settings: Settings, codec: Codec, workers: Workers, counter: str
) -> None:
    key, value, headers = command(codec, counter, "bomb")
    how = {"compression.type": "gzip"}
    append(settings, COMMANDS, key, value + b"\0" * (40 << 20), headers, **how)
    append(settings, COMMANDS, key, value[:-1], [*headers, ("large", b"\0" * (14 << 20))], **how)
    append(settings, COMMANDS, key + b"\0" * (14 << 20), value, headers, **how)
    publish(settings, codec, COMMANDS, [(f"{counter}/after", Count(counter_id=counter, number=2))])
    everything_read(settings, workers)
    never_restarted(workers)
    found = [x for x in letters(settings, [COMMANDS]) if x.key and x.key.startswith(counter.encode())]
    assert Counter(letter.code for letter in found) == Counter(too_large=1, bad_avro=1, bad_header=1)
    for letter in found:
        assert letter.cut is not None
        assert letter.cut > 12 << 20
        kept = publish_again(settings, CATALOG, letter.id)
        assert (kept[0], "too many for a letter" in kept[1][letter.id]) == ([], True)
    assert events_of(settings, counter) == [f"{counter}/after"]


def test_headers_of_all_kinds(settings: Settings, codec: Codec, workers: Workers, counter: str) -> None:
    def send(name: str, change) -> None:
        key, value, headers = command(codec, counter, name)
        append(settings, COMMANDS, key, value, change(headers))

    def without(headers: Headers, name: str) -> Headers:
        return [each for each in headers if each[0] != name]

    send("null", lambda h: [*h, ("mine", None)])
    send("none-id", lambda h: [*without(h, "ce_id"), ("ce_id", None)])
    send(
        "none-correlation", lambda h: [*without(h, "ce_correlationid"), ("ce_correlationid", None), ("ce_tenant", None)]
    )
    send("twice", lambda h: [("ce_id", b"first"), *h])
    send("many", lambda h: [*h, *((f"h{n}", b"x") for n in range(10_000))])
    send("one-of-1-mb", lambda h: [*h, ("large", b"x" * (1 << 20))])
    send("id-of-1-mb", lambda h: [*without(h, "ce_id"), ("ce_id", b"x" * (1 << 20))])
    send("id-not-utf8", lambda h: [*without(h, "ce_id"), ("ce_id", b"\xff")])
    send("correlation-not-utf8", lambda h: [*without(h, "ce_correlationid"), ("ce_correlationid", b"\xff")])
    send("trace-of-1-mb", lambda h: [*h, ("traceparent", b"x" * (1 << 20))])
    send("no-name", lambda h: [*h, ("", b"x")])
    send("dead-prefix", lambda h: [*h, ("onefact_dead_partition", b"x"), ("onefact_dead_role", b"")])
    everything_read(settings, workers)
    taken = ["null", "none-correlation", "twice", "many", "one-of-1-mb", "no-name", "dead-prefix"]
    assert events_of(settings, counter) == [f"{counter}/{name}" for name in taken]
    expected = {"counting.decider": Counter(missing_header=1, bad_header=4)}
    assert codes(settings, counter) == expected, "and no role stumbles over what the decider made of the others"


def test_null_headers_do_not_wear_out(settings: Settings, codec: Codec, workers: Workers, counter: str) -> None:
    key, value, headers = command(codec, counter, "nulls")
    append(settings, COMMANDS, key, value, [*headers, *[("n", None)] * 20_000])
    gc.collect()  # what other tests left has references, too
    before = sys.getrefcount(None)
    for _ in range(3):
        with LogReader(settings) as log:
            for _, messages, _ in log.batches({k: (0, end) for k, end in log.ends(COMMANDS.name).items()}):
                for message in messages:
                    headers_of(message)
    assert sys.getrefcount(None) > before - 20_000, "the client gives away references to None that it does not have"


def test_keys_of_all_kinds(settings: Settings, codec: Codec, workers: Workers, counter: str) -> None:
    key, value, headers = command(codec, counter, "keys")
    for strange in (None, b"", key + b"\xff", key + b"\0", key + b"x" * (1 << 20)):
        append(settings, COMMANDS, strange, value, headers)
        append(settings, EVENTS, strange, value, [*headers, ("ce_sequence", b"1")])
    append(settings, COMMANDS, key, value, headers)
    everything_read(settings, workers)
    never_restarted(workers)
    assert events_of(settings, counter) == [f"{counter}/keys"]
    assert codes(settings, counter)["counting.decider"] == Counter(wrong_key=1, bad_header=2)
    about = [x for x in letters(settings, [COMMANDS]) if x.code == "no_key" and ("ce_subject", key) in x.headers]
    assert [letter.key for letter in about] in ([None, b""], [b"", None])


@pytest.mark.parametrize("timestamp", [1, -1, 1 << 40])
def test_timestamps_of_all_kinds(
    settings: Settings, codec: Codec, workers: Workers, counter: str, timestamp: int
) -> None:
    key, value, headers = command(codec, counter, "time")
    append(settings, COMMANDS, key, value, headers, timestamp=timestamp)
    append(settings, COMMANDS, key, b"", headers, timestamp=timestamp)
    everything_read(settings, workers)
    assert events_of(settings, counter) == [f"{counter}/time"]
    assert codes(settings, counter) == {"counting.decider": Counter(no_value=1)}


@pytest.mark.parametrize("time", [datetime.min, datetime.max], ids=["first", "last"])
def test_times_at_the_ends_of_the_calendar(
    settings: Settings, codec: Codec, workers: Workers, counter: str, time: datetime
) -> None:
    text = time_text(time.replace(tzinfo=UTC)).encode()
    for make, topic in ((command, COMMANDS), (fact, EVENTS)):
        key, value, headers = make(codec, counter if topic is COMMANDS else f"{counter}-stranger", 1)  # type: ignore[operator]
        append(settings, topic, key, value, [*(h for h in headers if h[0] != "ce_time"), ("ce_time", text)])
    everything_read(settings, workers)
    assert events_of(settings, counter) == [f"{counter}/1"]
    assert codes(settings, counter) == {}


def test_transactions_that_were_aborted(settings: Settings, codec: Codec, workers: Workers, counter: str) -> None:
    key, value, headers = command(codec, counter, "aborted")
    producer = Producer(
        {
            "bootstrap.servers": settings.kafka,
            "partitioner": "murmur2_random",
            "transactional.id": counter,
            "log_level": 0,
        }
    )
    producer.init_transactions(30)
    for name, end in (
        ("a", producer.abort_transaction),
        ("b", producer.commit_transaction),
        ("c", producer.abort_transaction),
    ):
        producer.begin_transaction()
        for number in range(3):
            headers = command_headers(f"{counter}/{name}{number}", "test", "Count", counter, NOW)
            producer.produce(COMMANDS.name, key=key, value=value, headers=headers)  # type: ignore[arg-type]
            producer.produce(COMMANDS.name, key=key, value=b"x", headers=headers)  # type: ignore[arg-type]
        assert producer.flush(30) == 0
        end(30)
    everything_read(settings, workers)
    assert events_of(settings, counter) == [f"{counter}/b{number}" for number in range(3)]
    assert codes(settings, counter) == {"counting.decider": Counter(bad_magic=3)}


def test_who_waits_for_an_answer_reads_past_it(
    settings: Settings, codec: Codec, workers: Workers, counter: str
) -> None:
    with Publisher(settings, domains=[COUNTING]) as publisher:
        assert publisher.send(Count(counter_id=counter, number=1), wait=True).version == 1  # type: ignore[union-attr]
        key, value, headers = fact(codec, counter, 9)
        append_raw(settings, EVENTS, key, value, [*raw(headers), (b"\xff", b"1")])
        append(settings, EVENTS, key, value, [*headers, ("ce_decided", None), ("ce_causationid", None)])
        assert publisher.send(Count(counter_id=counter, number=1), wait=True).version == 2  # type: ignore[union-attr]
