"""Reads of one key as of points of a long log: how long they take, and whether they are what a fold comes to."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from confluent_kafka import Message

from bench.harness.facts import SEED
from bench.harness.stand import BenchError, Stand
from eventlog.codec import Codec
from eventlog.discovery import catalog
from eventlog.memory import MemoryRows
from eventlog.partition import partition_of
from eventlog.position import Position
from eventlog.reader import LogReader, headers_of, to_record
from eventlog.registry import Registry
from eventlog.roles import Projection
from eventlog.settings import Settings
from eventlog.steps import ProjectStep
from eventlog.topics import Topic
from projections import Reader
from projections.folding import time_of
from projections.points import Point

KINDS = ("source", "events", "time")
"""Positions of the topic that the model is built from, of the events that this one is made from, and times."""
READS = 50
PROVED = 4
"""Reads of each kind whose rows are compared with a fold from the log's begin."""
PROCESSES = 5
"""Reads by a program of its own each."""


@dataclass(frozen=True)
class Span:
    """What was written: facts of `rounds` samples one after the other, each with streams of its own."""

    source: Topic
    events: Topic
    rounds: int
    first: datetime
    last: datetime


@dataclass(frozen=True, eq=False)
class Ask:
    """One key at one point; `share` is how much of the log lies before it."""

    kind: str
    key: tuple[str, str]
    point: Point
    share: float


def as_of(stand: Stand, settings: Settings, model: str, span: Span) -> dict[str, float]:
    """Milliseconds of the reads by kind, each with a connection of its own; raises where a row is not right."""
    draw = random.Random(SEED)
    with Reader(settings) as reader:
        rows: Any = reader.read(model)
    asked = list(_asked(settings, rows, span, draw))
    figures: dict[str, float] = {}
    found: dict[Ask, Any] = {}
    for kind in KINDS:
        taken = []
        for ask in (each for each in asked if each.kind == kind):
            with Reader(settings) as reader:
                begun = time.perf_counter()
                found[ask] = reader.read(model, ask.key, as_of=ask.point)
                taken.append(1000 * (time.perf_counter() - begun))
        taken.sort()
        figures |= {
            f"as_of_{kind}_p50": taken[len(taken) // 2],
            f"as_of_{kind}_p95": taken[len(taken) * 95 // 100],
            f"as_of_{kind}_max": taken[-1],
        }
    live = {(row["portfolio_id"], row["symbol"]): row for row in rows}
    for ask in asked:
        if ask.share == 1 and found[ask] != live[ask.key]:
            raise BenchError(f"{ask} is {found[ask]}, and live {live[ask.key]}")
    proved = [each for kind in KINDS for each in _some([ask for ask in asked if ask.kind == kind])]
    for ask, row in _folded(settings, model, span, proved).items():
        if found[ask] != row:
            raise BenchError(f"{ask} is {found[ask]}, and a fold from the begin comes to {row}")
    figures["as_of_proved"] = len(proved)
    figures["as_of_process_max"] = max(_by_program(stand, settings, model, asked, found))
    return figures


def _asked(settings: Settings, rows: Sequence[Mapping[str, Any]], span: Span, draw: random.Random) -> Iterator[Ask]:
    """Random keys, every second one at a point at which its stream is under way; the last of a kind at the end."""
    with LogReader(settings) as log:
        ends = {kind: log.ends(topic.name) for kind, topic in (("source", span.source), ("events", span.events))}
    for kind in KINDS:
        for number in range(READS):
            row = draw.choice(rows)
            share = draw.random()
            if number % 2:
                share = (int(row["portfolio_id"].rpartition("-")[2]) + share) / span.rounds
            share = 1.0 if number == READS - 1 else min(share, 1.0)
            point: Point = (
                span.first + (span.last - span.first) * share
                if kind == "time"
                else Position({place: int(end * share) for place, end in ends[kind].items()})
            )
            yield Ask(kind, (row["portfolio_id"], row["symbol"]), point, share)


def _some(asked: list[Ask]) -> list[Ask]:
    """Of those whose stream is under way."""
    return asked[1 : 2 * PROVED : 2]


def _folded(settings: Settings, model: str, span: Span, asked: Sequence[Ask]) -> dict[Ask, Any]:
    """The rows from all records there are, without checkpoints, and without anything that the reads go by."""
    (projection,) = (p for p in catalog().projections if p.model.name == model)
    rows = {ask: MemoryRows(projection.model) for ask in asked}
    with Registry(settings.registry) as registry, LogReader(settings) as log:
        codec = Codec(registry, catalog().message_types)
        for partition in range(span.source.partitions):
            own = [ask for ask in asked if partition_of(ask.key[0].encode(), span.source.partitions) == partition]
            if own:
                _fold(projection, codec, log, span, partition, {ask: rows[ask] for ask in own})
    return {ask: rows[ask].get(ask.key) for ask in asked}


def _fold(
    projection: Projection, codec: Codec, log: LogReader, span: Span, partition: int, into: Mapping[Ask, MemoryRows]
) -> None:
    """Apply what each of the points holds of its key's own stream, record by record."""
    by_stream: dict[bytes | None, list[Ask]] = {}
    for ask in into:
        by_stream.setdefault(ask.key[0].encode(), []).append(ask)
    causes: dict[Ask, set[bytes | None]] = {ask: set() for ask in into if ask.kind == "events"}
    for message in _messages(log, span.events, partition) if causes else ():
        for ask in by_stream.get(message.key(), ()):
            if ask in causes and (message.offset() or 0) < _limit(ask, span.events, partition):
                causes[ask].add(dict(headers_of(message)).get("ce_id"))
    step = ProjectStep(projection, span.source, codec)
    for message in _messages(log, span.source, partition):
        for ask in by_stream.get(message.key(), ()):
            if ask in causes:
                held = dict(headers_of(message)).get("ce_causationid") in causes[ask]
            elif isinstance(ask.point, datetime):
                happened = time_of(message)
                held = happened is not None and happened <= ask.point
            else:
                held = (message.offset() or 0) < _limit(ask, span.source, partition)
            if held:
                codec.learn_all([message.value()])
                into[ask].apply(step.run([to_record(message)]).changes)


def _messages(log: LogReader, topic: Topic, partition: int) -> Iterator[Message]:
    for _, messages, _ in log.batches({(topic.name, partition): (0, 1 << 62)}):
        yield from messages


def _limit(ask: Ask, topic: Topic, partition: int) -> int:
    assert isinstance(ask.point, Position)
    return ask.point.offsets.get((topic.name, partition), 0)


def _by_program(
    stand: Stand, settings: Settings, model: str, asked: Sequence[Ask], found: Mapping[Ask, Any]
) -> Iterator[float]:
    """Milliseconds of `onefact read`, from its start to its end: nothing is there from a read before."""
    there = [ask for ask in asked if found[ask] is not None and ask.kind == "events"][:PROCESSES]
    for ask in there:
        argv = [sys.executable, "-m", "deploy.cli", "read", model, *ask.key, "--as-of", str(ask.point), "--json"]
        env = stand.env(ONEFACT_S3=settings.s3)
        begun = time.perf_counter()
        done = subprocess.run(argv, env=env, capture_output=True, text=True, check=False, timeout=600)
        taken = 1000 * (time.perf_counter() - begun)
        if done.returncode or json.loads(done.stdout)["symbol"] != ask.key[1]:
            raise BenchError(f"{' '.join(argv)}: {done.stdout}{done.stderr}")
        yield taken
