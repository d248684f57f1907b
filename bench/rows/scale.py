"""Ten facts for every command (10,000,000 in a whole bench): archived, forgotten by Kafka, and still one read away.

A sample's facts are written again and again under other names and at later times, so that ten million are made in
minutes; as facts they are as good as any: keys, values, headers and causes are what a decider and an enricher write.
Each round begins with empty topics.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import msgspec
import psutil
from confluent_kafka import ConsumerGroupTopicPartitions, TopicPartition

from bench.harness.asof import PROCESSES, PROVED, READS, Span, as_of
from bench.harness.facts import facts_of, produce_facts
from bench.harness.model import Contest, Ready, Row, Run, Target, figure
from bench.harness.stand import TIMEOUT_S, BenchError, Stand, until
from bench.harness.worker import WorkerProcess
from bench.rows.archive import bucket, held_against_log, proved, timed
from bench.rows.projections import ENRICHED, EVENTS, fold_version
from eventlog.archive.objects import Objects
from eventlog.archive.table import Table
from eventlog.discovery import catalog
from eventlog.envelope import Meta
from eventlog.provision import provision
from eventlog.reader import LogReader
from eventlog.settings import Settings
from eventlog.testing import Fact
from eventlog.topics import Topic
from eventlog.upkeep.compact import compact, runs
from projections.checkpoints import checkpoint
from projections.compare import progress_of
from projections.replay import replay
from projections.stores import open_store

MODEL = "positions"
FACTS_EACH = 10
SAMPLE_COMMANDS = 100_000
TOPICS = (EVENTS, ENRICHED)
ENRICHER = "trading.enricher"
LATE = timedelta(seconds=5)
LOOK_S = 0.5
ARCHIVED_TIMEOUT_S = 1800.0


def how_many(commands: int) -> int:
    return FACTS_EACH * commands


def copies(count: int, commands: int) -> Iterator[Fact]:
    """So many enriched facts of a sample, and their events: over and over, each time of other portfolios and later.

    Some events are late: their time is before that of others that lie before them.
    """
    sample = list(facts_of(min(commands, SAMPLE_COMMANDS)))
    length = sample[-1][2].time - sample[0][2].time + timedelta(milliseconds=20)
    made, cause, late = 0, "", timedelta()
    for again in itertools.count():
        for number, (topic, event, meta) in enumerate(sample):
            stream = f"{meta.stream}-{again}"
            if topic == EVENTS:
                cause, late = f"{stream}:{meta.version}", LATE if number % 50 == 0 else timedelta()
            of_copy: Any = msgspec.structs.replace(event, portfolio_id=stream)
            because = meta.causation if topic == EVENTS else cause
            time_of_copy = meta.time + again * length - late
            yield topic, of_copy, msgspec.structs.replace(meta, stream=stream, time=time_of_copy, causation=because)
            made += topic == ENRICHED
            if made == count:
                return


@dataclass(frozen=True)
class Whole(Ready):
    """One fill of the topic, then everything that is done with it, in order."""

    name: str = "whole"

    @property
    def what(self) -> str:
        return (
            f"{ENRICHED.name} and the events before it: {MODEL} built from Kafka by one process; archived by "
            f"`onefact worker archiver`, proved alone and against Kafka, compacted, deleted there; {MODEL} built by "
            f"`onefact replay` from it and compared; `onefact checkpoint`; `read {MODEL} KEY --as-of` at {READS} "
            f"random points of each kind, each with its own connection, {PROVED} of them compared with a fold from "
            "the begin"
        )

    def run(self, stand: Stand, number: int) -> Run:
        count = how_many(stand.commands)
        settings = bucket(stand, f"bench-scale-{int(time.time())}")
        stand.fresh(TOPICS, ENRICHER)
        provision(stand.settings, catalog())
        seconds: dict[str, float] = {}
        peaks: dict[str, int] = {}
        with _measured("fill", seconds, peaks):
            span = _fill(stand, count)
        from_kafka = self._build(settings, seconds, peaks)
        self._archive(stand, settings, seconds, peaks)
        verify_rate, _ = timed(lambda: proved(Objects(settings), ENRICHED))
        log_rate, _ = timed(lambda: held_against_log(settings, ENRICHED))
        _compact(settings)
        compacted_rate, _ = timed(lambda: proved(Objects(settings), ENRICHED))
        _forget(stand, settings)
        with _measured("replay", seconds, peaks):
            result = replay(MODEL, settings)
        if not (result.identical and result.switched and result.records == from_kafka == count):
            raise BenchError(f"the rebuilt {MODEL} is not the live one: {result}")
        with _measured("checkpoint", seconds, peaks):
            checkpoint(MODEL, settings)
        reads = as_of(stand, settings, MODEL, span)
        return Run(
            {
                "facts": count,
                "rows": result.rows,
                "archive_rate": sum(_ends(settings, topic) for topic in TOPICS) / seconds["archive"],
                "archiver_peak_bytes": peaks["archive"],
                "verify_rate": verify_rate,
                "log_verify_rate": log_rate,
                "compacted_verify_rate": compacted_rate,
                "kafka_build_s": seconds["build"],
                "replay_s": seconds["replay"],
                "replay_build_rate": result.rate,
                "replay_peak_bytes": peaks["replay"],
                "checkpoint_s": seconds["checkpoint"],
                "checkpoint_peak_bytes": peaks["checkpoint"],
                **reads,
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

    def _archive(self, stand: Stand, settings: Settings, seconds: dict[str, float], peaks: dict[str, int]) -> None:
        tables = [Table(Objects(settings), topic.name) for topic in TOPICS]
        ends = sum(stand.end(topic.name) for topic in TOPICS)
        with WorkerProcess(stand, "scale", "archiver", ONEFACT_S3=settings.s3, ONEFACT_ARCHIVE_AGE_S="2") as worker:

            def all_there() -> bool:
                worker.check_alive()
                time.sleep(LOOK_S)
                return sum(sum(table.next_offsets(range(EVENTS.partitions)).values()) for table in tables) == ends

            until(lambda: bool(worker.status()), "the archiver", TIMEOUT_S)
            for table in tables:
                table.create()
            with _measured("archive", seconds, peaks, worker.pid):
                until(all_there, "everything archived", ARCHIVED_TIMEOUT_S)


def _fill(stand: Stand, count: int) -> Span:
    """Have the facts in their topics, as if their enricher had just made them."""
    metas: list[Meta] = []

    def noted() -> Iterator[Fact]:
        for fact in copies(count, stand.commands):
            metas[bool(metas) :] = [fact[2]]  # the first one and the last one
            yield fact

    produce_facts(stand, noted())
    places = [TopicPartition(EVENTS.name, partition, end) for partition, end in stand.ends(EVENTS.name).items()]
    (done,) = stand.admin.alter_consumer_group_offsets([ConsumerGroupTopicPartitions(ENRICHER, places)]).values()
    done.result(TIMEOUT_S)
    rounds = int(metas[-1].stream.rpartition("-")[2]) + 1
    return Span(ENRICHED, EVENTS, rounds, metas[0].time, metas[-1].time + LATE)


def _ends(settings: Settings, topic: Topic) -> int:
    return sum(Table(Objects(settings), topic.name).next_offsets(range(topic.partitions)).values())


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
    for topic in TOPICS:
        table = Table(objects, topic.name)
        for partition in range(topic.partitions):
            for run in runs([segment for segment in table.segments() if segment.partition == partition]):
                compact(objects, table, run)


def _forget(stand: Stand, settings: Settings) -> None:
    """Kafka deletes what is archived."""
    for topic in TOPICS:
        ends = Table(Objects(settings), topic.name).next_offsets(range(topic.partitions))
        places = [TopicPartition(topic.name, partition, offset) for partition, offset in ends.items()]
        for future in stand.admin.delete_records(places).values():
            future.result(TIMEOUT_S)


def _reads(kind: str, what: str) -> tuple[Row, ...]:
    name = f"scale-as-of-{kind}"
    return (
        figure(f"{name}-p50", f"one key as of {what}, p50", "whole", f"as_of_{kind}_p50", "ms"),
        figure(f"{name}-p95", "… p95", "whole", f"as_of_{kind}_p95", "ms"),
        figure(f"{name}-max", f"… slowest of {READS}", "whole", f"as_of_{kind}_max", "ms",
               target=Target(2000.0, "at most")),
    )  # fmt: skip


CONTEST = Contest(
    "scale",
    "Ten million facts: archived, proved, a model built from Kafka and again from the archive alone, and as it was.",
    (Whole(),),
    (
        figure("scale-verify", "verify, archived records", "whole", "verify_rate", "records/s",
               target=Target(1_000_000)),
        figure("scale-verify-log", "verify, held against the log too", "whole", "log_verify_rate", "records/s"),
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
        *_reads("source", f"a position of {ENRICHED.name}"),
        *_reads("events", f"a position of {EVENTS.name}"),
        *_reads("time", "a time"),
        figure("scale-as-of-process", f"… of {EVENTS.name} by `onefact read`, start to end, slowest of {PROCESSES}",
               "whole", "as_of_process_max", "ms"),
        figure("scale-as-of-proved", "reads compared with a fold from the begin", "whole", "as_of_proved", "reads"),
    ),
    load=lambda commands: f"{how_many(commands):,} facts, and the events that they were made from",
    rounds_max=1,
)  # fmt: skip
