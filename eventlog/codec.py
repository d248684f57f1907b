"""Messages to bytes and back: Avro in the Confluent wire format (a zero byte, the schema id, the record)."""

from __future__ import annotations

import json
import struct
from collections import deque
from collections.abc import Callable, Collection, Iterable, Sequence
from io import BytesIO
from typing import Any, Protocol

import fastavro

from eventlog.compiled import compile_decoder, compile_encoder
from eventlog.errors import Poison, Superseded, UnknownSchema
from eventlog.message import Message
from eventlog.schema import (
    Convert,
    from_fields,
    logical_types,
    parse_physical,
    record_name,
    record_names,
    schema_text,
    to_fields,
)
from eventlog.topics import RECORD_BYTES_MAX, Topic, Upcaster

MAGIC = 0
UNKNOWN_MAX = 50_000
"""Schema ids remembered that the registry does not know; more than any batch has records."""
PREFIX = struct.Struct(">bI")

UPCASTS_MAX = 1000
"""Of one record, so that upcasters that lead to one another are found out."""

Encode = Callable[[Message], bytes]
Decode = Callable[[bytes], Message]


class Schemas(Protocol):
    """The registry, as a codec needs it. Raises `ServiceAway` when it does not answer."""

    def register(self, subject: str, text: str) -> int:
        """Id of the schema under the subject, registered if it is new."""

    def lookup(self, schema_id: int) -> str | None:
        """Text of the schema; None when the registry does not know the id."""


class Codec:
    """Encodes and decodes the messages of the given classes.

    Schema ids met on the wire are resolved once, by `learn`; `decode` itself never does I/O.
    """

    def __init__(self, schemas: Schemas, classes: Iterable[type[Message]], upcasters: Iterable[Upcaster] = ()) -> None:
        self._schemas = schemas
        self._classes = {record_name(cls): cls for cls in classes}
        self._upcasters = {upcaster.old: upcaster for upcaster in upcasters}
        self._earlier = {
            **{name: Upcaster(cls, _itself) for cls in self._classes.values() for name in record_names(cls)[1:]},
            **{name: upcaster for old, upcaster in self._upcasters.items() for name in record_names(old)},
        }
        """What records of names that are no longer written mean today."""
        self._own: dict[str, Any] = {}
        self._encoders: dict[type[Message], Encode] = {}
        self._decoders: dict[int, tuple[type[Message] | Upcaster | None, Decode | str]] = {}
        self._unknown: deque[int] = deque()
        for cls in self._classes.values():
            self._register(cls)

    def _register(self, cls: type[Message]) -> None:
        text = schema_text(cls)
        name = record_name(cls)
        parsed = self._own[name] = parse_physical(text)
        schema_id = self._schemas.register(name, text)
        self._encoders[cls] = _encoder(cls, parsed, PREFIX.pack(MAGIC, schema_id))
        self._decoders[schema_id] = (cls, _decoder(cls, parsed, parsed))

    def encode(self, message: Message) -> bytes:
        """The record's value."""
        return self._encoders[type(message)](message)

    def encoder(self, cls: type[Message]) -> Encode:
        """`encode` for one class, for loops."""
        return self._encoders[cls]

    def decode(self, value: bytes | None, topic: Topic) -> Message:
        """The message of a record's value.

        Raises `Poison` when it is none of the topic's, `UnknownSchema` when `learn` has to be asked first, and
        `Superseded` with the messages of now for a record of a class or a name that is no longer written.
        """
        return self._found(value, topic)(value)  # type: ignore[arg-type]  # what has a decoder is not None

    def decoder(self, topic: Topic, wanted: Collection[type[Message]] | None = None) -> Callable[[bytes | None], Any]:
        """`decode` for one topic, for loops; None for messages whose class is not `wanted`, which are not read."""
        known: dict[bytes, Callable[[bytes], Message | None]] = {}

        def decode(value: bytes | None) -> Message | None:
            try:
                read = known[value[:5]]  # type: ignore[index]  # no value has no prefix, and is looked at below
            except (KeyError, TypeError):
                found = self._found(value, topic)
                cls = self._decoders[int.from_bytes(value[1:5], "big")][0]  # type: ignore[index]
                read = found if wanted is None or cls in wanted or isinstance(cls, Upcaster) else _unread
                known[value[:5]] = read  # type: ignore[index]
            if len(value) > RECORD_BYTES_MAX:  # type: ignore[arg-type]
                raise _too_large(value)  # type: ignore[arg-type]
            return read(value)  # type: ignore[arg-type]

        return decode

    def _found(self, value: bytes | None, topic: Topic) -> Decode:
        """What decodes the value, by the schema id that it starts with."""
        if not value:
            raise Poison("no_value", "the record has no value")
        if len(value) > RECORD_BYTES_MAX:
            raise _too_large(value)
        if len(value) < PREFIX.size or value[0] != MAGIC:
            raise Poison("bad_magic", "the value does not start with Confluent's zero byte and a schema id")
        schema_id = int.from_bytes(value[1:5], "big")
        found = self._decoders.get(schema_id)
        if found is None:
            raise UnknownSchema(schema_id)
        cls, decode = found
        if cls is None or isinstance(decode, str):
            raise Poison("unknown_schema", str(decode))
        if isinstance(cls, Upcaster):
            return self._upcasting(cls, decode, topic)
        if cls not in topic.types:
            raise Poison(
                "wrong_schema", f"schema id {schema_id} is {record_name(cls)}, which {topic.name} does not carry"
            )
        return decode

    def messages(self, value: bytes | None, topic: Topic) -> Sequence[Message]:
        """What a record means today, for readers of a few; asks the registry where need be. Raises `Poison`."""
        while True:
            try:
                return (self.decode(value, topic),)
            except Superseded as old:
                return old.messages
            except UnknownSchema as unknown:
                self.learn(unknown.schema_id)

    def _upcasting(self, upcaster: Upcaster, decode: Decode, topic: Topic) -> Decode:
        def supersede(value: bytes) -> Message:
            # Raised, so that records of the classes of now are not asked whether they are one message or several.
            raise Superseded(self._upcast(upcaster, decode(value), topic))

        return supersede

    def _upcast(self, upcaster: Upcaster, old: Message, topic: Topic) -> Sequence[Message]:
        """What the message means today. What an upcaster may not do is a bug of its: no fact is skipped for it."""
        found: list[Message] = []
        waiting = list(upcaster.into(old))
        for _ in range(UPCASTS_MAX):
            if not waiting:
                return found
            message = waiting.pop(0)
            following = self._upcasters.get(type(message))
            name = type(message).__name__
            if following is not None:
                waiting[:0] = following.into(message)
            elif type(message) not in topic.types:
                raise Poison(
                    "wrong_schema", f"a {type(old).__name__} is {name} today, which {topic.name} does not carry"
                )
            elif message.stream != old.stream:
                raise TypeError(f"the upcaster of {type(old).__name__} puts {name} into another stream")
            else:
                found.append(message)
        raise TypeError(f"the upcasters of {type(old).__name__} do not come to an end")

    def learn_all(self, values: Iterable[bytes | None]) -> None:
        """Learn every schema id of these records: a batch is read again once, however many it has.

        Raises as `learn` does.
        """
        for value in values:
            if value and len(value) >= PREFIX.size and value[0] == MAGIC:
                self.learn(int.from_bytes(value[1:5], "big"))

    def learn(self, schema_id: int) -> None:
        """Ask the registry for a schema id; an id that it does not know is remembered as poison.

        Raises `ServiceAway` when the registry does not answer: the caller tries again.
        """
        if schema_id in self._decoders:
            return
        text = self._schemas.lookup(schema_id)
        if text is None:
            self._decoders[schema_id] = (None, f"the registry does not know schema id {schema_id}")
            self._unknown.append(schema_id)
            if len(self._unknown) > UNKNOWN_MAX:
                self._decoders.pop(self._unknown.popleft(), None)
            return
        try:
            writer = parse_physical(text)
        except Exception as error:  # noqa: BLE001 - whatever a foreign schema raises, the record is poison
            self._decoders[schema_id] = (None, f"schema id {schema_id} is no Avro schema that can be read: {error}")
            return
        name = writer.get("name") if isinstance(writer, dict) else None
        upcaster = self._earlier.get(str(name))
        cls = upcaster.old if upcaster else self._classes.get(str(name))
        if cls is None:
            self._decoders[schema_id] = (None, f"schema id {schema_id} is {name}, which no domain here declares")
            return
        unlike = _unlike(text, schema_text(cls))
        if unlike:
            self._decoders[schema_id] = (None, f"schema id {schema_id} has another type of value in {unlike}")
            return
        reader = self._own.get(record_name(cls)) or parse_physical(schema_text(cls))
        self._decoders[schema_id] = (upcaster or cls, _decoder(cls, writer, reader))


def _itself(message: Message) -> tuple[Message, ...]:
    return (message,)


def _unlike(writer: str, reader: str) -> str:
    """Fields whose bytes mean something else to the writer, such as a decimal of another scale: Avro cannot tell."""
    written, read = logical_types(json.loads(writer)), logical_types(json.loads(reader))
    return ", ".join(sorted(path[1:] for path in written.keys() & read.keys() if written[path] != read[path]))


def _encoder(cls: type[Message], schema: Any, prefix: bytes) -> Encode:
    compiled = compile_encoder(cls, prefix)
    if compiled is not None:
        return compiled
    to_dict: Convert = to_fields(cls)
    write = fastavro.schemaless_writer

    def encode(message: Message) -> bytes:
        out = BytesIO()
        out.write(prefix)
        write(out, schema, to_dict(message))
        return out.getvalue()

    return encode


def _too_large(value: bytes) -> Poison:
    return Poison("too_large", f"the value has {len(value)} bytes, over the limit of {RECORD_BYTES_MAX}")


def _unread(_: bytes) -> None:
    """Of a class that nobody wants."""


def _decoder(cls: type[Message], writer: Any, reader: Any) -> Decode:
    def broken(error: Exception) -> Poison:
        return Poison("bad_avro", f"not a {cls.__name__} of its schema: {type(error).__name__} {error}")

    if writer == reader:
        compiled = compile_decoder(cls, PREFIX.size, broken)
        if compiled is not None:
            return compiled
    build: Convert = from_fields(cls)
    read = fastavro.schemaless_reader
    target = None if writer == reader else reader

    def decode(value: bytes) -> Message:
        source = BytesIO(value)
        source.seek(PREFIX.size)
        try:
            message: Message = build(read(source, writer, target))
        except Exception as error:  # noqa: BLE001 - fastavro raises whatever it meets in broken bytes
            raise broken(error) from None
        if source.tell() != len(value):
            raise Poison("bad_avro", f"{len(value) - source.tell()} bytes follow the {cls.__name__}")
        return message

    return decode
