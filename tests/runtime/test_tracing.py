"""A command's trace is one tree over the processes that worked on it, and nothing depends on anybody taking it."""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from eventlog.codec import Codec
from eventlog.envelope import Record
from eventlog.errors import BadInput, Fenced
from eventlog.runtime.tracing import TracedTask
from eventlog.settings import Settings
from eventlog.topics import Topic
from eventlog.tracing import Tracing, sampled_parent
from producers import Publisher, Refused
from tests.backing import Backing
from tests.runtime.collector import Collector, Seen
from tests.runtime.counting import COUNTING, DECIDER, Count
from tests.runtime.harness import Workers, header, read_all, wait_until

ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
QUICK = {"OTEL_BSP_SCHEDULE_DELAY": "50"}
GIVEN = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-"


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    started = Collector()
    yield started
    started.close()


@pytest.fixture(scope="module")
def workers(
    backing: Backing, codec: Codec, collector: Collector, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Workers]:
    traced = {"ONEFACT_TRACING": "true", ENDPOINT: collector.url} | QUICK
    started = Workers(backing.env | traced, tmp_path_factory.mktemp("traced"))
    started.start("processors", "processors")
    started.start("projections", "projections")
    started.wait_ready()
    yield started
    started.stop()


@pytest.fixture
def traced(settings: Settings, collector: Collector, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv(ENDPOINT, collector.url)
    return settings.model_copy(update={"tracing": True, "worker_name": "client"})


@pytest.fixture
def exported(monkeypatch: pytest.MonkeyPatch) -> InMemorySpanExporter:
    """What an application that has set up OpenTelemetry itself gets."""
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", provider)
    return exporter


def publisher(settings: Settings) -> Publisher:
    return Publisher(settings, domains=[COUNTING])


def name(prefix: str) -> str:
    return f"{prefix}-{time.time_ns()}"


def facts(settings: Settings, topic: Topic, stream: str) -> list[Record]:
    return [record for record in read_all(settings, topic) if record.key == stream.encode()]


def one(spans: list[Seen], called: str, parent: Seen | None = None) -> Seen:
    (found,) = [s for s in spans if s.name == called and (parent is None or s.parent == parent.id)]
    return found


# These two have workers of their own, and go before the others, whose workers stay until the end.


def test_off_nothing_is_touched(settings: Settings, backing: Backing, codec: Codec, tmp_path: Path) -> None:
    counter, started = name("off"), Workers(backing.env, tmp_path)
    started.start("off", "counting.decider", "counting.enricher")
    try:
        started.wait_ready()
        with publisher(settings) as publish:
            extension = [("traceparent", f"{GIVEN}01".encode())]
            publish.send(Count(counter_id=counter, number=1), extensions=extension, wait=True)
        wait_until(lambda: bool(facts(settings, COUNTING.topic("enriched"), counter)), 100, "enriched", started.logs)
    finally:
        started.stop()
    for kind in ("commands", "events", "enriched"):
        (record,) = facts(settings, COUNTING.topic(kind), counter)
        assert header(record, "traceparent") == f"{GIVEN}01"


@pytest.fixture
def nobody() -> Iterator[str]:
    """An address where connections are refused, and which nobody else is given meanwhile."""
    with socket.socket() as unheard:
        unheard.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{unheard.getsockname()[1]}"


def test_a_collector_that_is_away_harms_nothing_and_is_said_once(
    settings: Settings, backing: Backing, codec: Codec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, nobody: str
) -> None:
    away = {ENDPOINT: nobody, "OTEL_EXPORTER_OTLP_TIMEOUT": "1", "OTEL_BSP_MAX_QUEUE_SIZE": "512"} | QUICK
    started = Workers(backing.env | {"ONEFACT_TRACING": "true"} | away, tmp_path)
    started.start("away", "counting.decider")
    for variable, value in away.items():
        monkeypatch.setenv(variable, value)
    counter = name("away")
    try:
        started.wait_ready()
        with publisher(settings.model_copy(update={"tracing": True})) as publish:
            for number in range(3_000):  # several times what the queue holds
                publish.send(Count(counter_id=f"{counter}-{number % 50}", number=1), wait=number % 1000 == 999)
        log = tmp_path / "away.log"
        wait_until(lambda: "traces are not taken" in log.read_text(), 100, "it is said", started.logs)
        time.sleep(3)  # two more attempts
    finally:
        started.stop()
    events = [r for r in read_all(settings, COUNTING.topic("events")) if (r.key or b"").startswith(counter.encode())]
    assert len(events) == 3_000
    assert started.processes["away"].returncode == 0
    said = [line for line in log.read_text().splitlines() if "trace" in line.lower() or "opentelemetry" in line]
    assert len(said) == 1, said
    assert json.loads(said[0])["collector"] == nobody


def test_the_tree_of_a_command(settings: Settings, traced: Settings, workers: Workers, collector: Collector) -> None:
    counter = name("tree")
    with publisher(traced) as publish:
        publish.send(Count(counter_id=counter, number=2), id=counter, wait=True)
    (command,) = facts(settings, COUNTING.topic("commands"), counter)
    trace_id = header(command, "traceparent").split("-")[1]
    wait_until(lambda: len(collector.trace(trace_id)) >= 6, 100, "every span of the trace", workers.logs)
    spans = collector.trace(trace_id)
    root = one(spans, "publish counting.commands")
    decide = one(spans, "decide counting.commands")
    enrich = one(spans, "enrich counting.events")
    assert (root.parent, decide.parent, enrich.parent) == ("", root.id, decide.id)
    assert one(spans, "apply counting.counts").parent == decide.id
    assert one(spans, "apply counting.sums", decide).process == "projections"
    assert one(spans, "apply counting.sums", enrich).process == "projections"
    assert len(spans) == 6
    assert [s.process for s in (root, decide, enrich)] == ["client", "processors", "processors"]
    assert root.attributes["messaging.message.id"] == counter
    (event,) = facts(settings, COUNTING.topic("events"), counter)
    (enriched,) = facts(settings, COUNTING.topic("enriched"), counter)
    for record, span in ((command, root), (event, decide), (enriched, enrich)):
        assert header(record, "traceparent").startswith(span.place)


def test_a_refusal_names_the_span_that_refused(
    settings: Settings, traced: Settings, workers: Workers, collector: Collector
) -> None:
    counter = name("refused")
    with publisher(traced) as publish:
        assert isinstance(publish.send(Count(counter_id=counter, number=-1), wait=True), Refused)
    (rejection,) = facts(settings, COUNTING.topic("rejections"), counter)
    made_by = header(rejection, "traceparent")
    wait_until(lambda: any(made_by.startswith(s.place) for s in collector.spans), 100, "its span", workers.logs)
    (span,) = [s for s in collector.spans if made_by.startswith(s.place)]
    assert span.name == "decide counting.commands"


def test_what_is_not_sampled_has_no_span_and_a_callers_context_is_passed_on(
    settings: Settings, traced: Settings, workers: Workers, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "parentbased_always_off")
    given, own = name("given"), name("own")
    with publisher(traced) as publish:
        extension = [("traceparent", f"{GIVEN}00".encode())]
        publish.send(Count(counter_id=given, number=1), extensions=extension, wait=True)
        publish.send(Count(counter_id=own, number=1), wait=True)
    for kind in ("commands", "events"):
        (record,) = facts(settings, COUNTING.topic(kind), given)
        assert header(record, "traceparent") == f"{GIVEN}00"
        (record,) = facts(settings, COUNTING.topic(kind), own)
        assert "traceparent" not in dict(record.headers)
    assert not [s for s in collector.spans if s.attributes.get("messaging.kafka.message.key") in {given, own}]


def test_a_callers_context_is_the_parent(
    settings: Settings, traced: Settings, workers: Workers, collector: Collector
) -> None:
    counter = name("caller")
    with publisher(traced) as publish:
        extension = [("traceparent", f"{GIVEN}01".encode())]
        publish.send(Count(counter_id=counter, number=1), extensions=extension, wait=True)
    mine = [s for s in collector.trace(GIVEN.split("-")[1]) if s.attributes["messaging.kafka.message.key"] == counter]
    assert one(mine, "publish counting.commands").parent == GIVEN.split("-")[2]
    (command,) = facts(settings, COUNTING.topic("commands"), counter)
    assert [n for n, _ in command.headers].count("traceparent") == 1


def test_the_applications_current_span_is_the_parent_and_its_provider_is_used(
    settings: Settings, traced: Settings, codec: Codec, exported: InMemorySpanExporter
) -> None:
    counter = name("joined")
    with publisher(traced) as publish, trace.get_tracer("shop").start_as_current_span("order") as order:
        publish.send(Count(counter_id=counter, number=1))
    sent = next(s for s in exported.get_finished_spans() if s.name == "publish counting.commands")
    assert sent.parent is not None
    assert sent.parent.span_id == order.get_span_context().span_id
    (command,) = facts(settings, COUNTING.topic("commands"), counter)
    assert header(command, "traceparent").split("-")[2] == f"{sent.get_span_context().span_id:016x}"


def test_off_opentelemetry_is_not_even_imported() -> None:
    program = (
        "import sys, json, deploy.worker, eventlog.runtime.worker, producers, projections;"
        "print(json.dumps(sorted(n for n in sys.modules if n.startswith('opentelemetry'))))"
    )
    out = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert json.loads(out) == []


class Failing:
    """A task whose first commit is fenced."""

    role, topic, partition, batch_records_max = "counting.decider", "counting.commands", 0, 100

    def __init__(self) -> None:
        self.seen: list[str] = []

    async def open(self) -> int:
        return 0

    async def process(self, records: Sequence[Any]) -> Mapping[str, int]:
        self.seen += [header(r, "traceparent") for r in records]
        if len(self.seen) == len(records):
            raise Fenced("another owner")
        return {}

    async def close(self) -> None: ...


def test_a_batch_done_again_has_a_span_of_its_own(exported: InMemorySpanExporter) -> None:
    task = Failing()
    traced = TracedTask(task, DECIDER, Tracing(Settings(tracing=True)))
    records = [
        Record("counting.commands", 0, 7, 0, b"k", b"", [("ce_id", b"1"), ("traceparent", f"{GIVEN}01".encode())]),
        Record("counting.commands", 0, 8, 0, b"k", b"", [("ce_id", b"2"), ("traceparent", f"{GIVEN}00".encode())]),
    ]
    with pytest.raises(Fenced):
        asyncio.run(traced.process(records))
    asyncio.run(traced.process(records))
    first, second = exported.get_finished_spans()
    assert first.status.status_code is trace.StatusCode.ERROR
    assert second.status.status_code is trace.StatusCode.UNSET
    assert task.seen[0].split("-")[2] == f"{first.get_span_context().span_id:016x}"
    assert task.seen[2].split("-")[2] == f"{second.get_span_context().span_id:016x}"
    assert task.seen[1] == task.seen[3] == f"{GIVEN}00"
    assert dict(records[0].headers)["traceparent"] == f"{GIVEN}01".encode(), "the record itself is nobody's to change"


@pytest.mark.parametrize("odd", [b"", b"1", b"\xff" * 55, None, b"00-" + b"0" * 48 + b"-01"])
def test_an_odd_header_is_no_trace_and_no_failure(exported: InMemorySpanExporter, odd: bytes | None) -> None:
    record = Record("counting.commands", 0, 7, 0, b"k", b"", [("traceparent", odd)])
    parent = sampled_parent(record)
    if parent is not None:
        span = Tracing(Settings(tracing=True)).consume("decide", parent, {})
        assert span.get_span_context().is_valid


def test_without_opentelemetry_it_is_said_how_to_have_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    with pytest.raises(BadInput, match=r"onefact\[tracing\]"):
        Tracing(Settings(tracing=True))
