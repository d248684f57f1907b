"""A class is its schema: each kind of field has one Avro type."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any, ClassVar

import fastavro
import msgspec
import pytest

from eventlog.message import Event, Money
from eventlog.schema import avro_schema, logical_types, physical, record_name
from tests.kernel.messages import Everything, Line, Order, placed_later

MONEY = {"type": "bytes", "logicalType": "decimal", "precision": 38, "scale": 12}


def types_of(cls: type[msgspec.Struct]) -> dict[str, Any]:
    return {field["name"]: field["type"] for field in avro_schema(cls)["fields"]}


def test_each_kind_of_field_has_its_type() -> None:
    assert types_of(Everything) == {
        "key": "string",
        "count": "long",
        "flag": "boolean",
        "ratio": "double",
        "raw": "bytes",
        "money": MONEY,
        "large": {**MONEY, "precision": 76},
        "time": {"type": "long", "logicalType": "timestamp-micros"},
        "maybe": ["null", MONEY],
        "note": ["null", "string"],
        "lines": {"type": "array", "items": avro_schema(Line)},
        "tags": {"type": "array", "items": "string"},
        "rates": {"type": "map", "values": MONEY},
    }
    assert types_of(Order)["amount"] == "string"


def test_a_schema_says_its_name_and_its_rule() -> None:
    schema = avro_schema(Everything)
    assert record_name(Everything) == f"{schema['namespace']}.{schema['name']}" == "onefact.test.Everything"
    assert schema["doc"] == "Has a field of every kind."


def test_defaults_are_those_of_the_class() -> None:
    defaults = {f["name"]: f["default"] for f in avro_schema(Everything)["fields"] if "default" in f}
    assert defaults == {"note": None, "lines": [], "tags": [], "rates": {}}


def test_earlier_names_of_fields_are_aliases() -> None:
    fields = {f["name"]: f for f in avro_schema(placed_later())["fields"]}
    assert fields["total"]["aliases"] == ["amount"]
    assert "aliases" not in fields["key"]


def event_with(hint: Any, default: Any = msgspec.NODEFAULT) -> type[msgspec.Struct]:
    field = ("value", hint) if default is msgspec.NODEFAULT else ("value", hint, default)
    return msgspec.defstruct("Made", [field], kw_only=True)


@pytest.mark.parametrize("hint", [set[str], Decimal, object, dict[int, str], str | int, Any, complex])
def test_a_field_of_another_kind_is_an_error(hint: Any) -> None:
    with pytest.raises(TypeError, match="has no Avro type here"):
        avro_schema(event_with(hint))


@pytest.mark.parametrize(("hint", "default"), [(Money, Decimal(1)), (str | None, "x"), (list[str], ["x"])])
def test_a_default_that_a_schema_cannot_keep_is_an_error(hint: Any, default: Any) -> None:
    made = event_with(hint, default if not isinstance(default, list) else msgspec.field(default_factory=lambda: ["x"]))
    with pytest.raises(TypeError, match="cannot keep the default"):
        avro_schema(made)


def test_a_physical_schema_has_no_logical_types() -> None:
    schema = fastavro.parse_schema(physical(avro_schema(Everything)))
    assert "logicalType" not in str(schema)


def test_logical_types_are_found_at_any_depth_and_under_earlier_names() -> None:
    found = logical_types(avro_schema(Everything))
    assert found[".money"] == found[".maybe"] == found[".lines[].price"] == found[".rates[]"] == ("decimal", 12)
    assert found[".time"] == ("timestamp-micros", 0)
    assert found[".key"] == found[".tags[]"] == (None, 0)
    later = logical_types(avro_schema(placed_later()))
    assert later[".amount"] == later[".total"] == ("decimal", 12)


def test_the_stream_is_the_field_that_the_class_names() -> None:
    class Moved(Event, frozen=True, kw_only=True):
        stream_field: ClassVar[str] = "number"
        namespace: ClassVar[str] = "onefact.test"

        number: int

    assert Moved(number=7).stream == "7"


def frozen(change: Callable[[], None]) -> None:
    with pytest.raises(AttributeError):
        change()


def test_messages_are_frozen() -> None:
    order = Order(key="k", amount="1")
    frozen(lambda: setattr(order, "amount", "2"))
