"""What every store knows of its versions, and which switches it refuses."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from eventlog.errors import OnefactError
from eventlog.models import Key, Model, Row
from eventlog.operations import Add, coalesce
from projections.compare import Comparer
from tests.stores.conftest import Subject


def test_which_version_is_what_is_kept_beside_it(subject: Subject) -> None:
    store, model = subject.store, subject.model()
    assert (store.previous_version(model), store.notes(model)) == (None, {})
    second, third = store.create_version(model, "a rebuild"), store.create_version(model, "a part")
    assert store.notes(model) == {second: "a rebuild", third: "a part"}
    assert store.switch(model, second, {})
    assert (store.previous_version(model), store.notes(model)) == (1, {third: "a part"})
    assert store.switch(model, second, {}), "it is live"
    assert store.previous_version(model) == 1
    store.drop_version(model, third)
    assert (store.notes(model), store.versions(model)) == ({}, [1, second])
    assert store.create_version(model) == third + 1, "whoever knows the number has another one in mind"
    assert store.switch(model, 1, {})
    assert (store.live_version(model), store.previous_version(model)) == (1, second)
    store.drop_version(model, second)
    assert store.previous_version(model) is None


def test_a_switch_is_from_the_version_that_was_meant(subject: Subject) -> None:
    store, model = subject.store, subject.model()
    second, third = store.create_version(model), store.create_version(model)
    assert store.switch(model, third, {}, second) is False
    assert store.switch(model, second, {}, 1) is True
    assert store.switch(model, third, {}, 1) is False
    assert (store.live_version(model), store.previous_version(model)) == (second, 1)
    assert store.switch(model, third, {}, second) is True
    assert store.live_version(model) == third


class Fold:
    """The rows of a version, which is removed when this is brought to its position."""

    def __init__(self, subject: Subject, model: Model) -> None:
        self.model = model
        self._store, self._rows = subject.store, subject.rows(model, 1)

    def fold(self, *_: Any, **__: Any) -> None:
        self._store.drop_version(self.model, 1)

    def rows(self) -> Iterator[Row]:
        return iter(self._rows)

    def row(self, key: Key) -> Row | None:
        return next((row for row in self._rows if row["id"] == key[0]), None)


def test_a_version_that_is_removed_is_not_taken_for_an_empty_one(subject: Subject) -> None:
    store, model = subject.store, subject.model()
    sink, _ = subject.opened(model)
    sink.apply(coalesce([Add((key,), {"count": 1}) for key in "abc"]), 3)
    assert store.switch(model, store.create_version(model), {("facts", 0): 3})
    with pytest.raises(OnefactError, match="version 1"):
        Comparer(store, 1, Fold(subject, model)).compare()
