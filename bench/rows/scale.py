"""Ten facts for every command (10,000,000 in a whole bench): archived, forgotten by Kafka, and still one read away.

A sample's facts are written again and again under other names, so that ten million are made in minutes; as facts they
are as good as any: keys, values, headers and times are what an enricher writes. Each round begins with an empty topic.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import msgspec
import psutil
from confluent_kafka import TopicPartition

from bench.harness.facts import SEED, facts_of, produce_facts
from bench.harness.model import Contest, Ready, Run, Target, figure
from bench.harness.stand import TIMEOUT_S, BenchError, Stand, until
from bench.harness.worker import WorkerProcess
from bench.rows.archive import bucket, proved, timed
from bench.rows.projections import ENRICHED, fold_version
from eventlog.archive.objects import Objects
from eventlog.archive.table import Table
from eventlog.discovery import catalog
from eventlog.position import Position
from eventlog.provision import provision
from eventlog.reader import LogReader
from eventlog.settings import Settings
from eventlog.testing import Fact
from eventlog.upkeep.compact import compact, runs
from projections import Reader
from projections.checkpoints import checkpoint
from projections.compare import progress_of
from projections.replay import replay
from projections.stores import open_store

MODEL = "positions"
FACTS_EACH = 10
SAMPLE_COMMANDS = 100_000
READS = 50
LOOK_S = 0.5
ARCHIVED_TIMEOUT_S = 1800.0


def how_many(commands: int) -> int:
    return FACTS_EACH * commands


def copies(count: int, commands: int) -> Iterator[Fact]:
    """Enriched facts of a sample, over and over, each time of other portfolios."""
    sample = [fact for fact in facts_of(min(commands, SAMPLE_COMMANDS)) if fact[0] == ENRICHED]
    for number in range(count):
        topic, event, meta = sample[number % len(sample)]
        stream = f"{meta.stream}-{number // len(sample)}"
        of_copy: Any = msgspec.structs.replace(event, portfolio_id=stream)
        yield topic, of_copy, msgspec.structs.replace(meta, stream=stream)


@dataclass(frozen=True)
class Whole(Ready):
    """One fill of the topic, then everything that is done with it, in order."""

    name: str = "whole"

    @property
    def what(self) -> str:
        return (
            f"{ENRICHED.name}: {MODEL} built from Kafka by one process; archived by `onefact worker archiver`, proved, "
            f"compacted, deleted from Kafka; {MODEL} built by `onefact replay` from the archive and compared; "
            f"`onefact checkpoint`; "
            f"`read {MODEL} KEY --as-of` at {READS} random points, each with a connection of its own"
        )

    def run(self, stand: Stand, number: int) -> Run:
        count = how_many(stand.commands)
        settings = bucket(stand, f"bench-scale-{int(time.time())}")
        stand.fresh([ENRICHED])
        provision(stand.settings, catalog())
        seconds: dict[str, float] = {}
        peaks: dict[str, int] = {}
        with _measured("fill", seconds, peaks):
            produce_facts(stand, copies(count, stand.commands))
        from_kafka = self._build(settings, seconds, peaks)
        self._archive(stand, settings, count, seconds, peaks)
        verify_rate, _ = timed(lambda: proved(Objects(settings), ENRICHED))
        _compact(settings)
        compacted_rate, _ = timed(lambda: proved(Objects(settings), ENRICHED))
        _forget(stand, settings)
        with _measured("replay", seconds, peaks):
            result = replay(MODEL, settings)
        if not (result.identical and result.switched and result.records == from_kafka == count):
            raise BenchError(f"the rebuilt {MODEL} is not the live one: {result}")
        with _measured("checkpoint", seconds, peaks):
            checkpoint(MODEL, settings)
        reads = sorted(_as_of(settings))
        return Run(
            {
                "facts": count,
                "rows": result.rows,
                "archive_rate": count / seconds["archive"],
                "archiver_peak_bytes": peaks["archive"],
                "verify_rate": verify_rate,
                "compacted_verify_rate": compacted_rate,
                "kafka_build_s": seconds["build"],
                "replay_s": seconds["replay"],
                "replay_build_rate": result.rate,
                "replay_peak_bytes": peaks["replay"],
                "checkpoint_s": seconds["checkpoint"],
                "checkpoint_peak_bytes": peaks["checkpoint"],
                "as_of_p50": 1000 * reads[len(reads) // 2],
                "as_of_max": 1000 * reads[-1],
            }
        )

    def _build(self, settings: Settings, seconds: dict[str, float], peaks: dict[str, int]) -> int:
        """A live version, folded from Kafka."""
        (projection,) = (p for p in catalog().projections if p.model.name == MODEL)
        store = open_store(projection.model.store, settings)
        try:
            store.prepare([projection.model])
            live, version = store.live_version(projection.model), store.create_version(projection.model)
            with LogReader(settings) as log, _measured("build", seconds, peaks):
                records, _ = fold_version(projection, store, version, settings, log)
            if not store.switch(projection.model, version, progress_of(store, projection.model, live)):
                raise BenchError(f"{MODEL} was written by somebody else")
            store.drop_version(projection.model, live)
        finally:
            store.close()
        return records

    def _archive(
        self, stand: Stand, settings: Settings, count: int, seconds: dict[str, float], peaks: dict[str, int]
    ) -> None:
        table = Table(Objects(settings), ENRICHED.name)
        with WorkerProcess(stand, "scale", "archiver", ONEFACT_S3=settings.s3, ONEFACT_ARCHIVE_AGE_S="2") as worker:

            def all_there() -> bool:
                worker.check_alive()
                time.sleep(LOOK_S)
                return sum(table.next_offsets(range(ENRICHED.partitions)).values()) == count

            until(lambda: bool(worker.status()), "the archiver", TIMEOUT_S)
            table.create()
            with _measured("archive", seconds, peaks, worker.pid):
                until(all_there, "everything archived", ARCHIVED_TIMEOUT_S)


@contextmanager
def _measured(what: str, seconds: dict[str, float], peaks: dict[str, int], pid: int | None = None) -> Iterator[None]:
    """Seconds, and the most resident memory of a process and the children that it starts meanwhile, together."""
    process, done = psutil.Process(pid), threading.Event()
    before = set(process.children(recursive=True))  # of the bench's own: the services
    peaks[what] = 0

    def look() -> None:
        while not done.wait(LOOK_S):
            resident = 0
            for each in {process, *process.children(recursive=True)} - before:
                try:
                    resident += each.memory_info().rss
                except psutil.NoSuchProcess:
                    continue
            peaks[what] = max(peaks[what], resident)

    looking, begun = threading.Thread(target=look), time.perf_counter()
    looking.start()
    try:
        yield
    finally:
        seconds[what] = time.perf_counter() - begun
        done.set()
        looking.join()


def _compact(settings: Settings) -> None:
    objects = Objects(settings)
    table = Table(objects, ENRICHED.name)
    for partition in range(ENRICHED.partitions):
        for run in runs([segment for segment in table.segments() if segment.partition == partition]):
            compact(objects, table, run)


def _forget(stand: Stand, settings: Settings) -> None:
    """Kafka deletes what is archived."""
    ends = Table(Objects(settings), ENRICHED.name).next_offsets(range(ENRICHED.partitions))
    places = [TopicPartition(ENRICHED.name, partition, offset) for partition, offset in ends.items()]
    for future in stand.admin.delete_records(places).values():
        future.result(TIMEOUT_S)


def _as_of(settings: Settings) -> Iterator[float]:
    """Seconds of reads of one key each, at random points; the last is at the end, where the live row is the answer."""
    draw = random.Random(SEED)
    with LogReader(settings) as log:
        ends = log.ends(ENRICHED.name)
    with Reader(settings) as reader:
        rows: Any = reader.read(MODEL)
    keys = [(row["portfolio_id"], row["symbol"]) for row in draw.sample(rows, min(READS, len(rows)))]
    live = {(row["portfolio_id"], row["symbol"]): row for row in rows}
    for number, key in enumerate(keys):
        last = number == len(keys) - 1
        share = 1.0 if last else draw.random()
        point = Position({place: int(end * share) for place, end in ends.items()})
        with Reader(settings) as reader:
            begun = time.perf_counter()
            found = reader.read(MODEL, key, as_of=point)
            yield time.perf_counter() - begun
        if last and found != live[key]:
            raise BenchError(f"{key} at the end is {found}, and live {live[key]}")


CONTEST = Contest(
    "scale",
    "Ten million facts: archived, proved, a model built from Kafka and again from the archive alone, and as it was.",
    (Whole(),),
    (
        figure("scale-verify", "verify, archived records", "whole", "verify_rate", "records/s",
               target=Target(1_000_000)),
        figure("scale-verify-compacted", "verify, compacted", "whole", "compacted_verify_rate", "records/s"),
        figure("scale-archive", "archived", "whole", "archive_rate", "records/s"),
        figure("scale-archiver-memory", "resident memory of the archiver at its peak", "whole", "archiver_peak_bytes",
               "bytes"),
        figure("scale-build", f"{MODEL} built from Kafka, one process", "whole", "kafka_build_s", "s"),
        figure("scale-replay", f"{MODEL} built from the archive, compared and switched", "whole", "replay_s", "s"),
        figure("scale-replay-rate", "… facts folded", "whole", "replay_build_rate", "records/s"),
        figure("scale-replay-memory", "… resident memory of all its processes at its peak", "whole",
               "replay_peak_bytes", "bytes"),
        figure("scale-checkpoint", "checkpoints made", "whole", "checkpoint_s", "s"),
        figure("scale-as-of-p50", "one key as of a random point, p50", "whole", "as_of_p50", "ms"),
        figure("scale-as-of-max", f"… slowest of {READS}", "whole", "as_of_max", "ms",
               target=Target(2000.0, "at most")),
    ),
    load=lambda commands: f"{how_many(commands):,} facts",
    rounds_max=1,
)  # fmt: skip
