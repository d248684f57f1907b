"""What is refused here is what the registry refuses, and what only we can see: bytes that mean something else."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import count
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import settings as budget
from hypothesis import strategies as st

from eventlog.evolution import unreadable
from eventlog.registry import Registry, SchemaRefused
from eventlog.settings import Settings
from tests.kernel.schemas import DECIMAL, all_types, change, fields, plain_types, record

NUMBERS = count()


@pytest.fixture(scope="module")
def asked(settings: Settings) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=settings.registry, timeout=60) as client:
        yield client


def accepts(asked: httpx.Client, subject: str, schema: Any) -> bool:
    answer = asked.post(f"/subjects/{subject}/versions", json={"schema": json.dumps(schema)})
    assert answer.status_code in (200, 409), answer.text
    return answer.status_code == 200


def verdict(asked: httpx.Client, *versions: Any) -> bool:
    """Whether the registry takes the last version after the others."""
    subject = f"onefact.test.Changed{next(NUMBERS)}"
    *before, after = versions
    assert all(accepts(asked, subject, schema) for schema in before)
    return accepts(asked, subject, after)


@given(before=fields(plain_types()), data=st.data())
@budget(max_examples=150)
def test_the_same_verdict_as_the_registry(asked: httpx.Client, before: list[Any], data: st.DataObject) -> None:
    after = data.draw(change(before, plain_types()))
    why = unreadable(record(after), record(before))
    assert verdict(asked, record(before), record(after)) == (not why), why


@given(before=fields(all_types()), data=st.data())
@budget(max_examples=75)
def test_never_more_lenient_than_the_registry(asked: httpx.Client, before: list[Any], data: st.DataObject) -> None:
    after = data.draw(change(before, all_types()))
    if not unreadable(record(after), record(before)):
        assert verdict(asked, record(before), record(after))


def test_the_registry_too_counts_every_earlier_version(asked: httpx.Client) -> None:
    def with_fee(of: Any, default: Any) -> Any:
        return record([{"name": "fee", "type": of, "default": default}])

    versions = with_fee("string", ""), record([]), with_fee("long", 0)
    assert unreadable(versions[2], versions[1]) == []
    assert unreadable(versions[2], versions[0]) != []
    assert not verdict(asked, *versions)


def test_a_refused_schema_is_named_with_its_field_before_it_is_registered(settings: Settings) -> None:
    subject = f"onefact.test.Changed{next(NUMBERS)}"
    first = record([{"name": "a", "type": DECIMAL}])
    with Registry(settings.registry) as registry:
        schema_id = registry.register(subject, json.dumps(first))
        for field, said in (
            ({"name": "a", "type": {**DECIMAL, "scale": 2}}, r"Changed\.a: was decimal of 12 places, is decimal of 2"),
            ({"name": "fee", "type": "string"}, r"Changed\.fee: a new field without a default .* give it a default"),
        ):
            with pytest.raises(SchemaRefused, match=said + rf".*version 1 of {subject}"):
                registry.register(subject, json.dumps(record([field])))
        assert registry.subjects()[subject][0] == 1
        assert registry.register(subject, json.dumps(first)) == schema_id


def test_a_class_under_a_new_name_is_held_against_its_earlier_name(settings: Settings) -> None:
    with Registry(settings.registry) as registry:
        registry.register("onefact.test.Earlier", json.dumps(record([], "Earlier")))
        now = record([{"name": "fee", "type": "string"}], "Later") | {"aliases": ["Earlier"]}
        with pytest.raises(SchemaRefused, match=r"Later\.fee: a new field without a default.*Earlier in the registry"):
            registry.register("onefact.test.Later", json.dumps(now))
