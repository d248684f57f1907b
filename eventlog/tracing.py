"""Traces of what became of a command: W3C trace context in its headers, spans through OpenTelemetry. Off by default.

Whoever publishes decides whether a command is traced; everybody after that follows the `traceparent` header and begins
no trace of their own, so that what tracing costs goes with the share that is sampled.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

import structlog

from eventlog.envelope import RawRecord
from eventlog.errors import BadInput
from eventlog.settings import Settings

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
    from opentelemetry.trace import Span, SpanKind

TRACEPARENT = "traceparent"
SERVICE = "onefact"
CLOSE_TIMEOUT_S = 2.0
"""For the spans that are still waiting when a process ends."""
_SAMPLED = frozenset("13579bdf")
_TRACEPARENT_CHARACTERS = 55

log = structlog.get_logger()


def sampled_parent(record: RawRecord) -> str | None:
    """The record's `traceparent` where it asks to be recorded; None for all others, which cost no more than this."""
    for name, value in reversed(record.headers):  # it is among the last
        if name == TRACEPARENT:
            if value is None or len(value) != _TRACEPARENT_CHARACTERS:
                return None
            text = value.decode("latin-1")
            return text if text[-1] in _SAMPLED else None
    return None


class Tracing:
    """Starts spans and says what goes into the header. Raises `BadInput` where OpenTelemetry is not installed.

    The application's own tracer provider where it has set one, else one that is set up from the `OTEL_*` variables.
    """

    def __init__(self, settings: Settings) -> None:
        try:
            from opentelemetry import trace
            from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
        except ImportError:
            raise _not_installed() from None
        self._trace = trace
        self._propagator = TraceContextTextMapPropagator()
        application = trace.get_tracer_provider()
        self._own: Any = None
        if isinstance(application, trace.ProxyTracerProvider):  # what is there before anybody has set one
            self._own = _provider(settings)
        self._tracer = (self._own or application).get_tracer(SERVICE)

    def publish(self, topic: str, attributes: Mapping[str, str], parent: str | None) -> Span:
        """A span below `parent`, else below the application's current span, else one that begins a trace."""
        context = None if parent is None else self._propagator.extract({TRACEPARENT: parent})
        return self._start(f"publish {topic}", context, self._trace.SpanKind.PRODUCER, attributes)

    def consume(self, name: str, parent: str, attributes: Mapping[str, str | int]) -> Span:
        """A span below the one that made the record."""
        context = self._propagator.extract({TRACEPARENT: parent})
        return self._start(name, context, self._trace.SpanKind.CONSUMER, attributes)

    def _start(self, name: str, context: Any, kind: SpanKind, attributes: Mapping[str, Any]) -> Span:
        return self._tracer.start_span(name, context, kind, attributes)

    def header(self, span: Span) -> bytes:
        """`traceparent` for what the span makes."""
        context = span.get_span_context()
        return b"00-%032x-%016x-%02x" % (context.trace_id, context.span_id, context.trace_flags)

    def passed_on(self, given: str | None) -> bytes | None:
        """`traceparent` where nothing is recorded: the caller's, else that of the application's current span."""
        if given is not None:
            return given.encode("latin-1")
        current = self._trace.get_current_span()
        return self.header(current) if current.get_span_context().is_valid else None

    def failed(self, span: Span, error: BaseException) -> None:
        """End a span whose work was not done."""
        span.set_status(self._trace.StatusCode.ERROR, f"{type(error).__name__}: {error}")
        span.end()

    def close(self) -> None:
        """Send what is waiting, for `CLOSE_TIMEOUT_S` at most; an application's provider is its own to close."""
        provider, self._own = self._own, None
        if provider is not None:
            # In a thread, because a collector that is away is waited for much longer.
            ending = threading.Thread(target=provider.shutdown, daemon=True)
            ending.start()
            ending.join(CLOSE_TIMEOUT_S)


def _provider(settings: Settings) -> Any:
    """Sampler, resource, queue and exporter as the `OTEL_*` variables say."""
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError:
        raise _not_installed() from None
    # They would write a line for every batch that is not taken and for every span that finds the queue full.
    for library in ("opentelemetry.exporter", "opentelemetry.sdk"):
        logging.getLogger(library).setLevel(logging.CRITICAL)
    # The environment's names stand above these.
    names = Resource({"service.name": SERVICE, "service.instance.id": settings.worker_name})
    known = Resource.create()
    unnamed = str(known.attributes.get("service.name", "")).startswith("unknown_service")
    resource = known.merge(names) if unnamed else names.merge(known)
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    exporter: Any = _ToldOnce(OTLPSpanExporter())
    provider.add_span_processor(BatchSpanProcessor(exporter))  # a bounded queue and a thread of its own
    return provider


class _ToldOnce:
    """An exporter that says once that nobody takes its spans, and once that somebody does again."""

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter
        self._refused = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = self._exporter.export(spans)
        refused = result.name != "SUCCESS"
        if refused and not self._refused:
            log.warning("traces are not taken; spans are dropped until they are", collector=_collector())
        elif self._refused and not refused:
            log.info("traces are taken again")
        self._refused = refused
        return result

    def shutdown(self) -> None:
        self._exporter.shutdown()


def _collector() -> str:
    named = os.environ.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") or os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT")
    parts = urlsplit(named or "http://localhost:4318")
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def _not_installed() -> BadInput:
    return BadInput("ONEFACT_TRACING needs OpenTelemetry: pip install 'onefact[tracing]'")
