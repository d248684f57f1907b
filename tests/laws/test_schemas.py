"""Every message of every domain survives the wire, and its committed schema is the one of its class."""

from __future__ import annotations

import json
from typing import Any

import fastavro
import hypothesis
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventlog import avsc
from eventlog.codec import Codec
from eventlog.discovery import catalog
from eventlog.message import Command
from eventlog.schema import record_name, schema_text
from tests.laws.registry import MemorySchemas
from tests.laws.values import messages

TYPES = catalog().message_types
CODEC = Codec(MemorySchemas(), TYPES)


@pytest.mark.parametrize("cls", TYPES, ids=record_name)
@hypothesis.settings(max_examples=30)
@given(data=st.data())
def test_a_message_comes_back_as_it_was_sent(cls: type[Any], data: st.DataObject) -> None:
    message = data.draw(messages(cls))
    topic = next(topic for topic in catalog().topics if cls in topic.types)
    assert CODEC.decode(CODEC.encode(message), topic) == message


@pytest.mark.parametrize("cls", TYPES, ids=record_name)
@hypothesis.settings(max_examples=30)
@given(data=st.data())
def test_other_readers_of_avro_read_the_same_message(cls: type[Any], data: st.DataObject) -> None:
    """The logical types are Avro's own: fastavro reads what is written here, given nothing but the committed schema."""
    message = data.draw(messages(cls))
    schema = fastavro.parse_schema(json.loads(schema_text(cls)))
    read = _read(CODEC.encode(message)[5:], schema)
    assert read == _fields(message)


def _fields(value: Any) -> Any:
    """A message as an Avro reader has it: records as dicts, all the way down."""
    if isinstance(value, msgspec.Struct):
        return {name: _fields(getattr(value, name)) for name in value.__struct_fields__}
    return [_fields(each) for each in value] if isinstance(value, tuple | list) else value


def _read(raw: bytes, schema: Any) -> Any:
    from io import BytesIO

    return fastavro.schemaless_reader(BytesIO(raw), schema, None)


def test_committed_schemas_are_those_of_the_classes() -> None:
    assert avsc.drift() == []


@pytest.mark.parametrize("cls", TYPES, ids=record_name)
def test_a_message_names_its_stream_and_says_what_it_is(cls: type[Any]) -> None:
    assert cls.stream_field in cls.__struct_fields__
    assert cls.__struct_config__.frozen
    assert cls.__doc__


def test_a_record_name_is_used_once() -> None:
    names = [record_name(cls) for cls in TYPES]
    assert sorted(set(names)) == sorted(names)


@pytest.mark.parametrize("domain", catalog().domains, ids=lambda d: d.name)
def test_commands_are_commands_and_facts_are_not(domain: Any) -> None:
    assert all(issubclass(cls, Command) for cls in domain.commands)
    facts = [*domain.events, *domain.enriched, *(cls for topic in domain.facts for cls in topic.types)]
    assert not any(issubclass(cls, Command) for cls in facts)
