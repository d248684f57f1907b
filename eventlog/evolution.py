"""Whether facts that were written with one schema can be read with another, by field, and what to do where not.

The rules are Avro's ("Schema Resolution" in its specification, as registries check BACKWARD), and one more: bytes
that mean something else, such as a decimal of another scale, cannot be read either.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from eventlog.schema import expanded

NEW_NAME = "make it a new field, or a new event with an upcaster from the old one"
PROMOTED = {
    "int": {"long", "float", "double"}, "long": {"float", "double"}, "float": {"double"},
    "string": {"bytes"}, "bytes": {"string"},
}  # fmt: skip
"""What Avro reads as another type, by what was written."""


def unreadable(reader: Mapping[str, Any], writer: Mapping[str, Any]) -> list[str]:
    """Why records of `writer` cannot be read as `reader`, a sentence for each field; empty when they can.

    Both are record schemas. Their own names are not compared: whoever pairs them knows that they belong together.
    """
    return list(_record(expanded(reader), expanded(writer), str(reader["name"])))


def _record(reader: Mapping[str, Any], writer: Mapping[str, Any], path: str) -> Iterator[str]:
    written = {field["name"]: field for field in writer["fields"]}
    known = {name for field in reader["fields"] for name in _names(field)}
    for field in reader["fields"]:
        place = f"{path}.{field['name']}"
        match = next((written[name] for name in _names(field) if name in written), None)
        if match is not None:
            yield from _type(field["type"], match["type"], place)
        elif "default" not in field:
            # A field of the same type that nobody reads any more: perhaps it was only given another name.
            lost = [name for name, old in written.items() if name not in known and old["type"] == field["type"]]
            renamed = "".join(f', or say `renamed = {{"{field["name"]}": ("{old}",)}}` if it was {old}' for old in lost)
            yield f"{place}: a new field without a default cannot read older facts; give it a default{renamed}"


def _names(field: Mapping[str, Any]) -> Iterable[str]:
    return (field["name"], *field.get("aliases", ()))


def _type(reader: Any, writer: Any, path: str) -> Iterator[str]:
    if isinstance(writer, list):
        if isinstance(reader, list) or len(writer) == 1:
            for branch in writer:
                yield from _branch(reader, branch, path)
        else:
            yield f"{path}: older facts may have no value here (it was `| None`); keep `| None`"
    else:
        yield from _branch(reader, writer, path)


def _branch(reader: Any, writer: Any, path: str) -> Iterator[str]:
    """One type as it was written, against what reads it."""
    if isinstance(reader, list):
        tried = [list(_branch(branch, writer, path)) for branch in reader if (branch == "null") == (writer == "null")]
        if all(tried):
            yield from min(tried, key=len, default=[f"{path}: {_say(writer)} cannot be read as {_say(reader)}"])
        return
    kinds = _kind(reader), _kind(writer)
    if kinds == ("record", "record"):
        if reader["name"] != writer["name"]:
            yield f"{path}: was the record {writer['name']}, is {reader['name']}; keep the record's name"
            return
        yield from _record(reader, writer, path)
    elif kinds == ("array", "array"):
        yield from _type(reader["items"], writer["items"], f"{path}[]")
    elif kinds == ("map", "map"):
        yield from _type(reader["values"], writer["values"], f"{path}[]")
    elif _meaning(reader) != _meaning(writer) or (kinds[0] != kinds[1] and kinds[0] not in PROMOTED.get(kinds[1], ())):
        yield f"{path}: was {_say(writer)}, is {_say(reader)}, which cannot read older facts; {NEW_NAME}"


def _kind(schema: Any) -> str:
    return str(schema["type"]) if isinstance(schema, dict) else str(schema)


def _meaning(schema: Any) -> tuple[Any, ...]:
    return (schema.get("logicalType"), schema.get("scale", 0)) if isinstance(schema, dict) else (None, 0)


def _say(schema: Any) -> str:
    if isinstance(schema, list):
        return " or ".join(map(_say, schema))
    if isinstance(schema, dict) and "logicalType" in schema:
        scale = f" of {schema['scale']} places" if "scale" in schema else ""
        return f"{schema['logicalType']}{scale}"
    return f"{_kind(schema)} {schema['name']}" if isinstance(schema, dict) and "name" in schema else _kind(schema)
