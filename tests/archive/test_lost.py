"""An archive that is gone, in part or whole, is found: nothing to look at is no proof."""

from __future__ import annotations

import secrets

from eventlog.archive.cuts import write_cut
from eventlog.archive.objects import Objects
from eventlog.reader import LogReader
from eventlog.upkeep.verify import NEITHER, verify_all
from tests.archive.conftest import Archive
from tests.archive.test_one_reader import cut

GONE = "the archive of the topic is gone"


def found(archive: Archive, *, log: bool = True, objects: Objects | None = None) -> list[tuple[int, int, int, str]]:
    wanted = {archive.topic: False}
    with LogReader(archive.settings) as reader:
        proofs = list(verify_all(objects or archive.objects, reader if log else None, wanted))
    return [(each.partition, each.begin, each.end, each.what) for proof in proofs for each in proof.faults]


def lose(archive: Archive) -> None:
    for key, _ in list(archive.objects.keys(f"archive/log/{archive.topic}/")):
        archive.objects.delete(key)


def test_what_kafka_has_forgotten_and_the_archive_has_lost_is_named(kafka_archive: Archive) -> None:
    archive = kafka_archive
    archive.publish(40, transactions=False)
    archive.write(archive.log())
    assert found(archive) == found(archive, log=False) == []
    lose(archive)
    assert found(archive) == [(0, 0, 40, GONE)], "Kafka has it yet, and nothing holds it after that"
    cut(archive, 30)
    assert found(archive) == [(0, 0, 30, NEITHER)]
    place = archive.settings.s3.rpartition("/")[0]
    empty = archive.settings.model_copy(update={"s3": f"{place}/empty-{secrets.token_hex(4)}"})
    assert found(archive, objects=Objects(empty)) == [(0, 0, 30, NEITHER)], "the bucket is gone, too"


def test_without_the_log_the_newest_cut_says_how_far_it_went(kafka_archive: Archive) -> None:
    archive = kafka_archive
    archive.publish(40, transactions=False)
    archive.write(archive.log())
    lose(archive)
    assert (0, 0, 0, GONE) in found(archive, log=False)
    write_cut(archive.objects, {(archive.topic, 0): 40, (archive.topic, 1): 0})
    try:
        assert found(archive, log=False) == [(0, 0, 40, GONE)]
    finally:
        for key, _ in list(archive.objects.keys("archive/meta/cuts/")):
            archive.objects.delete(key)


def test_a_partition_that_the_archive_never_had_is_looked_at(kafka_archive: Archive) -> None:
    archive = kafka_archive
    archive.publish(40, transactions=False)
    archive.publish(40, partition=1, transactions=False)
    archive.write(archive.log(1), partition=1)
    assert found(archive) == [], "the log has what the archive has not yet"
    cut(archive, 10)
    assert found(archive) == [(0, 0, 10, NEITHER)]
