"""The Avro schema of a message class, and the two ways between its values and Avro's."""

from __future__ import annotations

import json
import types
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

import fastavro
import msgspec

from eventlog.message import Digits, Message

Convert = Callable[[Any], Any]
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
DECIMAL_BYTES_MAX = 40
"""Of one decimal on the wire: more than the widest one declared here has, less than what arithmetic would round."""


def record_name(cls: type[Message]) -> str:
    """Full name of the Avro record, which is also the registry's subject (RecordName strategy)."""
    return f"{cls.namespace}.{cls.__name__}"


def record_names(cls: type[Message]) -> list[str]:
    """Full names under which records of a class were ever written, the one of now first."""
    return [record_name(cls), *(f"{cls.namespace}.{name}" for name in cls.formerly)]


def avro_schema(cls: type[msgspec.Struct], namespace: str | None = None) -> dict[str, Any]:
    """Avro record of a class: a field with a default has that default, `X | None` is a union with null.

    A record class that is used a second time is there by its name: Avro defines a name once.
    """
    return _record_schema(cls, namespace, {})


def _record_schema(cls: type[msgspec.Struct], namespace: str | None, named: dict[str, type]) -> dict[str, Any]:
    """The definition of a record; `named` are the classes that are defined so far, by their names."""
    named[cls.__name__] = cls
    hints = get_type_hints(cls, include_extras=True)
    fields = []
    for item in msgspec.structs.fields(cls):
        declared: dict[str, Any] = {"name": item.name, "type": _avro_type(hints[item.name], named)}
        if not item.required:
            declared["default"] = _avro_default(item, optional=isinstance(declared["type"], list))
        earlier = getattr(cls, "renamed", {}).get(item.name)
        if earlier:
            declared["aliases"] = list(earlier)
        fields.append(declared)
    schema: dict[str, Any] = {"type": "record", "name": cls.__name__, "fields": fields}
    space = namespace or getattr(cls, "namespace", None)
    if space:
        schema["namespace"] = space
    if getattr(cls, "formerly", ()):
        schema["aliases"] = list(cls.formerly)  # type: ignore[attr-defined]  # as a message has it
    if cls.__doc__:
        schema["doc"] = cls.__doc__.strip().splitlines()[0]
    return schema


def _avro_default(item: msgspec.structs.FieldInfo, *, optional: bool) -> Any:
    """Avro holds the default of a union to its first branch, which here is null."""
    default = item.default if item.default_factory is msgspec.NODEFAULT else item.default_factory()
    if default is None or (not optional and (type(default) in (str, int, bool, float) or default in ([], (), {}))):
        return [] if default == () else default
    raise TypeError(f"a schema cannot keep the default {default!r} of {item.name}; make the field `| None = None`")


def schema_text(cls: type[Message]) -> str:
    """What is committed as `<Name>.avsc` and registered, to the letter."""
    return json.dumps(avro_schema(cls), indent=2, ensure_ascii=False) + "\n"


def physical(schema: Any) -> Any:
    """The schema without logical types: what fastavro reads and writes, so that conversion is ours alone."""
    if isinstance(schema, list):
        return [physical(branch) for branch in schema]
    if not isinstance(schema, dict):
        return schema
    if "logicalType" in schema:
        return schema["type"]
    kept = {k: v for k, v in schema.items() if k not in ("doc", "__fastavro_parsed__", "__named_schemas")}
    if kept["type"] == "record":
        kept["fields"] = [{**f, "type": physical(f["type"])} for f in kept["fields"]]
    elif kept["type"] == "array":
        kept["items"] = physical(kept["items"])
    elif kept["type"] == "map":
        kept["values"] = physical(kept["values"])
    return kept


def parse_physical(text: str) -> Any:
    """A writer's schema as fastavro wants it; raises fastavro's `SchemaParseException`."""
    return fastavro.parse_schema(physical(json.loads(text)))


def expanded(schema: Any) -> Any:
    """The schema with the definition of each record wherever one is used; within itself a record stays a name."""
    return _expanded(schema, {}, frozenset())


def _expanded(schema: Any, named: dict[str, Any], inside: frozenset[str]) -> Any:
    if isinstance(schema, list):
        return [_expanded(branch, named, inside) for branch in schema]
    if isinstance(schema, str):
        name = schema.rpartition(".")[2]
        return _expanded(named[name], named, inside) if name in named and name not in inside else schema
    if not isinstance(schema, dict):
        return schema
    kept = dict(schema)
    if kept["type"] == "record":
        name = kept["name"].rpartition(".")[2]
        named[name] = schema
        kept["fields"] = [{**f, "type": _expanded(f["type"], named, inside | {name})} for f in kept["fields"]]
    for part in ("items", "values"):
        if part in kept:
            kept[part] = _expanded(kept[part], named, inside)
    return kept


def logical_types(schema: Any) -> dict[str, tuple[str | None, int]]:
    """What the plain values of a schema mean: logical type and scale by path, under earlier names of fields too."""
    return dict(_meanings(expanded(schema), ""))


def _meanings(schema: Any, path: str) -> Iterator[tuple[str, tuple[str | None, int]]]:
    if isinstance(schema, list):
        for branch in schema:
            yield from _meanings(branch, path)
    elif not isinstance(schema, dict):
        if schema != "null":
            yield path, (None, 0)
    elif schema["type"] == "record":
        for field in schema["fields"]:
            for name in (field["name"], *field.get("aliases", ())):
                yield from _meanings(field["type"], f"{path}.{name}")
    elif "items" in schema or "values" in schema:
        yield from _meanings(schema.get("items") or schema["values"], f"{path}[]")
    else:
        yield path, (schema.get("logicalType"), schema.get("scale", 0))


_PRIMITIVES: dict[Any, Any] = {str: "string", int: "long", bool: "boolean", float: "double", bytes: "bytes"}


def _avro_type(hint: Any, named: dict[str, type]) -> Any:
    origin, args = get_origin(hint), get_args(hint)
    if origin is Annotated:
        digits = args[1]
        if isinstance(digits, Digits):
            return {"type": "bytes", "logicalType": "decimal", "precision": digits.precision, "scale": digits.scale}
        return _avro_type(args[0], named)
    if origin in (Union, types.UnionType) and len(args) == 2 and type(None) in args:
        (inner,) = (a for a in args if a is not type(None))
        return ["null", _avro_type(inner, named)]
    if origin in (tuple, list):
        return {"type": "array", "items": _avro_type(args[0], named)}
    if origin is dict and args[0] is str:
        return {"type": "map", "values": _avro_type(args[1], named)}
    if hint is datetime:
        return {"type": "long", "logicalType": "timestamp-micros"}
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        return _part_schema(hint, named)
    try:
        return _PRIMITIVES[hint]
    except (KeyError, TypeError):
        raise TypeError(
            f"{hint!r} has no Avro type here; use str, int, bool, Money, datetime, a record or a list"
        ) from None


def _part_schema(cls: type[msgspec.Struct], named: dict[str, type]) -> Any:
    """A record within a record: its definition, or its name where it was defined before."""
    known = named.get(cls.__name__)
    if known is None:
        return _record_schema(cls, None, named)
    if known is not cls:
        raise TypeError(f"two classes are called {cls.__name__} in one message; give one of them another name")
    space = getattr(cls, "namespace", None)
    return f"{space}.{cls.__name__}" if space else cls.__name__


def decimal_to_bytes(scale: int) -> Convert:
    """Avro `decimal`: the unscaled number, big-endian two's complement (Avro specification, Logical Types)."""

    def convert(number: Decimal) -> bytes:
        scaled = number.scaleb(scale)
        unscaled = int(scaled)
        if unscaled != scaled:
            raise ValueError(f"{number} has more than {scale} places; round it with eventlog.decimals.places")
        return unscaled.to_bytes((unscaled.bit_length() >> 3) + 1, "big", signed=True)

    return convert


def bytes_to_decimal(scale: int) -> Convert:
    """The reverse of `decimal_to_bytes`."""
    from_bytes = int.from_bytes

    def convert(raw: bytes) -> Decimal:
        if len(raw) > DECIMAL_BYTES_MAX:
            raise ValueError(f"a decimal of {len(raw)} bytes")
        return Decimal(from_bytes(raw, "big", signed=True)).scaleb(-scale)

    return convert


def time_to_micros(time: datetime) -> int:
    return (time - _EPOCH) // _MICROSECOND


def micros_to_time(micros: int) -> datetime:
    return _EPOCH + micros * _MICROSECOND


def encoder(hint: Any) -> Convert | None:
    """From a Python value to what fastavro writes; None where they are the same."""
    return _conversion(hint, decimal_to_bytes, time_to_micros, _record_encoder)


def decoder(hint: Any) -> Convert | None:
    """From what fastavro reads to the Python value; None where they are the same."""
    return _conversion(hint, bytes_to_decimal, micros_to_time, _record_decoder)


def conversions(cls: type[msgspec.Struct], make: Callable[[Any], Convert | None]) -> list[tuple[str, Convert]]:
    """The fields of a class that need a conversion, with it."""
    hints = get_type_hints(cls, include_extras=True)
    made = ((item.name, make(hints[item.name])) for item in msgspec.structs.fields(cls))
    return [(name, convert) for name, convert in made if convert is not None]


def _conversion(
    hint: Any, number: Callable[[int], Convert], time: Convert, record: Callable[[Any], Convert]
) -> Convert | None:
    origin, args = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return number(args[1].scale) if isinstance(args[1], Digits) else None
    if origin in (Union, types.UnionType):
        inner = _conversion(next(a for a in args if a is not type(None)), number, time, record)
        return inner and (lambda value: None if value is None else inner(value))
    if origin in (tuple, list):
        each = _conversion(args[0], number, time, record)
        as_tuple = origin is tuple
        if each is None:
            return tuple if as_tuple else None
        change: Convert = each
        return lambda values: tuple(map(change, values)) if as_tuple else list(map(change, values))
    if origin is dict:
        each = _conversion(args[1], number, time, record)
        return each and (lambda values: {k: each(v) for k, v in values.items()})
    if hint is datetime:
        return time
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        return record(hint)
    return None


def _record_encoder(cls: type[msgspec.Struct]) -> Convert:
    return to_fields(cls)


def _record_decoder(cls: type[msgspec.Struct]) -> Convert:
    return from_fields(cls)


def to_fields(cls: type[msgspec.Struct]) -> Convert:
    """From an instance to the dict that fastavro writes."""
    converted = conversions(cls, encoder)
    asdict = msgspec.structs.asdict
    if not converted:
        return asdict

    def convert(message: msgspec.Struct) -> dict[str, Any]:
        fields = asdict(message)
        for name, change in converted:
            fields[name] = change(fields[name])
        return fields

    return convert


def from_fields(cls: type[msgspec.Struct]) -> Convert:
    """From the dict that fastavro read to an instance."""
    converted = conversions(cls, decoder)

    def convert(fields: dict[str, Any]) -> msgspec.Struct:
        for name, change in converted:
            fields[name] = change(fields[name])
        return cls(**fields)

    return convert
