"""Large files, and files that are compacted away under a reader: proved and asked piece by piece."""

from __future__ import annotations

import secrets
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest
from confluent_kafka import Producer
from msgspec.structs import replace

from eventlog.archive import past, rows
from eventlog.archive.frozen import RangeFrozen
from eventlog.archive.meta import Schemas
from eventlog.archive.objects import Objects
from eventlog.archive.table import Segment
from eventlog.envelope import Record
from eventlog.reader import LogReader
from eventlog.settings import Settings
from eventlog.upkeep import overlap as comparing
from eventlog.upkeep import verify as checking
from eventlog.upkeep.compact import compact, runs, sweep
from eventlog.upkeep.freeze import freeze
from eventlog.upkeep.proof import Proof
from eventlog.upkeep.sql import query
from eventlog.upkeep.verify import verify
from tests.archive.conftest import Archive
from tests.archive.kept import CATALOG, KEPT
from tests.runtime.counting import Counted
from tests.runtime.harness import codec_of

GROUP = 500
RECORDS = 24_000


def proved(archive: Archive) -> Proof:
    with LogReader(archive.settings) as log:
        return verify(archive.objects, log, archive.topic, 0)


def peak_of(work: Callable[[], object]) -> int:
    """Bytes of Python's own objects that were alive at once, beside those of before."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.fixture
def small_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "ROW_GROUP_RECORDS", GROUP)


@pytest.mark.usefixtures("small_groups")
def test_a_large_file_is_held_against_the_log_in_pieces(
    kafka_archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = kafka_archive
    archive.publish(RECORDS, transactions=False)
    archive.write(archive.log())
    monkeypatch.setattr("eventlog.reader.BATCH_RECORDS", GROUP)
    (segment,) = archive.segments()
    proofs: list[Proof] = []
    peak = peak_of(lambda: proofs.append(proved(archive)))
    assert (proofs[0].compared, proofs[0].faults) == (RECORDS, [])
    assert peak < 2 * segment.size + GROUP * 8_000, "the file, and some groups of it"


def test_scattered_faults_are_ranges_of_their_own(kafka_archive: Archive) -> None:
    archive = kafka_archive
    archive.publish(300)
    records = archive.log()
    differ, lacking = {20, 21, 40, 90, 91, 92}, {60, 61, 100}
    for number in differ:
        records[number].value = b"something else"
    archive.write([record for number, record in enumerate(records) if number not in lacking], files=2)
    at = [record.offset for record in records]
    assert [(fault.begin, fault.end) for fault in proved(archive).faults] == [
        (at[20], at[21] + 1),
        (at[40], at[40] + 1),
        (at[60], at[61] + 1),
        (at[90], at[92] + 1),
        (at[100], at[100] + 1),
    ]


def test_what_the_log_lacks_is_found(kafka_archive: Archive) -> None:
    """Where its aborted records were."""
    archive = kafka_archive
    archive.publish(300)
    records = archive.log()
    before = next(i for i, record in enumerate(records) if records[i + 1].offset > record.offset + 9)
    made = [replace(records[before], offset=records[before].offset + number) for number in (3, 4, 6)]
    archive.write([*records[: before + 1], *made, *records[before + 1 :]])
    assert [(fault.begin, fault.end, fault.what) for fault in proved(archive).faults] == [
        (made[0].offset, made[2].offset + 1, "the archive has it, the log has not")
    ]


def test_what_a_compacted_log_lacks_has_a_later_record_of_its_key(kafka_archive: Archive) -> None:
    """In either of them, before the archive's end or after it; that a key was removed Kafka may forget."""
    archive = kafka_archive
    archive.publish(200)
    records, archived = archive.log(), 60
    gap = next(i for i in range(archived) if records[i + 1].offset > records[i].offset + 9)
    begin = records[gap].offset
    keys = [records[gap + 5].key or b"k0", b"never again", b"removed", b"twice", b"twice", b"later"]
    values: list[bytes | None] = [b"v", b"v", None, b"v", b"v", b"v"]
    made = [
        replace(records[gap], offset=begin + 1 + number, key=key, value=value)
        for number, (key, value) in enumerate(zip(keys, values, strict=True))
    ]
    archive.write([*records[: gap + 1], *made, *records[gap + 1 : archived]], files=3)
    what = "the archive has it, the log has not, nor a later one of its key"
    lost = [(begin + 2, begin + 3), (begin + 5, begin + 7)]
    with LogReader(archive.settings) as log:
        proof = verify(archive.objects, log, archive.topic, 0, compacted=True)
        assert [(fault.begin, fault.end, fault.what) for fault in proof.faults] == [(*each, what) for each in lost]
        producer = Producer({"bootstrap.servers": archive.settings.kafka, "log_level": 0})
        producer.produce(archive.topic, key=b"later", value=b"v", partition=0)
        assert producer.flush(30) == 0
        proof = verify(archive.objects, log, archive.topic, 0, compacted=True)
        assert [fault.begin for fault in proof.faults] == [begin + 2, begin + 5]


def compacted_when(archive: Archive, monkeypatch: pytest.MonkeyPatch, wanted: Segment, *modules: Any) -> None:
    """Have all be compacted and swept when a file is about to be fetched."""
    fetch, done = past.fetch, list[bool]()

    def late(objects: Objects, segment: Segment) -> bytes:
        if segment == wanted and not done:
            done.append(True)
            for run in list(runs(archive.segments())):
                compact(archive.objects, archive.table, run)
            sweep(archive.objects, archive.table)
        return fetch(objects, segment)

    for module in modules:
        monkeypatch.setattr(module, "fetch", late)


@pytest.mark.parametrize("which", [0, 1, 2, 3])
@pytest.mark.parametrize("log", [True, False])
def test_what_is_compacted_meanwhile_is_not_missing(
    kafka_archive: Archive, monkeypatch: pytest.MonkeyPatch, which: int, log: bool
) -> None:
    archive = kafka_archive
    archive.publish(80)
    archive.write(archive.log(), files=4)
    wanted = archive.segments()[which]
    compacted_when(archive, monkeypatch, wanted, checking, comparing)
    proof = proved(archive) if log else verify(archive.objects, None, archive.topic, 0)
    assert (proof.faults, proof.files) == ([], 1)
    assert proof.records == len(archive.log())
    assert proof.compared == (proof.records if log else 0)


def test_what_is_compacted_while_it_is_compared_is_not_missing(
    kafka_archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = kafka_archive
    archive.publish(80)
    archive.write(archive.log(), files=4)
    overlap, wanted = comparing.overlap, archive.segments()[2]

    def late(*given: Any, **named: Any) -> Any:
        compacted_when(archive, monkeypatch, wanted, checking, comparing)
        return overlap(*given, **named)

    monkeypatch.setattr(checking, "overlap", late)
    proof = proved(archive)
    assert (proof.faults, proof.compared) == ([], len(archive.log()))
    monkeypatch.undo()
    archive.objects.delete(archive.segments()[0].key)
    assert ["is missing" in fault.what for fault in proved(archive).faults] == [True]


@pytest.fixture
def counted(settings: Settings) -> Archive:
    """Facts of the counting domain, in a bucket of their own."""
    own = settings.model_copy(update={"s3": f"{settings.s3.rpartition('/')[0]}/large-{secrets.token_hex(4)}"})
    archive = Archive(Objects(own), own, KEPT.topic("events").name)
    with codec_of(settings, CATALOG) as codec:
        value = codec.encode(Counted(counter_id="c1", number=1, total=1))
        Schemas(archive.objects, lambda _: avro(settings, value)).have({int.from_bytes(value[1:5], "big")})
    headers = [
        ("ce_specversion", b"1.0"),
        ("ce_id", b"1"),
        ("ce_source", b"test"),
        ("ce_type", b"Counted"),
        ("ce_time", b"2026-01-01T00:00:00Z"),
        ("ce_subject", b"c1"),
    ]
    archive.write([Record("", 0, number, number, b"c1", value, headers, 0) for number in range(8_000)], files=4)
    return archive


def avro(settings: Settings, value: bytes) -> str | None:
    from eventlog.registry import Registry

    with Registry(settings.registry) as registry:
        return registry.lookup(int.from_bytes(value[1:5], "big"))


ASKED = "select sum(number), count(*) from Counted"


@pytest.mark.usefixtures("small_groups")
def test_a_question_goes_through_large_files_in_pieces(counted: Archive) -> None:
    for run in runs(counted.segments()):
        compact(counted.objects, counted.table, run)
    answers: list[Any] = []
    query(counted.objects, CATALOG, ASKED)  # what is imported and kept
    peak = peak_of(lambda: answers.append(query(counted.objects, CATALOG, ASKED)))
    assert answers[0].rows == [(8_000, 8_000)]
    assert peak < 2 * counted.segments()[0].size + GROUP * 8_000


def test_a_question_outlives_compaction_and_asks_for_what_is_frozen(
    counted: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        compacted_when(counted, patch, counted.segments()[2], past)
        assert query(counted.objects, CATALOG, ASKED).rows == [(8_000, 8_000)]
    (segment,) = counted.segments()
    freeze(counted.objects, counted.table, segment, "SIMULATED")
    with pytest.raises(RangeFrozen, match="onefact archive restore"):
        query(counted.objects, CATALOG, ASKED)
    patient = counted.settings.model_copy(update={"archive_restore": "Expedited", "archive_look_s": 0.1})
    assert query(Objects(patient), CATALOG, ASKED).rows == [(8_000, 8_000)]
