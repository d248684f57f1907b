"""The whole way: facts are archived by a worker, Kafka forgets them, and everybody reads what they read before."""

from __future__ import annotations

import secrets
import signal
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient

from deploy.cli.facts import facts_of
from eventlog.archive.meta import schemas_of, topics_of
from eventlog.archive.objects import Objects
from eventlog.archive.past import Past
from eventlog.bootstrap.whole import bootstrap, wanted_topics
from eventlog.digest import digest
from eventlog.envelope import Record
from eventlog.position import Position
from eventlog.provision import provision
from eventlog.reader import LogReader, to_record
from eventlog.registry import Registry
from eventlog.runtime.archive_task import Archive
from eventlog.runtime.groups import commit_positions
from eventlog.settings import Settings
from eventlog.upkeep.quiet import Cutter
from eventlog.upkeep.sql import query
from eventlog.upkeep.status import statuses
from eventlog.upkeep.verify import verify_all
from projections import Reader
from projections.replay import replay
from tests.archive.conftest import delete_topic
from tests.archive.kept import CATALOG, FACTS, JOURNAL, KEPT, LATER, SUMS
from tests.backing import Backing
from tests.runtime.counting import Count
from tests.runtime.harness import (
    Workers,
    codec_of,
    consumed,
    header,
    publish,
    read_all,
    seeded,
    wait_none_open,
    wait_until,
)

ROLES = ("kept.decider", "kept.enricher", JOURNAL.name, SUMS.name)
TOPICS = {topic.name: topic for topic in CATALOG.archiver.sources}
WRITTEN = [name for name in TOPICS if not name.endswith(".dead")]
WAIT_S = 100
ASKED_AT = datetime(2100, 1, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def settings(settings: Settings) -> Settings:
    """The services, with a bucket of its own: a bootstrap is of all that is in it."""
    place = settings.s3.rpartition("/")[0]
    return settings.model_copy(update={"s3": f"{place}/whole-{secrets.token_hex(4)}"})


@pytest.fixture(scope="module")
def workers(backing: Backing, settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workers]:
    provision(settings, CATALOG)
    environment = backing.env | {"ONEFACT_S3": settings.s3, "ONEFACT_ARCHIVE_AGE_S": "0.5"}
    started = Workers(environment, tmp_path_factory.mktemp("workers"), module="tests.archive.kept")
    yield started
    started.stop()


def test_nothing_of_it_runs_on_when_it_is_closed(settings: Settings) -> None:
    provision(settings, CATALOG)
    before = set(threading.enumerate())
    with Registry(settings.registry) as registry:
        archive = Archive(CATALOG.archiver, settings, registry)
        archive.prepare(CATALOG.archiver)
        assert [each.name for each in set(threading.enumerate()) - before] == ["cuts"]
        archive.close()
    assert set(threading.enumerate()) <= before


def waiting(settings: Settings) -> int:
    with LogReader(settings) as log:
        found = statuses(Objects(settings), log, {name: topic.partitions for name, topic in TOPICS.items()})
    return sum(each["waiting"] for each in found)


def applied(settings: Settings, *models: str) -> bool:
    with Reader(settings, catalog=CATALOG) as reader, LogReader(settings) as log:
        for name in models:
            projection = reader.projection(name)
            progress = reader.store(name).progress(projection.model)
            for topic in projection.sources:
                ends = log.ends(topic.name)
                if log.waiting({place: (progress.get(place, 0), end) for place, end in ends.items()}):
                    return False
    return True


def in_order(records: list[Record]) -> list[tuple]:
    """Whole records, partition by partition."""
    return sorted((r.partition, r.offset, r.timestamp, r.key, r.value, tuple(r.headers)) for r in records)


def everything(settings: Settings, streams: list[str], cut_at: Position) -> dict[str, Any]:
    """What is read of the log in every way there is."""
    found: dict[str, Any] = {name: in_order(read_all(settings, TOPICS[name])) for name in WRITTEN}
    found["history"] = {s: facts_of(s, [KEPT], settings, everything=True) for s in streams}
    with Reader(settings, catalog=CATALOG) as reader:
        for model in (JOURNAL.model, SUMS.model):
            rows = reader.read(model.name, as_of=ASKED_AT)
            assert len(rows) > 9
            found[f"{model.name} whole"] = digest(rows)
            for stream in streams:
                found[f"{model.name} {stream}"] = reader.read(model.name, (stream,), as_of=cut_at)
    result = replay(JOURNAL.model.name, settings, catalog=CATALOG)
    assert result.identical
    return found | {"replayed": (result.digest_rebuilt, result.rows, result.records)}


def cut_all(settings: Settings) -> int:
    """Have Kafka forget all that is archived; how many offsets that were."""
    past, before = Past(settings), {}
    for name, topic in TOPICS.items():
        for partition in () if topic.compacted else past.partitions(name):
            archived = past.bounds(name, partition)
            assert archived
            before[name, partition] = archived[1]
    admin = AdminClient({"bootstrap.servers": settings.kafka, "log_level": 0})
    places = [TopicPartition(name, partition, offset) for (name, partition), offset in before.items()]
    for future in admin.delete_records(places).values():
        future.result(30)
    return sum(before.values())


def test_kafka_forgets_and_nobody_notices(
    settings: Settings, workers: Workers, tmp_path_factory: pytest.TempPathFactory
) -> None:
    draw = seeded()
    streams = [f"c{n}" for n in range(12)]
    commands = [
        (f"kept:{n}", Count(counter_id=draw.choice(streams), number=draw.choice((-1, 0, 1, 2, 5)))) for n in range(900)
    ]
    workers.start("roles", *ROLES)
    workers.start("archiver", "archiver")
    workers.wait_ready()
    with codec_of(settings, CATALOG) as codec:
        publish(settings, codec, KEPT.topic("commands"), commands[:400])
        wait_until(lambda: bool(Past(settings).partitions(FACTS[1].name)), WAIT_S, "a first part", workers.logs)
        workers.kill("archiver")
        publish(settings, codec, KEPT.topic("commands"), commands[400:])
        workers.start("archiver")
        wait_until(lambda: consumed(settings, "kept.enricher", FACTS[0]), WAIT_S, "enriched", workers.logs)
        wait_until(lambda: waiting(settings) == 0, WAIT_S, "all archived", workers.logs)
        wait_until(lambda: applied(settings, JOURNAL.model.name, SUMS.model.name), WAIT_S, "applied", workers.logs)
        with LogReader(settings) as log:
            proofs = list(verify_all(Objects(settings), log, {n: topic.compacted for n, topic in TOPICS.items()}))
        assert not [fault for proof in proofs for fault in proof.faults]
        facts = [proof for proof in proofs if not TOPICS[proof.topic].compacted]
        assert sum(proof.compared for proof in facts) == sum(proof.records for proof in facts) > 900
        middle = next(r for r in read_all(settings, FACTS[0])[100:])
        position = Position.of(middle.topic, middle.partition, middle.offset)
        before = everything(settings, streams[:1], position)
        assert cut_all(settings) > 900
        assert everything(settings, streams[:1], position) == before
        asked = query(
            Objects(settings), CATALOG, "select counter_id, sum(number), max(_version) from Counted group by 1"
        )
        with Reader(settings, catalog=CATALOG) as reader:
            held = {(row["counter_id"], str(row["total"]), row["version"]) for row in reader.read(SUMS.model.name)}
        assert {(stream, str(total), version) for stream, total, version in asked.rows} == held
        # A model that begins now is built from what Kafka has forgotten, and goes on live.
        workers.start("later", LATER.name)
        workers.wait_ready()
        wait_until(lambda: applied(settings, LATER.model.name), WAIT_S, "the late model", workers.logs)
        publish(settings, codec, KEPT.topic("commands"), [("kept:more", Count(counter_id="c0", number=3))])
        wait_until(lambda: consumed(settings, "kept.decider", KEPT.topic("commands")), WAIT_S, "decided", workers.logs)
        wait_until(lambda: applied(settings, LATER.model.name, JOURNAL.model.name), WAIT_S, "one more", workers.logs)
    with Reader(settings, catalog=CATALOG) as reader:
        assert reader.read(LATER.model.name) == reader.read(JOURNAL.model.name)
    workers.signal("archiver", signal.SIGTERM)
    assert workers.processes["archiver"].wait(60) == 0
    assert waiting(settings) == 0, "an archiver that is asked to end commits what it has"
    objects = Objects(settings)
    assert {name: made["partitions"] for name, made in topics_of(objects).items() if name in TOPICS} == {
        name: topic.partitions for name, topic in TOPICS.items()
    }
    texts = schemas_of(objects).values()
    assert all(any(name in text for text in texts) for name in ("Counted", "Doubled", "CommandRejected"))
    # And now every topic is lost, with the positions of those who read them, and every store.
    before = everything(settings, streams[:1], position)
    workers.stop()
    wait_none_open(settings, *TOPICS)
    assert Cutter(objects, {name: topic.partitions for name, topic in TOPICS.items()}).look() is not None
    new = lost(settings)
    folder = tmp_path_factory.mktemp("another")
    stores = {"ONEFACT_POSTGRES": new.postgres, "ONEFACT_REDIS": new.redis}
    later = Workers(workers.env | stores, folder, workers.module)
    try:
        goes_on(new, later, before, streams, position, commands)
    finally:
        later.stop()


def lost(settings: Settings) -> Settings:
    """The log without a topic of ours, and with them their readers' positions; an empty database in both stores."""
    delete_topic(settings, *TOPICS)
    empty = f"whole_{secrets.token_hex(4)}"
    with psycopg.connect(settings.postgres, autocommit=True) as connection:
        connection.execute(f'create database "{empty}"')
    places = urlsplit(settings.postgres), urlsplit(settings.redis)
    postgres, redis = (
        place._replace(path=f"/{path}").geturl() for place, path in zip(places, (empty, "9"), strict=True)
    )
    return settings.model_copy(update={"postgres": postgres, "redis": redis})


def nobody_left(settings: Settings) -> bool:
    """A member that has ended stays in its group until its session does."""
    admin = AdminClient({"bootstrap.servers": settings.kafka, "log_level": 0})
    found = admin.describe_consumer_groups([role.name for role in CATALOG.processors])
    return not any(future.result(30).members for future in found.values())


def goes_on(
    settings: Settings,
    workers: Workers,
    before: dict[str, Any],
    streams: list[str],
    position: Position,
    commands: list[tuple[str, Count]],
) -> None:
    """From the archive alone everything is as it was, and is decided once."""
    events = KEPT.topic("events")
    found = bootstrap(settings, wanted_topics(settings))
    assert {each.topic for each in found} == set(TOPICS)
    provision(settings, CATALOG)
    wait_until(lambda: nobody_left(settings), WAIT_S, "groups without a member")
    commit_positions(settings, CATALOG.processors)
    with LogReader(settings) as log:
        ends = log.ends(events.name)
    workers.start("roles", *ROLES, LATER.name)
    workers.wait_ready()
    models = (JOURNAL.model.name, SUMS.model.name, LATER.model.name)
    wait_until(lambda: applied(settings, *models), WAIT_S, "built anew", workers.logs)
    assert everything(settings, streams[:1], position) == before
    with codec_of(settings, CATALOG) as codec:
        publish(
            settings, codec, KEPT.topic("commands"), [*commands[-50:], ("kept:last", Count(counter_id="c0", number=7))]
        )
    decided = lambda: consumed(settings, "kept.decider", KEPT.topic("commands"))  # noqa: E731
    wait_until(decided, WAIT_S, "decided", workers.logs)
    wait_none_open(settings, events.name)
    with LogReader(settings) as log:
        more = log.batches({place: (end, log.bounds(*place)[1]) for place, end in ends.items()})
        (last,) = (to_record(message) for _, messages, _ in more for message in messages)
    assert header(last, "ce_causationid") == "kept:last", "what was decided before is not decided again"
