"""The sender when traces are on: a span per record, named in its header."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from eventlog.message import Message
from eventlog.settings import Settings
from eventlog.topics import Domain
from eventlog.tracing import TRACEPARENT, Tracing
from producers._sending import NewReceipt, Sender
from producers._waiting import Receipt


class TracedSender(Sender):
    """A `Sender` whose records say by which span they were published; the span ends when the producer has the record.

    A trace that is not sampled goes into the header only where the caller gave it: one begun here interests nobody.
    """

    def __init__(self, settings: Settings, source: str, domains: Iterable[Domain] | None) -> None:
        self._tracing = Tracing(settings)
        super().__init__(settings, source, domains)

    def send(
        self,
        message: Message,
        command_id: str | None = None,
        time: datetime | None = None,
        source: str | None = None,
        extensions: Iterable[tuple[str, bytes]] = (),
        new_receipt: type[Receipt] | NewReceipt = Receipt,
        block: bool = True,
    ) -> Receipt:
        command_id = command_id or self.new_id()
        headers = list(extensions)
        others = [header for header in headers if header[0] != TRACEPARENT]
        given = next((value.decode("latin-1") for name, value in headers if name == TRACEPARENT), None)
        topic = self.route(type(message)).topic
        span = self._tracing.publish(topic, _attributes(message, command_id, topic), given)
        header = self._tracing.header(span) if span.is_recording() else self._tracing.passed_on(given)
        if header is not None:
            others.append((TRACEPARENT, header))  # last, where those who look for it look first
        try:
            receipt = super().send(message, command_id, time, source, others, new_receipt, block)
        except BufferError:
            raise  # it will be tried again; a span that is never ended never was
        except BaseException as error:
            self._tracing.failed(span, error)
            raise
        span.end()
        return receipt

    def close(self) -> None:
        try:
            super().close()
        finally:
            self._tracing.close()


def _attributes(message: Message, command_id: str, topic: str) -> dict[str, str]:
    return {
        "messaging.system": "kafka",
        "messaging.operation.name": "publish",
        "messaging.operation.type": "send",
        "messaging.destination.name": topic,
        "messaging.message.id": command_id,
        "messaging.kafka.message.key": str(message.stream),
        "cloudevents.event_type": type(message).__name__,
    }
