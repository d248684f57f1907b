"""Typed messages to records that are on their way: the path of every record, so nothing here is done twice."""

from __future__ import annotations

import os
import time as clock
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from functools import cache
from typing import NamedTuple

from confluent_kafka import KafkaException

from eventlog.codec import Codec, Encode
from eventlog.discovery import VOCABULARY, discover
from eventlog.envelope import HEADER_BYTES_MAX, SPEC_VERSION, time_text
from eventlog.errors import BadInput
from eventlog.message import CommandAnswered, CommandRejected, Message
from eventlog.registry import Registry
from eventlog.settings import Settings
from eventlog.topics import RECORD_BYTES_MAX, Domain
from producers._producer import DELIVERY_TIMEOUT_S, new_producer, require_topic
from producers._waiting import Receipt
from producers.outcome import DeliveryFailed

POLL_EVERY = 500
"""Records, after which delivery reports are taken."""
LOOK_S = 0.05
FAILURES_KEPT = 3
_IDS = 256
_VARIANTS = str.maketrans("0123456789abcdef", "89ab89ab89ab89ab")


NewReceipt = Callable[[str, str, str, "Sender"], Receipt]
"""From id, stream, topic and sender."""


class Route(NamedTuple):
    """How messages of one class travel."""

    topic: str
    encode: Encode
    stream_field: str
    type_header: tuple[str, bytes]
    partitions: int
    decided_by: Domain | None
    """The domain whose decider answers; None for facts that nobody decides."""


@cache
def declared_domains() -> tuple[Domain, ...]:
    """Every domain's vocabulary, without its roles: a producer needs no more."""
    return discover(VOCABULARY, ()).domains


class Sender:
    """Encodes messages and hands them to the producer; used from any thread."""

    def __init__(self, settings: Settings, source: str, domains: Iterable[Domain] | None) -> None:
        self._settings = settings.required("kafka", "registry")
        self._domains = None if domains is None else tuple(domains)
        self._producer = new_producer(settings)
        self.poll = self._producer.poll
        self._source = ("ce_source", source.encode())
        self._routes: dict[type[Message], Route] = {}
        self._codecs: dict[str, Codec] = {}
        self._registry = Registry(settings.registry)
        self._failures: list[Receipt] = []
        self._failed = 0
        self._ids: list[str] = []
        self._second = (0, b"")
        self._unpolled = 0

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
        """Hand one record to the producer; without `block`, `BufferError` when its queue is full.

        Raises `BadInput` for a message that cannot be published, `DeliveryFailed` when earlier ones were not delivered.
        """
        if self._failed:
            self.raise_failed()
        cls = type(message)
        topic, encode, stream_field, type_header, _, _ = self._routes.get(cls) or self.route(cls)
        stream = getattr(message, stream_field)
        if command_id is None:
            command_id = self.new_id()
        try:
            key, raw_id, value = stream.encode(), command_id.encode(), encode(message)
        except (ValueError, TypeError, AttributeError) as error:
            raise BadInput(f"not a {cls.__name__} that can be written: {error}") from None
        if (
            not 0 < len(key) <= HEADER_BYTES_MAX
            or not 0 < len(raw_id) <= HEADER_BYTES_MAX
            or len(value) > RECORD_BYTES_MAX
        ):
            raise _out_of_bounds(cls, stream_field, key, raw_id, value)
        # The headers of `envelope.command_headers`, written out.
        headers = [
            SPEC_VERSION,
            ("ce_id", raw_id),
            self._source if source is None else ("ce_source", source.encode()),
            type_header,
            ("ce_subject", key),
            ("ce_time", self._now() if time is None else _stamp(time)),
            ("ce_correlationid", raw_id),
        ]
        if extensions:
            extensions = list(extensions)
            if any(name == "ce_correlationid" for name, _ in extensions):
                headers.pop()
            headers.extend(extensions)
        receipt = new_receipt(command_id, stream, topic, self)
        while True:
            try:
                self._producer.produce(topic, value, key, on_delivery=receipt.report, headers=headers)
                break
            except BufferError:
                if not block:
                    raise
                self.poll(LOOK_S)
            except KafkaException as error:
                raise DeliveryFailed("kafka", f"{command_id} was not published: {error.args[0].str()}") from None
        self._unpolled += 1
        if self._unpolled >= POLL_EVERY:
            self._unpolled = 0
            self.poll(0)
        return receipt

    def poll_until(self, done: Callable[[], bool]) -> None:
        """Take delivery reports until it is done; each record is confirmed or given up within the time-out."""
        while not done():
            self.poll(LOOK_S)

    def flush(self) -> None:
        """Wait until everything that was sent is in the log; raises `DeliveryFailed`."""
        left = self._producer.flush(DELIVERY_TIMEOUT_S + 5)
        if left:
            raise DeliveryFailed(
                "kafka", f"{self._settings.kafka} did not confirm {left} records in {DELIVERY_TIMEOUT_S} s"
            )
        self.raise_failed()

    def close(self) -> None:
        """Let go of connections; what was not flushed is lost."""
        self._registry.close()
        self._producer.close()

    def failed(self, receipt: Receipt) -> None:
        """A record was not delivered; the first few are kept for the message."""
        self._failed += 1
        if len(self._failures) < FAILURES_KEPT:
            self._failures.append(receipt)

    def raise_failed(self) -> None:
        """Raise `DeliveryFailed` if something was not delivered since this was last asked."""
        if self._failed:
            first, count = self._failures[0], self._failed
            self._failures, self._failed = [], 0
            raise DeliveryFailed(
                "kafka",
                f"{count} of the records sent were not delivered, among them {first.id} of stream {first.stream}: "
                f"{first.error.str()}; publish them again with the same ids",
            )

    def new_id(self) -> str:
        """A random UUID (version 4); made in batches, because asking for randomness costs more than what it gives."""
        while True:
            try:
                return self._ids.pop()
            except IndexError:
                raw = os.urandom(16 * _IDS).hex()
                texts = (raw[at : at + 32] for at in range(0, len(raw), 32))
                self._ids.extend(
                    f"{t[:8]}-{t[8:12]}-4{t[13:16]}-{t[16].translate(_VARIANTS)}{t[17:20]}-{t[20:]}" for t in texts
                )

    def _now(self) -> bytes:
        # As `time_text` writes it; the text of a second is made once.
        second, micros = divmod(clock.time_ns() // 1000, 1_000_000)
        known, text = self._second
        if known != second:
            text = datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S.").encode()
            self._second = (second, text)
        return text + b"%06dZ" % micros

    def route(self, cls: type[Message]) -> Route:
        """How messages of a class travel. Asks registry and broker the first time."""
        return self._routes.get(cls) or self._new_route(cls)

    def codec(self, domain: Domain) -> Codec:
        """Of what clients publish to the domain and are answered."""
        if domain.name not in self._codecs:
            classes = [cls for cls, _ in domain.published().values()]
            self._codecs[domain.name] = Codec(self._registry, [*classes, CommandRejected, CommandAnswered])
        return self._codecs[domain.name]

    def _new_route(self, cls: type[Message]) -> Route:
        domains = declared_domains() if self._domains is None else self._domains
        for domain in domains:
            declared, topic = domain.published().get(cls.__name__, (None, None))
            if declared is cls and topic is not None:
                break
        else:
            known = ", ".join(name for domain in domains for name in domain.published())
            raise BadInput(f"{cls.__name__} is nothing that can be published; what can be: {known}")
        encode = self.codec(domain).encoder(cls)
        require_topic(self._producer, self._settings, topic)
        decided = cls in domain.commands
        type_header = ("ce_type", cls.__name__.encode())
        route = Route(topic.name, encode, cls.stream_field, type_header, topic.partitions, domain if decided else None)
        self._routes[cls] = route
        return route


def _stamp(time: datetime) -> bytes:
    if time.tzinfo is UTC:
        return time.isoformat(timespec="microseconds")[:-6].encode() + b"Z"
    if time.tzinfo is None:
        raise BadInput(f"the time {time.isoformat()} has no zone; give it one, as in datetime.now(UTC)")
    return time_text(time).encode()


def _out_of_bounds(cls: type[Message], stream_field: str, key: bytes, raw_id: bytes, value: bytes) -> BadInput:
    if not 0 < len(key) <= HEADER_BYTES_MAX:
        return BadInput(f"{stream_field} of a {cls.__name__} needs 1 to {HEADER_BYTES_MAX} bytes, not {len(key)}")
    if not 0 < len(raw_id) <= HEADER_BYTES_MAX:
        return BadInput(f"the id of a {cls.__name__} needs 1 to {HEADER_BYTES_MAX} bytes, not {len(raw_id)}")
    return BadInput(f"the {cls.__name__} has {len(value)} bytes, over the limit of {RECORD_BYTES_MAX}")
