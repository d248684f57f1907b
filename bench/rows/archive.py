"""The archive against the log: how fast it is written, proved and read back, and how large it is.

The same facts of trading as for the projections. Sizes are of the compacted archive against segments of a topic with
the same records, once compressed with zstd by the producer, once not at all.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import psutil
from confluent_kafka import Producer

from bench.harness.facts import fill_facts, load_of_facts
from bench.harness.model import Contest, Ready, Row, Run, Runs, Target, figure, ratio
from bench.harness.stand import BenchError, Stand, until
from bench.harness.worker import WorkerProcess
from bench.peers.raw import RawConsume
from bench.rows.projections import ENRICHED, EVENTS, RebuildModel
from eventlog.archive.objects import Objects
from eventlog.archive.table import NoTable, Table
from eventlog.reader import LogReader, headers_of
from eventlog.settings import Settings
from eventlog.topics import Topic
from eventlog.upkeep.compact import compact, runs
from eventlog.upkeep.verify import verify_all

LOOK_S = 0.1
WRITE_TIMEOUT_S = 280.0
ENOUGH = 0.9
"""Of the records: the last file of a partition waits for records that do not come."""
TOPICS = (EVENTS, ENRICHED)
"""With records in them; the archiver takes every topic at the same time."""
COPIES = {"zstd": "bench.archive.zstd", "none": "bench.archive.none"}


def bucket(stand: Stand, name: str) -> Settings:
    """Settings with a bucket of one run's own."""
    place = stand.settings.s3.rpartition("/")[0]
    return stand.settings.model_copy(update={"s3": f"{place}/{name}"})


def prepare(stand: Stand) -> None:
    """Facts in their topics, and the events once more in topics of each compression."""
    fill_facts(stand)
    wanted = stand.end(EVENTS.name)
    topics = stand.admin.list_topics(timeout=30).topics
    for compression, name in COPIES.items():
        if name not in topics or stand.end(name) != wanted:
            stand.fresh([Topic(name, (), 1, dead_letters=False)])
            _copy(stand, name, compression)


def _copy(stand: Stand, name: str, compression: str) -> None:
    producer = Producer(
        {
            "bootstrap.servers": stand.settings.kafka,
            "compression.type": compression,
            "linger.ms": 20,
            "batch.size": 1024 * 1024,
            "queue.buffering.max.kbytes": 262_144,
            "log_level": 0,
        }
    )
    with LogReader(stand.settings) as log:
        ranges = {place: (0, end) for place, end in log.ends(EVENTS.name).items()}
        for _, messages, _ in log.batches(ranges):
            for message in messages:
                while True:
                    try:
                        producer.produce(
                            name,
                            message.value(),
                            message.key(),
                            partition=0,
                            headers=list(headers_of(message)),
                        )
                        break
                    except BufferError:
                        producer.poll(0.1)
            producer.poll(0)
    if producer.flush(60) or stand.end(name) != stand.end(EVENTS.name):
        raise BenchError(f"{name} could not be filled")


def _segment_bytes(stand: Stand, topic: str) -> int:
    logs = (stand.settings.home / "data" / "kafka").rglob(f"{topic}-*/*.log")
    return sum(path.stat().st_size for path in logs)


@dataclass(frozen=True)
class Write(Ready):
    """A worker of the role `archiver` that begins at the start of the log."""

    name: str = "archive"

    @property
    def what(self) -> str:
        watched = " and ".join(topic.name for topic in TOPICS)
        return f"`onefact worker archiver` from the log's begin, {watched} at once; files to the local S3"

    def run(self, stand: Stand, number: int) -> Run:
        settings = bucket(stand, f"bench-{int(time.time())}-{number}")
        tables = [Table(Objects(settings), topic.name) for topic in TOPICS]
        end = sum(stand.end(topic.name) for topic in TOPICS)
        looks: list[tuple[float, int]] = []
        peak, started = 0, time.monotonic()
        with WorkerProcess(stand, self.name, "archiver", ONEFACT_S3=settings.s3, ONEFACT_ARCHIVE_AGE_S="2") as worker:

            def all_there() -> bool:
                nonlocal peak
                worker.check_alive()
                peak = max(peak, psutil.Process(worker.pid).memory_info().rss)
                position = sum(map(_position, tables))
                if position and (not looks or position > looks[-1][1]):
                    looks.append((time.monotonic(), position))
                time.sleep(LOOK_S)
                return position == end

            until(all_there, "everything archived", WRITE_TIMEOUT_S)
        begun, first = looks[0]
        reached, position = next(look for look in looks if look[1] >= first + (end - first) * ENOUGH)
        if position == first:
            begun, first = started, 0  # one commit brought everything: its worker's start counts, too
        stand.shared["archive"] = settings
        return Run({"rate": (position - first) / (reached - begun), "records": end, "peak_bytes": peak})


def _position(table: Table) -> int:
    try:
        return sum(table.next_offsets(range(EVENTS.partitions)).values())  # both have as many
    except NoTable:
        return 0


@dataclass(frozen=True)
class Prove(Ready):
    """Ranges and digests of every file, then the sizes once it is compacted."""

    name: str = "verify"

    @property
    def what(self) -> str:
        return (
            "`onefact archive verify --archive-only`: every file read, its SHA-256 and its offsets checked; without "
            "the option every record is compared with Kafka's, too"
        )

    def run(self, stand: Stand, number: int) -> Run:
        objects = Objects(_archived(stand))
        rate, records = timed(lambda: proved(objects, EVENTS))
        log_rate, _ = timed(lambda: held_against_log(objects.settings, EVENTS))
        table = Table(objects, EVENTS.name)
        for partition in range(EVENTS.partitions):
            for run in runs([s for s in table.segments() if s.partition == partition]):
                compact(objects, table, run)
        compacted_rate, _ = timed(lambda: proved(objects, EVENTS))
        size = sum(segment.size for segment in table.segments())
        sizes = {name: _segment_bytes(stand, topic) for name, topic in COPIES.items()}
        return Run(
            {
                "rate": rate,
                "records": records,
                "log_rate": log_rate,
                "compacted_rate": compacted_rate,
                "bytes_per_record": size / records,
                "of_zstd": size / sizes["zstd"],
                "of_none": size / sizes["none"],
            }
        )


def timed(work: Callable[[], int]) -> tuple[float, int]:
    """Records per second, and the records that the work says it has done."""
    begun = time.perf_counter()
    done = work()
    return done / (time.perf_counter() - begun), done


def proved(objects: Objects, topic: Topic) -> int:
    """Records of the topic's archive, each range and digest of which is as committed."""
    return _proved(objects, None, topic)


def held_against_log(settings: Settings, topic: Topic) -> int:
    """The same where each record was compared with the log's, too; all of them must be there."""
    with LogReader(settings) as log:
        return _proved(Objects(settings), log, topic)


def _proved(objects: Objects, log: LogReader | None, topic: Topic) -> int:
    proofs = list(verify_all(objects, log, {topic.name: False}))
    if faults := [fault for proof in proofs for fault in proof.faults]:
        raise BenchError(str(faults[0]))
    records = sum(proof.records for proof in proofs)
    if log is not None and (compared := sum(proof.compared for proof in proofs)) != records:
        raise BenchError(f"{compared:,} of {records:,} records of {topic.name} were held against the log")
    return records


def _written(runs: Runs) -> float:
    """The archiver's rate over all records ÷ that of consuming the same records, one topic after the other."""
    raw = [runs[f"consume-{name}"].figures for name in ("events", "enriched")]
    return runs["archive"].figures["rate"] * sum(r["seconds"] for r in raw) / sum(r["records"] for r in raw)


def _archived(stand: Stand) -> Settings:
    found = stand.shared.get("archive")
    if not isinstance(found, Settings):
        raise BenchError("nothing was archived in this round")
    return found


class _PastOnly(LogReader):
    """A reader for which Kafka has forgotten all that is archived."""

    def log_bounds(self, topic: str, partition: int) -> tuple[int, int]:
        past = self._archive(topic)
        archived = None if past is None else past.bounds(topic, partition)
        if archived is None:
            return super().log_bounds(topic, partition)
        return archived[1], archived[1]


@dataclass(frozen=True)
class RebuildFromArchive(RebuildModel):
    """The same rebuild where Kafka has nothing left."""

    @property
    def what(self) -> str:
        return f"{super().what}; every record from the archive (compacted)"

    def reader(self, stand: Stand) -> LogReader:
        return _PastOnly(_archived(stand))


CONTEST = Contest(
    "archive",
    "The log in object storage: written by the archiver's worker, proved, compacted, and read instead of Kafka.",
    (
        RawConsume("consume-events", EVENTS),
        RawConsume("consume-enriched", ENRICHED),
        Write(),
        Prove(),
        RebuildModel("ledger-from-kafka", "ledger"),
        RebuildFromArchive("ledger-from-archive", "ledger"),
    ),
    (
        Row("archive-write", "archive write ÷ raw consume of the same records", _written,
            ("archive", "consume-events", "consume-enriched"), Target(0.5)),
        figure("archive-size-zstd", "compacted archive ÷ Kafka's segments, zstd", "verify", "of_zstd", "×",
               target=Target(0.8, "at most")),
        figure("archive-size-none", "compacted archive ÷ Kafka's segments, uncompressed", "verify", "of_none", "×",
               target=Target(0.35, "at most")),
        figure("archive-memory", "resident memory of the archiver at its peak, all topics behind", "archive",
               "peak_bytes", "bytes"),
        figure("archive-verify", "verify, archived records", "verify", "rate", "records/s",
               target=Target(1_000_000)),
        figure("archive-verify-log", "verify, held against the log too", "verify", "log_rate", "records/s"),
        figure("archive-verify-compacted", "verify, compacted", "verify", "compacted_rate", "records/s"),
        ratio("archive-rebuild", "Postgres, ledger, rebuild from the archive ÷ from Kafka", "ledger-from-archive",
              "ledger-from-kafka", at_least=1.2),
    ),
    prepare=prepare,
    load=load_of_facts,
)  # fmt: skip
