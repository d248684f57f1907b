"""Headers of a record: CloudEvents' Kafka binding, binary mode, with this product's extensions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from operator import itemgetter
from typing import Any, Protocol

import msgspec

from eventlog.errors import Poison

Headers = list[tuple[str, bytes]]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_APPENDED_MS_MAX = 4_102_444_800_000
"""The year 2100."""
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
ID_BYTES_MAX = 3 * HEADER_BYTES_MAX
"""Of a fact's id, which is made of its stream's id, and of the id of what it came from."""
VERSION_MAX = (1 << 63) - 1
"""What a column of a store holds."""
UNREADABLE_NAME = "\udcff"
"""Stands for header names that a client gave up on; no name that can be written is like it."""


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
    timestamp_type: int = 0
    """0 the producer's, 1 the broker's, as Kafka counts them."""


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
    appended_ms: int = 0
    """When it was appended to the log, in ms since 1970, by the clock of whoever appended it."""

    @property
    def appended(self) -> datetime:
        """The same as a time: rebuilding a read model later does not change it. A client may have written anything."""
        return _EPOCH + timedelta(milliseconds=min(max(self.appended_ms, 0), _APPENDED_MS_MAX))


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


_KNOWN = frozenset(
    {*REQUIRED, *PASSED_ON, DECIDED, CODE_VERSION, "ce_subject", "ce_sequence", "ce_causationid", "ce_correlationid"}
)


def header_map(record: RawRecord) -> Mapping[str, bytes]:
    """A record's headers by name; of several with one name the last.

    Raises `Poison` when the key or a required header is missing, or when the name of a header is no text.
    """
    if not record.key:
        raise Poison("no_key", "the record has no key")
    if len(record.key) > HEADER_BYTES_MAX:
        raise Poison("bad_header", f"the key has {len(record.key)} bytes, over the limit of {HEADER_BYTES_MAX}")
    headers: dict[str, bytes] = dict(record.headers)  # type: ignore[arg-type]
    if not headers.keys() <= _KNOWN:
        headers = _by_name(record)
    try:
        complete = all(_required(headers))
    except KeyError:
        complete = False
    if not complete:
        missing = next(name for name in REQUIRED if not headers.get(name))
        raise Poison("missing_header", f"the record has no {missing} header")
    return headers


def _by_name(record: RawRecord) -> dict[str, bytes]:
    """Headers among which are names that are not ours: each as both clients read it."""
    headers: dict[str, bytes] = {}
    for name, value in record.headers:
        # To librdkafka a name ends at a zero byte. It must be the same record to whoever reads it.
        text = name.partition("\0")[0]
        try:
            text.encode()
        except UnicodeEncodeError:
            raise Poison("bad_header", "the name of a header is not UTF-8") from None
        headers[text] = value  # type: ignore[assignment]
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
            given and kind and source and key and headers["ce_specversion"] and headers.keys() <= _KNOWN
            # Together under what each may have: no need to ask of each.
            and len(given) + len(kind) + len(source) + len(key) + len(causation) + len(correlation) <= HEADER_BYTES_MAX
        ):  # fmt: skip
            time = datetime.fromisoformat(headers["ce_time"].decode())
            if time.tzinfo is UTC:
                return Meta(
                    given.decode(), kind.decode(), key.decode(), time, _version(sequence) if sequence else 0,
                    source.decode(), causation.decode(), correlation.decode(), 0, record.timestamp,
                )  # fmt: skip
    except (KeyError, TypeError, ValueError, AttributeError):
        pass
    return _read_with_care(record)


def _read_with_care(record: RawRecord) -> Meta:
    """`read_meta` where something is unusual: another zone, long headers, or what makes the record poison."""
    headers = header_map(record)
    try:
        return Meta(
            id=_text(headers["ce_id"], ID_BYTES_MAX),
            type=_text(headers["ce_type"]),
            stream=_text(record.key or b""),
            time=parse_time(_text(headers["ce_time"])),
            version=_version(headers.get("ce_sequence") or b"0"),
            source=_text(headers["ce_source"]),
            causation=_text(headers.get("ce_causationid") or b"", ID_BYTES_MAX),
            correlation=_text(headers.get("ce_correlationid") or b""),
            appended_ms=record.timestamp,
        )
    except ValueError as error:
        raise Poison("bad_header", f"the key or a header cannot be read: {error}") from None


def check_passed_on(headers: Mapping[str, bytes]) -> None:
    """Raise `Poison` when facts could not be read any more that take over headers of this command."""
    try:
        _text(headers["ce_id"])
        for name in ("ce_correlationid", *PASSED_ON):
            if headers.get(name):
                _text(headers[name])
    except ValueError as error:
        raise Poison("bad_header", f"ce_id or a header that is passed on cannot be read: {error}") from None


def _text(raw: bytes, limit: int = HEADER_BYTES_MAX) -> str:
    if len(raw) > limit:
        raise ValueError(f"{len(raw)} bytes, over the limit of {limit}")
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


def _version(raw: bytes) -> int:
    if not raw.isdigit() or len(raw) > 19 or (version := int(raw)) > VERSION_MAX:
        raise ValueError(f"ce_sequence is {raw[:40]!r}, no version")
    return version


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
