"""Headers of a record: CloudEvents' Kafka binding, binary mode, with this product's extensions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from operator import itemgetter
from typing import Any, Protocol

import msgspec

from eventlog.errors import Poison

Headers = list[tuple[str, bytes]]

SPEC_VERSION = ("ce_specversion", b"1.0")
REQUIRED = ("ce_specversion", "ce_id", "ce_source", "ce_type", "ce_time")
_required = itemgetter(*REQUIRED)
PASSED_ON = ("ce_tenant", "traceparent")
"""Headers that go from a command to its facts unchanged."""
DECIDED = "ce_decided"
"""How many events the command led to; written where it is not one."""
CODE_VERSION = "ce_codeversion"
"""Which version of a role's code made the fact; see `code_version`."""
HEADER_BYTES_MAX = 4096
"""Of one header that is read here; a longer one makes the record poison."""


class RawRecord(Protocol):
    """One record as both Kafka clients and the archive give it."""

    @property
    def topic(self) -> str: ...
    @property
    def partition(self) -> int: ...
    @property
    def offset(self) -> int: ...
    @property
    def timestamp(self) -> int: ...
    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...
    @property
    def headers(self) -> Sequence[tuple[str, bytes | None]]: ...


class Record(msgspec.Struct, gc=False):
    """A raw record of our own making; `timestamp` is the broker's, in ms."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]]


class Meta(msgspec.Struct, frozen=True, gc=False):
    """What rides beside a message: who, when, where in its stream, because of what."""

    id: str
    type: str
    stream: str
    time: datetime
    """When it happened, as the command said; UTC, microseconds."""
    version: int = 0
    """The stream's version after this event, from 1; 0 for commands."""
    source: str = ""
    causation: str = ""
    correlation: str = ""
    part: int = 0
    """Which one, from 1, of several messages that an upcaster made of one record; 0 of a record that is one message."""


def time_text(time: datetime) -> str:
    """The one way a time is written: UTC, six digits, Z."""
    if time.tzinfo is not UTC:
        time = time.astimezone(UTC)
    return time.isoformat(timespec="microseconds")[:-6] + "Z"


def parse_time(text: str) -> datetime:
    """Read an RFC 3339 time; raises `ValueError` when it is none or has no zone."""
    time = datetime.fromisoformat(text)
    if time.tzinfo is None:
        raise ValueError(f"{text!r} has no time zone; write it with Z or an offset")
    if time.tzinfo is UTC:
        return time
    try:
        return time.astimezone(UTC)
    except OverflowError:
        raise ValueError(f"{text!r} is not between the years 1 and 9999 in UTC") from None


def header_map(record: RawRecord) -> Mapping[str, bytes]:
    """A record's headers by name.

    Raises `Poison` when the key or a required header is missing.
    """
    if not record.key:
        raise Poison("no_key", "the record has no key")
    if len(record.key) > HEADER_BYTES_MAX:
        raise Poison("bad_header", f"the key has {len(record.key)} bytes, over the limit of {HEADER_BYTES_MAX}")
    headers: dict[str, bytes] = dict(record.headers)  # type: ignore[arg-type]
    try:
        complete = all(_required(headers))
    except KeyError:
        complete = False
    if not complete:
        missing = next(name for name in REQUIRED if not headers.get(name))
        raise Poison("missing_header", f"the record has no {missing} header")
    return headers


def read_meta(record: RawRecord) -> Meta:
    """A record's headers as `Meta`; raises `Poison` where they are missing or cannot be read."""
    key = record.key
    try:
        headers: dict[str, bytes] = dict(record.headers)  # type: ignore[arg-type]
        given, kind, source = headers["ce_id"], headers["ce_type"], headers["ce_source"]
        causation, correlation = headers.get("ce_causationid", b""), headers.get("ce_correlationid", b"")
        sequence = headers.get("ce_sequence")
        if (
            given and kind and source and key and headers["ce_specversion"]
            # Together under what each may have: no need to ask of each.
            and len(given) + len(kind) + len(source) + len(key) + len(causation) + len(correlation) <= HEADER_BYTES_MAX
        ):  # fmt: skip
            time = datetime.fromisoformat(headers["ce_time"].decode())
            if time.tzinfo is UTC:
                return Meta(
                    given.decode(), kind.decode(), key.decode(), time, int(sequence) if sequence else 0,
                    source.decode(), causation.decode(), correlation.decode(),
                )  # fmt: skip
    except (KeyError, TypeError, ValueError, AttributeError):
        pass
    return _read_with_care(record)


def _read_with_care(record: RawRecord) -> Meta:
    """`read_meta` where something is unusual: another zone, long headers, or what makes the record poison."""
    headers = header_map(record)
    try:
        return Meta(
            id=_text(headers["ce_id"]),
            type=_text(headers["ce_type"]),
            stream=_text(record.key or b""),
            time=parse_time(_text(headers["ce_time"])),
            version=int(headers.get("ce_sequence") or 0),
            source=_text(headers["ce_source"]),
            causation=_text(headers.get("ce_causationid") or b""),
            correlation=_text(headers.get("ce_correlationid") or b""),
        )
    except ValueError as error:
        raise Poison("bad_header", f"the key or a header cannot be read: {error}") from None


def _text(raw: bytes) -> str:
    if len(raw) > HEADER_BYTES_MAX:
        raise ValueError(f"{len(raw)} bytes, over the limit of {HEADER_BYTES_MAX}")
    return raw.decode()


def code_version(declared: str, build: str = "") -> tuple[str, bytes]:
    """Header of a role's facts: the version it declares and, after a `+`, the build that runs, if named."""
    return CODE_VERSION, (f"{declared}+{build}" if build else declared).encode()


def metas_of(meta: Meta, messages: Sequence[Any]) -> Iterator[tuple[Any, Meta]]:
    """Each of the messages that upcasters made of a record, with its `Meta`.

    Time and version are the record's. Where there are several, each has an id of its own: the record's, a point, its
    part.
    """
    for part, message in enumerate(messages, 1):
        own = msgspec.structs.replace(meta, type=type(message).__name__)
        yield message, own if len(messages) == 1 else msgspec.structs.replace(own, id=f"{meta.id}.{part}", part=part)


def event_id(stream: str, version: int) -> str:
    """Unique and the same on every attempt: a stream has each version once."""
    return f"{stream}:{version}"


def command_headers(
    command_id: str,
    source: str,
    command_type: str,
    stream: str,
    time: datetime,
    *,
    correlation: str = "",
    causation: str = "",
    extra: Iterable[tuple[str, bytes]] = (),
) -> Headers:
    """Headers of a record that a client publishes."""
    headers: Headers = [
        SPEC_VERSION,
        ("ce_id", command_id.encode()),
        ("ce_source", source.encode()),
        ("ce_type", command_type.encode()),
        ("ce_subject", stream.encode()),
        ("ce_time", time_text(time).encode()),
        ("ce_correlationid", (correlation or command_id).encode()),
    ]
    if causation:
        headers.append(("ce_causationid", causation.encode()))
    headers.extend(extra)
    return headers
