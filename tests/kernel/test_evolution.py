"""A change that could not read older facts is named by its field; every other one reads them."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import fastavro
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventlog.evolution import unreadable
from eventlog.schema import physical
from tests.kernel.schemas import DECIMAL, change, fields, plain_types, record

STRING = {"name": "a", "type": "string"}


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ([], [{"name": "fee", "type": "string"}],
         "Changed.fee: a new field without a default cannot read older facts; give it a default"),
        ([STRING], [{"name": "b", "type": "string"}],
         "Changed.b: a new field without a default cannot read older facts; give it a default, "  # noqa: ISC004
         'or say `renamed = {"b": ("a",)}` if it was a'),
        ([STRING], [{"name": "a", "type": "long"}],
         "Changed.a: was string, is long, which cannot read older facts; "  # noqa: ISC004
         "make it a new field, or a new event with an upcaster from the old one"),
        ([{"name": "a", "type": ["null", "string"]}], [STRING],
         "Changed.a: older facts may have no value here (it was `| None`); keep `| None`"),
        ([{"name": "a", "type": DECIMAL}], [{"name": "a", "type": {**DECIMAL, "scale": 2}}],
         "Changed.a: was decimal of 12 places, is decimal of 2 places, which cannot read older facts; "  # noqa: ISC004
         "make it a new field, or a new event with an upcaster from the old one"),
        ([{"name": "a", "type": {"type": "array", "items": record([], "Line")}}],
         [{"name": "a", "type": {"type": "array", "items": record([STRING], "Line")}}],
         "Changed.a[].a: a new field without a default cannot read older facts; give it a default"),
    ],
)  # fmt: skip
def test_the_field_and_what_to_do(before: list[Any], after: list[Any], said: str) -> None:
    assert unreadable(record(after), record(before)) == [said]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ([], [{"name": "fee", "type": "string", "default": ""}]),
        ([STRING], []),
        ([STRING], [{"name": "b", "type": "string", "aliases": ["a"]}]),
        ([STRING], [{"name": "a", "type": ["null", "string"], "default": None}]),
        ([{"name": "a", "type": "long"}], [{"name": "a", "type": "double"}]),
        ([{"name": "a", "type": DECIMAL}], [{"name": "a", "type": {**DECIMAL, "precision": 76}}]),
    ],
)
def test_what_may_change(before: list[Any], after: list[Any]) -> None:
    assert unreadable(record(after), record(before)) == []


@given(before=fields(plain_types()), data=st.data())
def test_what_is_readable_is_read(before: list[Any], data: st.DataObject) -> None:
    """The library that reads facts agrees: no error for any value of a schema that is called readable."""
    after = data.draw(change(before, plain_types()))
    if unreadable(record(after), record(before)):
        return
    written = data.draw(values(before))
    schema = fastavro.parse_schema(physical(record(before)))
    out = BytesIO()
    fastavro.schemaless_writer(out, schema, written)
    out.seek(0)
    read: Any = fastavro.schemaless_reader(out, schema, fastavro.parse_schema(physical(record(after))))
    assert read == read_as(record(after), written)


def read_as(of: Any, written: Any) -> Any:
    """The value as a field of this type holds it: what is no longer there is left out, what is new has its default."""
    if isinstance(of, list):
        return None if written is None else read_as(of[1], written)
    match of["type"] if isinstance(of, dict) else of:
        case "record":
            names = {f["name"]: [n for n in (f["name"], *f.get("aliases", ())) if n in written] for f in of["fields"]}
            return {
                f["name"]: read_as(f["type"], written[found[0]]) if (found := names[f["name"]]) else f["default"]
                for f in of["fields"]
            }
        case "array":
            return [read_as(of["items"], each) for each in written]
        case "map":
            return {key: read_as(of["values"], each) for key, each in written.items()}
        case "string" if isinstance(written, bytes):
            return written.decode()
        case "bytes" if isinstance(written, str):
            return written.encode()
    return written


def values(of: list[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({field["name"]: value(field["type"]) for field in of})


def value(of: Any) -> st.SearchStrategy[Any]:
    if isinstance(of, list):
        return st.none() | value(of[1])
    match of["type"] if isinstance(of, dict) else of:
        case "string":
            return st.text("abc", max_size=3)
        case "bytes":
            return st.binary(max_size=3).map(lambda raw: bytes(b & 127 for b in raw))
        case "boolean":
            return st.booleans()
        case "array":
            return st.lists(value(of["items"]), max_size=2)
        case "map":
            return st.dictionaries(st.text("ab", max_size=2), value(of["values"]), max_size=2)
        case "record":
            return values(of["fields"])
    return st.integers(-9, 9)
