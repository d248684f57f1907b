"""What leaves Kafka is in the archive, each move is told before its source is given up, and the policy is checked."""

from __future__ import annotations

import hashlib
import secrets
import time
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from confluent_kafka import Producer

from eventlog.archive.cuts import write_cut
from eventlog.errors import BadInput, OnefactError
from eventlog.provision import ensure_topics
from eventlog.reader import LogReader
from eventlog.settings import Settings
from eventlog.topics import Topic
from eventlog.upkeep.policy import DEFAULT, Policy, Prices, TopicPolicy, read_policy
from eventlog.upkeep.tiers import Move, apply, plan
from eventlog.upkeep.verify import verify
from tests.archive.conftest import Archive, archived
from tests.archive.live import cut
from tests.archive.test_one_reader import read
from tests.runtime.counting import Count

AT_ONCE = TopicPolicy(compact_after="0h", kafka_keeps="0h")
COMPACT = TopicPolicy(compact_after="0h")


def now_ms() -> int:
    return int(time.time() * 1000) + 1000


def moved(archive: Archive, policy: TopicPolicy, told: list[Move]) -> list[Move]:
    topics = {archive.topic: Topic(archive.topic, (), 2)}
    with LogReader(archive.settings) as log:
        return list(apply(archive.objects, log, topics, Policy(default=policy), now_ms(), told.append))


def planned(archive: Archive, policy: Policy, **topic: object) -> list[Move]:
    topics = {archive.topic: Topic(archive.topic, (), 2, **topic)}  # type: ignore[arg-type]
    with LogReader(archive.settings) as log:
        return list(plan(archive.objects, log, topics, policy, now_ms()))


def begin(archive: Archive) -> int:
    with LogReader(archive.settings) as log:
        return log.log_bounds(archive.topic, 0)[0]


def test_kafka_forgets_what_is_proved_to_be_archived_and_no_more(kafka_archive: Archive) -> None:
    archive = kafka_archive
    archive.publish(80, transactions=False)
    records = archive.log()
    archive.write(records[:60], files=3)
    prices = Prices(kafka=2e9, warm=1e9, cold=5e8)
    found = planned(archive, Policy(default=AT_ONCE, prices=prices))
    size = sum(segment.size for segment in archive.segments())
    assert [(m.source, m.target, m.begin, m.end, m.cost_before) for m in found] == [
        ("warm", "cold", 0, 60, size),
        ("kafka", "archive", 0, 60, 2 * size),
    ]
    assert begin(archive) == 0
    assert len(archive.segments()) == 3, "a plan moves nothing"
    told: list[Move] = []
    done = moved(archive, AT_ONCE, told)
    assert [(m.source, m.begin, m.end) for m in done] == [("warm", 0, 60), ("kafka", 0, 60)]
    assert [m.id for m in told] == [m.id for m in done]
    assert begin(archive) == 60
    assert len(list(archive.objects.keys(f"archive/log/{archive.topic}/warm"))) == 0
    assert read(archive, 0, 80) == records
    assert not moved(archive, AT_ONCE, told), "there is nothing more to do"


@pytest.mark.parametrize("retention", [timedelta(days=1), None])
def test_a_gap_of_what_expired_holds_nothing_up(own: Settings, name: str, retention: timedelta | None) -> None:
    """Of facts it does: nothing is given up while some are missing."""
    archive = archived(own, name, retention=retention)
    archive.publish(80, transactions=False)
    records = archive.log()
    archive.write(records[:20])
    sink = archive.sink()
    sink.open(lambda: 0)
    sink.skip_to(40)
    sink.add(records[40:])
    sink.flush()
    cut(archive, 40)
    if retention is None:
        with pytest.raises(OnefactError, match=r"nothing is deleted from Kafka: .* offsets 20 to 39: no file has them"):
            moved(archive, AT_ONCE, [])
    else:
        moved(archive, AT_ONCE, [])
    assert begin(archive) == (40 if retention is None else 80)


def test_every_move_has_a_digest(kafka_archive: Archive) -> None:
    """Of one file its own, of several that over theirs; what Kafka gives up is held by files that are there then."""
    archive = kafka_archive
    archive.publish(60, transactions=False)
    archive.write(archive.log(), files=3)
    over = hashlib.sha256("".join(f"{each.digest}\n" for each in archive.segments()).encode()).hexdigest()
    in_kafka = next(m for m in planned(archive, Policy(default=AT_ONCE)) if m.source == "kafka")
    assert in_kafka.digest == over
    told: list[Move] = []
    done = moved(archive, AT_ONCE, told)
    (made,) = archive.segments()
    assert [m.digest for m in done] == [m.digest for m in told] == [made.digest, made.digest]
    archive.publish(10, transactions=False)
    archive.write(archive.log(), files=1)
    archive.publish(10, transactions=False)
    archive.write(archive.log(), files=1)
    first, second, _ = archive.segments()
    gone = named(archive, compact_after="never", delete_after="0h")
    with LogReader(archive.settings) as log:
        topics = {archive.topic: Topic(archive.topic, (), 2)}
        (move,) = apply(archive.objects, log, topics, gone, now_ms(), told.append)
    assert move.digest == hashlib.sha256(f"{first.digest}\n{second.digest}\n".encode()).hexdigest()


def test_nothing_is_deleted_that_the_archive_does_not_hold(kafka_archive: Archive) -> None:
    archive = kafka_archive
    archive.publish(40, transactions=False)
    records = archive.log()
    records[7].value = b"not what Kafka has"
    archive.write(records)
    told: list[Move] = []
    with pytest.raises(
        OnefactError, match=r"nothing is deleted from Kafka: .* offsets 7 to 7: the archive and the log"
    ):
        moved(archive, AT_ONCE, told)
    assert begin(archive) == 0
    assert not told


def test_a_move_that_cannot_be_told_gives_nothing_up(kafka_archive: Archive) -> None:
    """And is told by the next run, under the same id."""
    archive = kafka_archive
    archive.publish(40, transactions=False)
    archive.write(archive.log(), files=2)
    topics = {archive.topic: Topic(archive.topic, (), 2)}

    def away(_: Move) -> None:
        raise OnefactError("the log is away")

    with LogReader(archive.settings) as log, pytest.raises(OnefactError, match="the log is away"):
        list(apply(archive.objects, log, topics, Policy(default=AT_ONCE), now_ms(), away))
    assert begin(archive) == 0
    assert len(list(archive.objects.keys(f"archive/log/{archive.topic}/warm"))) == 2
    told: list[Move] = []
    moved(archive, AT_ONCE, told)
    assert [(m.source, m.begin, m.end) for m in told] == [("warm", 0, 40), ("kafka", 0, 40)]
    assert begin(archive) == 40
    assert len(list(archive.objects.keys(f"archive/log/{archive.topic}/warm"))) == 0


def test_young_files_and_records_stay(kafka_archive: Archive) -> None:
    archive = kafka_archive
    archive.publish(20, transactions=False)
    archive.write(archive.log(), files=2)
    assert not planned(archive, Policy(default=TopicPolicy(compact_after="1d", kafka_keeps="1h")))
    assert not [m for m in planned(archive, Policy(default=COMPACT)) if m.source == "kafka"]


def test_the_policy_that_is_shipped_deletes_nothing(tmp_path: Path) -> None:
    shipped = read_policy(DEFAULT)
    assert shipped.default.kafka_keeps == "never"
    assert not shipped.topics


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("default: {kafka_keep: 1d}", "kafka_keep"),
        ("default: {kafka_keeps: soon}", "'soon' is no age"),
        ("cold_class: GLACIER", "GLACIER"),
        ("default: {delete_after: 7y}", "by its name"),
        ("default: {latest_per_key: true}", "by its name"),
        ("topics: {a: {freeze_after: 1m}}", "'1m' is no age"),
        ("topics: {a: {latest_per_key: true, freeze_after: 30d}}", "one of the two"),
        ("- 1", "object"),
        ("default: [", "policy.yaml"),
    ],
)
def test_a_policy_that_makes_no_sense_is_refused(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text(text)
    with pytest.raises(BadInput, match=said):
        read_policy(path)


def named(archive: Archive, **policy: object) -> Policy:
    return Policy(topics={archive.topic: TopicPolicy(**policy)}, frozen_class="SIMULATED")  # type: ignore[arg-type]


def test_files_are_compacted_then_frozen_then_deleted(kafka_archive: Archive) -> None:
    archive = kafka_archive
    archive.publish(60, transactions=False)
    archive.write(archive.log()[:40], files=4)
    topics, told = {archive.topic: Topic(archive.topic, (), 2)}, list[Move]()

    def done(**policy: object) -> list[tuple[str, str, int, int]]:
        with LogReader(archive.settings) as log:
            whole = named(archive, **policy)
            would = list(plan(archive.objects, log, topics, whole, now_ms()))
            moves = list(apply(archive.objects, log, topics, whole, now_ms(), told.append))
        assert [(m.source, m.target, m.begin, m.end) for m in would] == [
            (m.source, m.target, m.begin, m.end) for m in moves
        ]
        return [(m.source, m.target, m.begin, m.end) for m in moves]

    written = archive.segments()[-1].written_ms
    assert done(compact_after="0h") == [("warm", "cold", 0, 40)]
    assert done(freeze_after="0h") == [("cold", "frozen", 0, 40)]
    (frozen,) = archive.segments()
    assert (frozen.tier, frozen.written_ms) == ("frozen", written), "moves make no file younger"
    assert done(delete_after="0h") == [], "never the last one"
    archive.write(archive.log(), files=1)
    with pytest.raises(OnefactError, match="frozen, and cannot be held against it"):
        done(kafka_keeps="0h")
    assert begin(archive) == 0
    assert done(delete_after="0h") == [("frozen", "deleted", 0, 40)]
    assert [(segment.begin, segment.end) for segment in archive.segments()] == [(40, 60)]
    assert [(m.source, m.target) for m in told] == [("warm", "cold"), ("cold", "frozen"), ("frozen", "deleted")]
    assert not verify(archive.objects, None, archive.topic, 0).faults


def test_state_keeps_its_last_records_up_to_the_cut(settings: Settings) -> None:
    from eventlog.archive.objects import Objects

    archive = Archive(Objects(settings), settings, f"state.{secrets.token_hex(4)}")
    topic = Topic(archive.topic, (), 1, compacted=True, dead_letters=False)
    ensure_topics(settings, [topic])
    producer = Producer({"bootstrap.servers": settings.kafka, "log_level": 0})
    for number in range(90):
        producer.produce(archive.topic, b"%d" % number, b"k%d" % (number % 7), 0)
    assert producer.flush(30) == 0
    records = archive.log()
    archive.write(records, files=9)
    write_cut(archive.objects, {(archive.topic, 0): 60})
    whole = Policy(topics={archive.topic: TopicPolicy(compact_after="0h", latest_per_key=True)})
    with LogReader(settings) as log:
        (move,) = apply(archive.objects, log, {archive.topic: topic}, whole, now_ms(), lambda _: None)
        assert (move.begin, move.end) == (0, 60)
        assert not verify(archive.objects, log, archive.topic, 0, compacted=True).faults
    assert [record.offset for record in archive.read(0, 60)] == list(range(53, 60))
    assert archive.read(60, 90) == records[60:]
    for wrong in (replace(topic, compacted=False), replace(topic, types=(Count,))):
        with LogReader(settings) as log, pytest.raises(BadInput, match="of state alone"):
            list(plan(archive.objects, log, {archive.topic: wrong}, whole, now_ms()))


def test_a_policy_that_cannot_be_kept_is_refused(kafka_archive: Archive) -> None:
    archive = kafka_archive
    archive.publish(4, transactions=False)
    archive.write(archive.log())
    with pytest.raises(BadInput, match="which is not archived"):
        planned(archive, Policy(topics={"nobody.knows": COMPACT}))
    with pytest.raises(BadInput, match="compacted topic"):
        planned(archive, Policy(topics={archive.topic: AT_ONCE}), compacted=True)
    assert not [m for m in planned(archive, Policy(default=AT_ONCE), compacted=True) if m.source == "kafka"]
