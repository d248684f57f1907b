"""Dead letters: what could not be read or decided, kept as it was until somebody has dealt with it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress

import msgspec
from confluent_kafka import KafkaError, KafkaException, Message, Producer

from eventlog.errors import BadInput, NotFound, OnefactError, ServiceAway
from eventlog.reader import LogReader, to_record
from eventlog.roles import Catalog, read_by
from eventlog.rows import DEAD_PREFIX, NAME_PREFIX, original_headers, original_value, writable
from eventlog.settings import Settings
from eventlog.topics import Topic

RETRY_ID = "onefact.dead.retry"
"""Transactional id: a second retry fences the first, so no letter is published twice."""
TRANSACTION_S = 30
STEP_RECORDS = 500
STEP_BYTES = 8 * 1024 * 1024
_FENCED = (KafkaError._FENCED, KafkaError.INVALID_PRODUCER_EPOCH, KafkaError.PRODUCER_FENCED)  # noqa: SLF001 - the client's public codes

Place = tuple[str, int, int]
"""Topic, partition and offset of the record that a letter is about."""


class Letter(msgspec.Struct, frozen=True):
    """One dead letter. `key`, `headers` and `value` are the original record's; `value` is only there when asked for.

    Bytes of a header's name that are not UTF-8 are surrogates, as `surrogateescape` makes them.
    """

    id: str
    code: str
    reason: str
    role: str
    """Who could not read or decide it."""
    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    headers: Sequence[tuple[str, bytes | None]]
    at: int
    """Offset of the letter itself, in the same partition of the topic's dead letters."""
    cut: int | None = None
    """Bytes of the original record, where the letter could not keep them all."""
    value: bytes | None = None

    @property
    def place(self) -> Place:
        return self.topic, self.partition, self.offset


def sources(catalog: Catalog, name: str | None = None) -> list[Topic]:
    """Topics that have dead letters, or the one of that name. Raises `BadInput` listing them."""
    found = [topic for topic in catalog.topics if topic.dead_letters]
    if name is None:
        return found
    named = [topic for topic in found if name in (topic.name, topic.dead.name)]
    if not named:
        raise BadInput(f"there is no topic {name!r} with dead letters; there are {', '.join(t.name for t in found)}")
    return named


def letters(settings: Settings, topics: Iterable[Topic]) -> list[Letter]:
    """The letters that nobody has dealt with, in the order of topic, partition and offset; without their values."""
    live: dict[bytes, Letter] = {}
    with LogReader(settings) as reader:
        for topic in topics:
            for message in _messages(reader, topic):
                key = message.key() or b""
                letter = _letter(message)
                if letter is None:
                    live.pop(key, None)
                else:
                    live[key] = letter
    return sorted(live.values(), key=lambda letter: (*letter.place, letter.role))


def find(settings: Settings, topics: Iterable[Topic], letter_id: str) -> Letter:
    """One letter, with its value. Raises `NotFound`."""
    by_name = {topic.name: topic for topic in topics}
    for letter in letters(settings, by_name.values()):
        if letter.id == letter_id:
            with LogReader(settings) as reader:
                place = (by_name[letter.topic].dead.name, letter.partition)
                for _, messages, _ in reader.batches({place: (letter.at, letter.at + 1)}):
                    for message in messages:
                        record = to_record(message)
                        value = original_value(record.value, record.headers)
                        return msgspec.structs.replace(letter, value=value)
    raise NotFound(f"there is no dead letter {letter_id}; `onefact dead list` shows those there are")


def retry(settings: Settings, catalog: Catalog, letter_id: str | None = None) -> tuple[list[str], dict[str, str]]:
    """Publish the record of a letter again, or of every one; ids of those done with, and why others were kept.

    Record and tombstone of the letter are one transaction, so however often it is tried, by however many, each
    record is published once. A record that several roles have given up is published once for all of them, and
    one that some role has read is kept: publishing it again would double it there. So is one that cannot be written
    as it was. Raises `NotFound`, `ServiceAway`.
    """
    topics = {topic.name: topic for topic in sources(catalog)}
    producer = _producer(settings)
    by_place: dict[Place, list[Letter]] = {}
    for letter in letters(settings, topics.values()):  # only now: whoever was at it before has been fenced
        by_place.setdefault(letter.place, []).append(letter)
    if letter_id is not None:
        by_place = {place: found for place, found in by_place.items() if any(each.id == letter_id for each in found)}
        if not by_place:
            raise NotFound(f"there is no dead letter {letter_id}; `onefact dead list` shows those there are")
    readers = _readers(catalog)
    kept: dict[str, str] = {}
    for place, found in list(by_place.items()):
        why = _kept_because(found, readers.get(place[0], set()))
        if why:
            kept.update({letter.id: why for letter in found})
            del by_place[place]
    return _publish(settings, producer, topics, by_place), kept


def discard(settings: Settings, catalog: Catalog, ids: Iterable[str]) -> list[str]:
    """Be done with these letters for good: their records are not published again. Ids of those that were still there.

    A tombstone each, in transactions that fence a retry that runs at the same time, so a letter is retried or
    discarded and never both. Raises `ServiceAway`.
    """
    topics = {topic.name: topic for topic in sources(catalog)}
    wanted = set(ids)
    producer = _producer(settings)
    # Only now: whoever was at it before has been fenced.
    found = [letter for letter in letters(settings, topics.values()) if letter.id in wanted]
    done: list[str] = []
    try:
        for first in range(0, len(found), STEP_RECORDS):
            step = found[first : first + STEP_RECORDS]
            producer.begin_transaction()
            for letter in step:
                _finish(producer, topics[letter.topic], letter)
            producer.commit_transaction(TRANSACTION_S)
            done += [letter.id for letter in step]
    except KafkaException as error:
        with suppress(KafkaException):
            producer.abort_transaction(TRANSACTION_S)
        raise _failed(error, settings, len(done), "discarded") from None
    return done


def _kept_because(found: list[Letter], readers: set[str]) -> str:
    """Why a record is not to be published again; empty where nothing is against it."""
    content = sorted(readers - {letter.role for letter in found})
    if content:
        return f"{', '.join(content)} has not given it up, and would see it twice; rebuild {found[0].role} instead"
    original = f"the record is {found[0].topic}, partition {found[0].partition}, offset {found[0].offset}"
    if found[0].cut is not None:
        return f"its {found[0].cut} bytes were too many for a letter, which has their beginning; {original}"
    if not all(writable(name) for name, _ in found[0].headers):
        return f"the name of a header is not UTF-8, or has a zero byte, and cannot be written; {original}"
    return ""


def _readers(catalog: Catalog) -> dict[str, set[str]]:
    """Names of the roles that read each topic."""
    found: dict[str, set[str]] = {}
    for role in (*catalog.processors, *catalog.projections):
        for topic in read_by(role):
            found.setdefault(topic.name, set()).add(role.name)
    return found


def _publish(
    settings: Settings, producer: Producer, topics: Mapping[str, Topic], by_place: dict[Place, list[Letter]]
) -> list[str]:
    done: list[str] = []
    step: list[str] = []
    size = 0
    try:
        with LogReader(settings) as reader:
            for topic in topics.values():
                for message in _messages(reader, topic) if any(place[0] == topic.name for place in by_place) else ():
                    letter = _letter(message)
                    about = by_place.get(letter.place) if letter else None
                    if letter is None or about is None or letter.at != about[0].at:
                        continue
                    if not step:
                        producer.begin_transaction()
                    record = to_record(message)
                    _produce(producer, topic, letter, original_value(record.value, record.headers), about)
                    step += [each.id for each in about]
                    size += len(message.value() or b"")
                    if len(step) >= STEP_RECORDS or size >= STEP_BYTES:
                        producer.commit_transaction(TRANSACTION_S)
                        done, step, size = done + step, [], 0
        if step:
            producer.commit_transaction(TRANSACTION_S)
    except KafkaException as error:
        with suppress(KafkaException):
            producer.abort_transaction(TRANSACTION_S)
        raise _failed(error, settings, len(done), "published") from None
    return done + step


def _produce(producer: Producer, topic: Topic, letter: Letter, value: bytes | None, about: list[Letter]) -> None:
    # By its key, as any publisher would; a record without one goes back to where it was.
    partition = -1 if letter.key else letter.partition
    producer.produce(topic.name, value, letter.key, partition, headers=list(letter.headers))
    for each in about:
        _finish(producer, topic, each)
    producer.poll(0)


def _finish(producer: Producer, topic: Topic, letter: Letter) -> None:
    producer.produce(topic.dead.name, None, letter.id.encode(), partition=letter.partition)


def _producer(settings: Settings) -> Producer:
    settings.required("kafka")
    producer = Producer(
        {
            "bootstrap.servers": settings.kafka,
            "transactional.id": RETRY_ID,
            "transaction.timeout.ms": TRANSACTION_S * 1000,
            "partitioner": "murmur2_random",  # as the publisher's
            "message.max.bytes": 16 * 1024 * 1024,  # a letter may be about a record that was too large
            "log_level": 0,
        }
    )
    try:
        producer.init_transactions(TRANSACTION_S)
    except KafkaException as error:
        raise _failed(error, settings, 0, "dealt with") from None
    return producer


def _failed(error: KafkaException, settings: Settings, done: int, what: str) -> OnefactError:
    cause = error.args[0]
    if cause.code() in _FENCED:
        return OnefactError(f"another retry has taken over; {done} records were {what} before, none is published twice")
    return ServiceAway("kafka", f"{settings.kafka}: {cause.str()}; {done} records were {what} before")


def _messages(reader: LogReader, topic: Topic) -> Iterator[Message]:
    bounds = {(topic.dead.name, p): reader.bounds(topic.dead.name, p) for p in reader.partitions(topic.dead.name)}
    for _, messages, _ in reader.batches(bounds):
        yield from messages


def _letter(message: Message) -> Letter | None:
    """The letter of a record; None for a tombstone, and for what somebody else has written there."""
    record = to_record(message)
    said = {
        name.removeprefix(DEAD_PREFIX): value
        for name, value in record.headers
        if name.startswith(DEAD_PREFIX) and not name.startswith(NAME_PREFIX)
    }
    if "role" not in said or not all((said.get(name) or b"").isdigit() for name in ("partition", "offset")):
        return None

    def text(name: str) -> str:
        return (said.get(name) or b"").decode(errors="replace")

    return Letter(
        id=(record.key or b"").decode(errors="replace"),
        code=text("code"),
        reason=text("reason"),
        role=text("role"),
        topic=text("topic"),
        partition=int(text("partition")),
        offset=int(text("offset")),
        timestamp_ms=int(text("timestamp") or -1),
        key=said.get("key"),
        headers=tuple(original_headers(record.headers)),
        at=record.offset,
        cut=int(text("cut")) if "cut" in said else None,
    )
