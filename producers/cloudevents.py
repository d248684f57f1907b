"""CloudEvents as JSON lines to typed messages, numbers exactly as they were written."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple, Protocol, get_args, get_origin, get_type_hints

import msgspec

from eventlog import decimals
from eventlog.envelope import HEADER_BYTES_MAX, parse_time
from eventlog.errors import BadInput, Refused
from eventlog.message import Digits, Message
from eventlog.topics import RECORD_BYTES_MAX, Domain

LINE_BYTES_MAX = 2 * RECORD_BYTES_MAX
"""Of one line: room for a record of the largest size, in JSON."""
_UNPREFIXED = ("traceparent", "tracestate")
"""Extensions whose headers Kafka's tools know by their own name."""
_OWN = {"specversion", "type", "id", "source", "time", "subject", "datacontenttype", "dataschema", "data"}
_KERNELS = ("sequence", "decided")
"""Extensions that only deciders write."""
_EXTENSION_NAME = re.compile(r"[a-z0-9]{1,20}")
_BARE = re.compile(rb'"(?:[^"\\]|\\.)*"|-?\b(?:NaN|Infinity)\b')
# Not JSON, yet written by many programs. Each becomes a number that nobody writes, and is named again
# where a number is read, so that everything else about the line is checked as usual.
_STAND_INS = {
    b"NaN": b"0e-77000001",
    b"-NaN": b"0e-77000001",
    b"Infinity": b"0e-77000002",
    b"-Infinity": b"0e-77000003",
}
_NAMES = {b"0e-77000001": "NaN", b"0e-77000002": "Infinity", b"0e-77000003": "-Infinity"}


class BadLine(BadInput):
    """A line that cannot be used."""

    def __init__(self, number: int, reason: str) -> None:
        super().__init__(f"line {number}: {reason}")
        self.number = number


class Lines(Protocol):
    """What is read from: a file, or anything that gives its lines."""

    def readline(self, limit: int, /) -> bytes: ...


class Parsed(NamedTuple):
    """One CloudEvent, as `Publisher.send` takes it."""

    message: Message
    id: str
    time: datetime | None
    source: str
    extensions: list[tuple[str, bytes]]


class _Event(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """The attributes that nearly every event has; one with others is read the longer way."""

    specversion: str
    type: str
    id: str
    source: str
    data: msgspec.Raw
    time: str | None = None
    subject: str | None = None


class CloudEvents:
    """Reads the CloudEvents that may be published to a domain; `BadInput` says what is wrong and what is known.

    `also` are further domains whose types may be among them.
    """

    def __init__(self, domain: Domain, *also: Domain) -> None:
        self._domain = domain.name
        published = {name: cls for each in (*also, domain) for name, (cls, _) in each.published().items()}
        self._readers = {name: _reader(cls) for name, cls in published.items()}
        if not self._readers:
            raise BadInput(f"nothing can be published to {domain.name}")
        self._event = msgspec.json.Decoder(_Event).decode
        self._object = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode

    @property
    def types(self) -> list[str]:
        """Names of what can be published."""
        return list(self._readers)

    def lines(self, file: Lines, first: int = 1) -> Iterator[Parsed]:
        """Every line's event, from the `first` on; blank lines are skipped. An error names its line, counted from 1."""
        number = 0
        while line := file.readline(LINE_BYTES_MAX + 1):
            number += 1
            if number < first or line.isspace():
                continue
            try:
                yield self.parse(line)
            except BadInput as error:
                raise BadLine(number, str(error)) from None

    def parse(self, text: bytes) -> Parsed:
        """One event. Raises `BadInput`."""
        if len(text) > LINE_BYTES_MAX:
            raise BadInput(f"longer than the limit of {LINE_BYTES_MAX} bytes")
        try:
            event, extensions = self._event(text), list[tuple[str, bytes]]()
        except msgspec.ValidationError:
            event, extensions = self._unusual(text)
        except msgspec.DecodeError as error:
            replaced = _BARE.sub(lambda found: _STAND_INS.get(found.group(), found.group()), text)
            if replaced == text:
                raise BadInput(f"not JSON: {error}") from None
            return self.parse(replaced)
        if event.specversion != "1.0":
            raise BadInput(f'specversion is {event.specversion!r}; what is read here is "1.0"')
        if not event.id or not event.source:
            raise BadInput(f"{'source' if event.id else 'id'} is empty")
        message = self.message(event.type, event.data)
        if event.subject is not None and event.subject != message.stream:
            raise BadInput(f"subject is {event.subject!r}, but {message.stream_field} is {message.stream!r}")
        return Parsed(message, event.id, _time(event.time), event.source, extensions)

    def message(self, type_name: str, data: bytes | msgspec.Raw) -> Message:
        """The message of a type's JSON object. Raises `BadInput`."""
        read = self._readers.get(type_name)
        if read is None:
            raise BadInput(f"type {type_name!r} is none of {self._domain}'s; known are {', '.join(self._readers)}")
        try:
            message: Message = read(data)
        except msgspec.ValidationError as error:
            known = ", ".join(_fields(read.cls))
            raise BadInput(f"data of {type_name}: {_plain(error)}; its fields are {known}") from None
        except msgspec.DecodeError as error:
            replaced = _BARE.sub(lambda found: _STAND_INS.get(found.group(), found.group()), bytes(data))
            if replaced == bytes(data):
                raise BadInput(f"data of {type_name}: not JSON: {error}") from None
            return self.message(type_name, replaced)
        return message

    def _unusual(self, text: bytes) -> tuple[_Event, list[tuple[str, bytes]]]:
        """An event with further attributes, or one that is wrong."""
        try:
            members = self._object(text)
        except msgspec.ValidationError:
            raise BadInput("not a CloudEvent: a JSON object is expected") from None
        missing = [name for name in ("specversion", "type", "id", "source", "data") if name not in members]
        if "data_base64" in members:
            raise BadInput("data_base64 is not read here; give the data as a JSON object")
        if missing:
            raise BadInput(f"not a CloudEvent: {', '.join(missing)} missing")
        content = members.get("datacontenttype")
        if content is not None and not bytes(content).startswith(b'"application/json'):
            raise BadInput(f"datacontenttype is {bytes(content).decode()}; what is read here is application/json")
        known = {name: members[name] for name in _Event.__struct_fields__ if name in members}
        try:
            event = msgspec.json.decode(msgspec.json.encode(known), type=_Event)
        except msgspec.ValidationError as error:
            raise BadInput(f"not a CloudEvent: {_plain(error)}") from None
        return event, [_extension(name, raw) for name, raw in members.items() if name not in _OWN]


def _extension(name: str, raw: msgspec.Raw) -> tuple[str, bytes]:
    if not _EXTENSION_NAME.fullmatch(name):
        raise BadInput(f"attribute {name!r} is none: names have 1 to 20 characters, a to z and 0 to 9")
    if name in _KERNELS:
        raise BadInput(f"attribute {name!r} is written by deciders only")
    try:
        value = msgspec.json.decode(raw, type=str | int | bool)
    except msgspec.ValidationError:
        raise BadInput(f"attribute {name!r} must be a string, an integer or a boolean") from None
    shown = value if isinstance(value, str) else bytes(raw).decode()
    written = shown.encode()
    if len(written) > HEADER_BYTES_MAX:
        raise BadInput(f"attribute {name!r} has {len(written)} bytes, over the limit of {HEADER_BYTES_MAX}")
    return (name if name in _UNPREFIXED else f"ce_{name}"), written


def _time(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        return parse_time(text)
    except (ValueError, OverflowError) as error:
        raise BadInput(f"time {text[:60]!r} cannot be read: {error}") from None


def _fields(cls: type[Message]) -> Iterator[str]:
    for field in msgspec.structs.fields(cls):
        yield field.name if field.required else f"{field.name} (optional)"


def _plain(error: Exception) -> str:
    return str(error).replace("Object ", "").replace("`", "'")


class _reader:  # noqa: N801 - a function that also tells its class
    """From a JSON object to a message of the class, or to a record within one."""

    def __init__(self, cls: type[Any]) -> None:
        self.cls = cls
        hints = get_type_hints(cls, include_extras=True)
        declared: list[tuple[Any, ...]] = []
        self._numbers: list[tuple[str, Callable[[msgspec.Raw, str], Any]]] = []
        for field in msgspec.structs.fields(cls):
            kind = _number_kind(hints[field.name]) or _records_kind(hints[field.name])
            if kind is not None:
                self._numbers.append((field.name, kind))
            hint = hints[field.name] if kind is None else msgspec.Raw
            required = field.required or kind is not None
            declared.append((field.name, hint) if required else (field.name, hint, field.default))
        self._fields = tuple(field.name for field in msgspec.structs.fields(cls))
        shape = msgspec.defstruct(cls.__name__, declared, forbid_unknown_fields=True, kw_only=True, gc=False)
        self._decode = msgspec.json.Decoder(shape).decode

    def __call__(self, data: bytes | msgspec.Raw) -> Any:
        values = msgspec.structs.asdict(self._decode(data))
        for name, read in self._numbers:
            values[name] = read(values[name], name)
        return self.cls(**values)


def _number_kind(hint: Any) -> Callable[[msgspec.Raw, str], Any] | None:
    """How a field is read whose digits must stay as they are; None for any other."""
    if "number" in get_args(hint)[1:]:
        return _as_text
    if any(isinstance(note, Digits) for note in get_args(hint)[1:]):
        return _as_decimal
    return None


def _records_kind(hint: Any) -> Callable[[msgspec.Raw, str], Any] | None:
    """How a field is read that holds a record, or a list of them; None for any other."""
    origin, args = get_origin(hint), get_args(hint)
    if origin is tuple and _is_record(args[0]):
        read = _reader(args[0])
        each = msgspec.json.Decoder(list[msgspec.Raw]).decode
        return lambda raw, name: tuple(_within(read, part, f"{name}[{at}]") for at, part in enumerate(each(raw)))
    if _is_record(hint):
        record = _reader(hint)
        return lambda raw, name: _within(record, raw, name)
    return None


def _is_record(hint: Any) -> bool:
    return isinstance(hint, type) and issubclass(hint, msgspec.Struct)


def _within(read: _reader, raw: msgspec.Raw, name: str) -> Any:
    try:
        return read(raw)
    except msgspec.ValidationError as error:
        raise msgspec.ValidationError(f"{error}, in '{name}'") from None


def _as_text(raw: msgspec.Raw, name: str) -> str:
    token = bytes(raw)
    first = token[:1]
    if first == b'"':
        return str(msgspec.json.decode(token, type=str))
    if first == b"-" or first.isdigit():
        return _NAMES.get(token) or token.decode()
    raise msgspec.ValidationError(f"Expected a number or a string that holds one - at '$.{name}'")


def _as_decimal(raw: msgspec.Raw, name: str) -> Decimal:
    try:
        return decimals.parse(_as_text(raw, name), name)
    except Refused as refused:  # nobody decides a fact, so nobody else could refuse it
        raise msgspec.ValidationError(refused.reason) from None
