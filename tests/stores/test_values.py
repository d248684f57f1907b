"""Values that a store must give back as it got them, and many at once; the rest of its contract is in test_contract."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from eventlog.decimals import text as digits
from eventlog.operations import Add, Append, Put, Remove, coalesce
from tests.stores.conftest import COLUMNS, Subject

NOON = datetime(2006, 1, 2, 12, 0, 0, 123456, tzinfo=UTC)
ODD = ["", " ", "a:b", "{a}", "a\tb\nc\rd\\e", "\\N", "\\.", "NULL", "null", '"', "'", "{}", "a,b", "%s", "é", "🙂",
       "\x00", "␀", "␛␀", "␛", "a\x00b", "\ufffd", "\u2028", "*", "[a]", "?", "row:*", "\x7f", "\x1b"]  # fmt: skip


def test_any_text_goes_in_and_comes_out(subject: Subject) -> None:
    model = subject.model()
    sink, _ = subject.opened(model)
    sink.apply(coalesce([Put((text,), {"label": text}) for text in ODD]), 1)
    for text in ODD:
        row = subject.store.get(model, (text,))
        assert row is not None and (row["id"], row["label"]) == (text, text)
    assert sorted(row["id"] for row in subject.rows(model)) == sorted(ODD)
    sink.apply(coalesce([Remove((text,)) for text in ODD[1:]]), 2)
    assert [row["id"] for row in subject.rows(model)] == [ODD[0]]


def test_numbers_stay_exact(subject: Subject) -> None:
    if subject.name == "neo4j":
        pytest.skip("a graph has no decimals")
    model = subject.model()
    sink, _ = subject.opened(model)
    huge, tiny = Decimal("9" * 26 + "." + "9" * 12), Decimal("0.000000000001")
    sink.apply(coalesce([Put(("a",), {"amount": huge}), Put(("b",), {"amount": -huge, "count": 2**62})]), 1)
    for position in range(2, 12):
        sink.apply(coalesce([Add(("a",), {"amount": tiny}), Add(("b",), {"amount": -tiny, "count": 1})]), position)
    a, b = subject.store.get(model, ("a",)), subject.store.get(model, ("b",))
    assert a is not None and b is not None
    assert digits(a["amount"]) == digits(huge + 10 * tiny) == "1" + "0" * 26 + ".000000000009"
    assert b["amount"] == -a["amount"] and b["count"] == 2**62 + 10


def test_a_batch_of_30_000_rows(subject: Subject) -> None:
    # In a graph all of these are edges of one node, which is the worst that can be.
    model, rows = subject.model(), 3_000 if subject.name == "neo4j" else 30_000
    sink, _ = subject.opened(model)
    sink.apply(coalesce([Add((f"k{n}",), {"amount": Decimal(n), "count": 1}) for n in range(rows)]), rows)
    half = [Put((f"k{n}",), {"label": "é\tx"}) for n in range(0, rows, 2)]
    sink.apply(coalesce([*half, *(Add((f"k{n}",), {"count": 1}) for n in range(1, rows, 2))]), rows + 1)
    sink.apply(coalesce([Append((f"new{n}",), {"seen": NOON}) for n in range(rows)]), rows + 2)
    found = {row["id"]: row for row in subject.rows(model)}
    assert len(found) == 2 * rows
    assert found[f"k{rows - 2}"] == dict.fromkeys(COLUMNS) | {
        "id": f"k{rows - 2}", "amount": Decimal(rows - 2), "count": 1, "label": "é\tx"}  # fmt: skip
    assert found[f"k{rows - 1}"]["count"] == 2 and found["new7"]["seen"] == NOON
    sink.apply(coalesce([Remove((f"k{n}",)) for n in range(rows)]), rows + 3)
    assert sum(1 for _ in subject.store.scan(model)) == rows
