"""One run: workers of its own, records, and the judge."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from pathlib import Path
from typing import Any

from confluent_kafka import Producer

from eventlog.discovery import catalog
from eventlog.reader import LogReader
from eventlog.roles import Decider, Enricher, Projection
from eventlog.settings import Settings
from projections.stores import open_store
from tests.faults.poison.judge import Judge
from tests.faults.poison.made import Maker, Rec
from tests.faults.poison.wire import TYPES, Avro
from tests.faults.stand import DOMAINS
from tests.runtime.batches import produce_raw
from tests.runtime.harness import Workers, consumed, wait_until


class Campaign:
    """One run."""

    def __init__(self, settings: Settings, rng: random.Random, count: int) -> None:
        self.settings, self.rng, self.count = settings, rng, count
        self.avro = Avro(settings.registry)
        self.maker = Maker(rng, self.avro, f"poison{rng.randrange(1 << 30):x}")

    def produce(self, count: int, poison: float) -> Counter[str]:
        """Append records to the three topics, so many of them changed; every one is confirmed."""
        producer = Producer({"bootstrap.servers": self.settings.kafka, "partitioner": "murmur2_random", "linger.ms": 5,
                             "message.max.bytes": 8 << 20, "enable.idempotence": True, "log_level": 0,
                             "queue.buffering.max.kbytes": 200_000, "compression.type": self.rng.choice(("none", "zstd"))})  # fmt: skip # noqa: E501
        made: Counter[str] = Counter()
        recent: dict[str, Rec] = {}
        streams = max(20, count // 300)
        for _ in range(count):
            topic = self.rng.choices(tuple(TYPES), (6, 2, 2))[0]
            if topic in recent and topic == "trading.commands" and self.rng.random() < 0.02:
                record = recent[topic]  # the same again
            else:
                record = recent[topic] = self.maker.valid(topic, self.rng.randrange(streams))
            if self.rng.random() < poison:
                record = self.maker.mutated(topic, record)
                made["changed"] += 1
            key, value, headers = record
            while True:
                try:
                    producer.produce(topic, value, key, headers=headers)
                    break
                except BufferError:
                    producer.poll(0.1)
            producer.poll(0)
            made[topic] += 1
        assert producer.flush(120) == 0
        return made

    def strange_names(self, count: int) -> None:
        """Records that only a broken client writes: names of headers that are not UTF-8."""
        for topic in TYPES:
            for partition in range(4):
                batch = []
                for _ in range(max(1, count // 12)):
                    key, value, headers = self.maker.valid(topic, 0)
                    names = [(name.encode(), content) for name, content in headers]
                    batch.append((key, value, [*names, (self.rng.randbytes(3).replace(b"\0", b"0") + b"\xff", b"1")]))
                asyncio.run(produce_raw(self.settings.kafka, topic, batch, partition))

    def wait(self, workers: Workers, timeout_s: float) -> float:
        """Every partition of every role has come to its end."""
        started, left = time.monotonic(), timeout_s
        processors, projections = roles()
        for role in processors:
            left -= wait_until(lambda r=role: consumed(self.settings, r.name, r.source), left, role.name, workers.logs)
        for projection in projections:
            left -= wait_until(lambda p=projection: self.applied(p), left, projection.name, workers.logs)
        return time.monotonic() - started

    def applied(self, projection: Projection) -> bool:
        store = open_store(projection.model.store, self.settings)
        try:
            at = store.progress(projection.model)
        finally:
            store.close()
        with LogReader(self.settings) as log:
            ends = {k: v for source in projection.sources for k, v in log.ends(source.name).items()}
            return not log.waiting({place: (at.get(place, 0), end) for place, end in ends.items()})


def roles() -> tuple[list[Decider | Enricher], list[Projection]]:
    """Processors and projections of the domains."""
    known = catalog()
    both: tuple[Decider | Enricher, ...] = (*known.deciders, *known.enrichers)
    return [role for role in both if role.domain.name in DOMAINS], [
        role for role in known.projections if role.domain.name in DOMAINS
    ]


def peak_mb(workers: Workers) -> dict[str, int]:
    """The most memory that each worker has had."""
    found = {}
    for name, process in workers.processes.items():
        status = Path(f"/proc/{process.pid}/status").read_text()
        found[name] = int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]) // 1024
    return found


def run(
    settings: Settings,
    env: dict[str, str],
    folder: Path,
    rng: random.Random,
    count: int,
    module: str = "deploy.worker",
) -> dict[str, Any]:
    """The campaign with workers of its own (`module`); raises `AssertionError` where something is not as it must be."""
    folder.mkdir(parents=True, exist_ok=True)
    workers = Workers(env, folder, module=module)
    try:
        processors, projections = ([role.name for role in some] for some in roles())
        for name, some in {"a": processors, "b": projections, "c": processors + projections}.items():
            workers.start(name, *some)
        workers.wait_ready(timeout_s=120)
        campaign = Campaign(settings, rng, count)
        campaign.produce(max(500, count // 10), 0.0)
        campaign.wait(workers, 120)
        pids, before = {n: p.pid for n, p in workers.processes.items()}, peak_mb(workers)
        made = campaign.produce(count * 6 // 10, 0.9)
        campaign.strange_names(max(12, count // 500))
        made += campaign.produce(count * 4 // 10, 0.3)
        seconds = campaign.wait(workers, 900)
        after = peak_mb(workers)
        assert {n: p.pid for n, p in workers.processes.items() if p.poll() is None} == pids, workers.logs()
        crashes = [line for n in pids for line in (folder / f"{n}.log").read_text(errors="replace").splitlines()
                   if '"error"' in line and "reference record" not in line]  # fmt: skip
        assert not crashes, f"workers stumbled: {crashes[:3]}"
        report = Judge(settings, campaign.avro).check()
    finally:
        workers.stop()
    return report | {"made": made, "seconds": seconds, "mb_before": before, "mb_after": after}
