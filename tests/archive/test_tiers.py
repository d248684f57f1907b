"""What leaves Kafka is in the archive, each move is told before its source is given up, and the policy is checked."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from eventlog.errors import BadInput, OnefactError
from eventlog.reader import LogReader
from eventlog.topics import Topic
from eventlog.upkeep.policy import DEFAULT, Policy, Prices, TopicPolicy, read_policy
from eventlog.upkeep.tiers import Move, apply, plan
from tests.archive.conftest import Archive
from tests.archive.test_one_reader import read

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
        ("- 1", "object"),
        ("default: [", "policy.yaml"),
    ],
)
def test_a_policy_that_makes_no_sense_is_refused(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text(text)
    with pytest.raises(BadInput, match=said):
        read_policy(path)


def test_a_policy_that_cannot_be_kept_is_refused(kafka_archive: Archive) -> None:
    archive = kafka_archive
    archive.publish(4, transactions=False)
    archive.write(archive.log())
    with pytest.raises(BadInput, match="which is not archived"):
        planned(archive, Policy(topics={"nobody.knows": COMPACT}))
    with pytest.raises(BadInput, match="compacted topic"):
        planned(archive, Policy(default=AT_ONCE), compacted=True)
