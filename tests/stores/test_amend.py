"""Rows of a live model that are written anew: whole, and only where the model stands where they were folded to."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from eventlog.errors import Fenced
from eventlog.operations import Add, Change, Put, coalesce
from tests.stores.conftest import Subject


def whole(values: dict[str, Any] | None) -> Change:
    """A row as one change that replaces what is there; None for no row."""
    change = Change()
    change.remove()
    if values is not None:
        change.put(values)
    return change


def test_rows_are_amended_only_where_the_model_stands(subject: Subject) -> None:
    store, model = subject.store, subject.model()
    writer, _ = subject.opened(model)
    other, _ = subject.opened(model, 1)
    rows = [Put((key,), {"label": key, "open": True}) for key in "abc"]
    writer.apply(coalesce([*rows, Add(("a",), {"count": 5, "amount": Decimal("1.5")})]), 5)
    other.apply(coalesce([Add(("a",), {"count": 2})]) if subject.name != "redis" else {}, 3)
    before = subject.rows(model)
    amended = {("a",): whole({"count": 100, "label": None}), ("b",): whole(None), ("d",): whole({"label": "new"})}
    for wrong in ({("facts", 0): 4, ("facts", 1): 3}, {("facts", 0): 5}, {}):
        assert store.amend(model, amended, wrong) is False
        assert subject.rows(model) == before
    assert store.amend(model, amended, {("facts", 0): 5, ("facts", 1): 3, ("facts", 2): 0}) is True
    found = {row["id"]: (row["label"], row["count"], row["open"], row["amount"]) for row in subject.rows(model)}
    assert found == {"a": (None, 100, None, None), "c": ("c", None, True, None), "d": ("new", None, None, None)}
    assert store.live_version(model) == 1
    for sink, at in ((writer, 5), (other, 3)):
        with pytest.raises(Fenced):
            sink.apply(coalesce([Add(("a",), {"count": 1})]), 9)
        assert sink.open() == at
    writer.apply(coalesce([Add(("a",), {"count": 1})]), 6)
    assert store.get(model, ("a",))["count"] == 101  # type: ignore[index]
