"""A record class may be used more than once in a message: Avro defines it once, and names it from then on."""

from __future__ import annotations

import io
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import fastavro
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventlog import avsc
from eventlog.codec import Codec
from eventlog.compiled import compile_decoder, compile_encoder, varint
from eventlog.evolution import unreadable
from eventlog.schema import avro_schema, from_fields, logical_types, parse_physical, schema_text, to_fields
from eventlog.topics import Topic
from tests.kernel.nested import Basket, Grown, Item, Swapped
from tests.laws.registry import MemorySchemas
from tests.laws.values import messages

OWN = parse_physical(schema_text(Swapped))


def unreadable_bytes(error: Exception) -> Exception:
    return ValueError(str(error))


def test_a_record_is_defined_where_it_is_first_used_and_named_afterwards() -> None:
    types = {field["name"]: field["type"] for field in avro_schema(Swapped)["fields"]}
    assert types["given"]["name"] == "Basket"
    assert types["given"]["fields"][1]["type"]["items"]["name"] == "Item"
    assert types["taken"] == "Basket"
    assert types["kept"] == ["null", "Basket"]
    assert types["best"] == ["null", "Item"]
    fastavro.parse_schema(json.loads(schema_text(Swapped)))


def test_two_classes_of_one_name_are_an_error() -> None:
    other: Any = msgspec.defstruct("Basket", [("owner", str)])
    made: Any = msgspec.defstruct("Made", [("one", Basket), ("two", other)])
    with pytest.raises(TypeError, match="two classes are called Basket"):
        avro_schema(made)


def test_logical_types_are_found_wherever_a_record_is_used() -> None:
    found = logical_types(avro_schema(Swapped))
    for place in (".given.items[]", ".taken.items[]", ".kept.items[]", ".best"):
        assert found[f"{place}.price"] == ("decimal", 12)


@given(messages(Swapped))
def test_compiled_and_fastavro_write_and_read_the_same(message: Swapped) -> None:
    encode, decode = compile_encoder(Swapped, b""), compile_decoder(Swapped, 0, unreadable_bytes)
    assert encode is not None
    assert decode is not None
    out = io.BytesIO()
    fastavro.schemaless_writer(out, OWN, to_fields(Swapped)(message))
    assert encode(message) == out.getvalue()
    assert decode(out.getvalue()) == from_fields(Swapped)(fastavro.schemaless_reader(out_of(out), OWN, None)) == message


def out_of(written: io.BytesIO) -> io.BytesIO:
    return io.BytesIO(written.getvalue())


SMALL = Swapped(key="k", given=Basket("a", (Item("x", Decimal(1)), Item("y", Decimal(2), 3))), taken=Basket("b"))


def test_blocks_of_other_writers_are_read() -> None:
    """Avro lets a writer split a list into blocks, and say before each how many bytes it takes."""
    encode, decode = compile_encoder(Swapped, b""), compile_decoder(Swapped, 0, unreadable_bytes)
    assert encode is not None
    assert decode is not None
    raw = encode(SMALL)
    items = [b"\x02x" + b"\x0e" + (10**12).to_bytes(7, "big") + b"\x00",
             b"\x02y" + b"\x0e" + (2 * 10**12).to_bytes(7, "big") + b"\x06"]  # fmt: skip
    rest = raw[raw.rindex(b"\x02b") :]
    blocks = b"".join(varint(-1) + varint(len(item)) + item for item in items) + b"\x00"
    other = b"\x02k" + b"\x02a" + blocks + rest
    assert other != raw
    assert decode(other) == from_fields(Swapped)(fastavro.schemaless_reader(io.BytesIO(other), OWN, None)) == SMALL


@pytest.mark.parametrize("count", [1 << 40, -(1 << 40), (1 << 63) - 1, 1000])
def test_a_list_longer_than_its_record_is_broken(count: int) -> None:
    decode = compile_decoder(Swapped, 0, unreadable_bytes)
    assert decode is not None
    with pytest.raises(ValueError, match="a list of"):
        decode(b"\x02k" + b"\x02a" + varint(count) + b"\x00\x00\x00\x00")


@pytest.mark.parametrize(
    "wrong",
    [
        {"given": Item("a", Decimal(1))},
        {"given": None},
        {"given": Basket("a", (Basket("b"),))},  # type: ignore[arg-type]
        {"given": Basket("a", "text")},  # type: ignore[arg-type]
        {"tags": "text"},
        {"tags": (1,)},
        {"best": Item("a", Decimal(1), "3")},  # type: ignore[arg-type]
    ],
)
def test_what_does_not_fit_is_refused(wrong: dict[str, object]) -> None:
    encode = compile_encoder(Swapped, b"")
    assert encode is not None
    with pytest.raises(TypeError):
        encode(msgspec.structs.replace(SMALL, **wrong))


def test_a_record_that_holds_itself_is_not_compiled() -> None:
    assert compile_encoder(Grown, b"") is None
    assert compile_decoder(Grown, 0, unreadable_bytes) is None
    assert logical_types(avro_schema(Grown)).keys() >= {".root.name"}


def test_an_earlier_schema_of_a_part_is_resolved(tmp_path: Path) -> None:
    """A part that is used twice gets a field with a default: older facts are read, in both places."""
    earlier = json.loads(schema_text(Swapped))
    item = earlier["fields"][1]["type"]["fields"][1]["type"]["items"]
    item["fields"] = [field for field in item["fields"] if field["name"] != "count"]
    registry, topic = MemorySchemas(), Topic("t", (Swapped,))
    codec = Codec(registry, [Swapped])
    schema_id = registry.register("x", json.dumps(earlier))
    codec.learn(schema_id)
    fields = to_fields(Swapped)(SMALL)
    for basket in (fields["given"], fields["taken"]):
        for each in basket["items"]:
            del each["count"]
    out = io.BytesIO()
    fastavro.schemaless_writer(out, parse_physical(json.dumps(earlier)), fields)
    read: Any = codec.decode(b"\x00" + schema_id.to_bytes(4, "big") + out.getvalue(), topic)
    assert read.given.items == (Item("x", Decimal(1)), Item("y", Decimal(2)))
    assert avsc.write(tmp_path, [Swapped])
    assert avsc.drift(tmp_path, [Swapped]) == []


def test_what_a_part_cannot_read_is_named_wherever_it_is_used() -> None:
    changed: Any = msgspec.defstruct("Item", [("name", str), ("price", str), ("fee", str)])
    basket: Any = msgspec.defstruct("Basket", [("owner", str), ("items", tuple[changed, ...])])

    def version(item: Any, of: Any) -> dict[str, Any]:
        made: Any = msgspec.defstruct("Sold", [("key", str), ("first", item), ("given", of), ("taken", of)])
        return avro_schema(made, "onefact.test")

    before, after = version(Item, Basket), version(changed, basket)
    said = {sentence.partition(":")[0] for sentence in unreadable(after, before)}
    assert said >= {f"Sold.{place}.fee" for place in ("first", "given.items[]", "taken.items[]")}
    assert said >= {f"Sold.{place}.price" for place in ("first", "given.items[]", "taken.items[]")}
    assert unreadable(before, before) == []


@given(st.binary(max_size=80))
def test_any_bytes_are_read_alike_or_not_at_all(raw: bytes) -> None:
    decode = compile_decoder(Swapped, 0, unreadable_bytes)
    assert decode is not None
    try:
        read = decode(raw)
    except ValueError:
        return
    assert read == from_fields(Swapped)(fastavro.schemaless_reader(io.BytesIO(raw), OWN, None))
