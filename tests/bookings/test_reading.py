"""Matches as clients write them: squads are records within records, and nothing of them is passed over."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from eventlog.errors import BadInput
from producers.cloudevents import CloudEvents
from schemas.bookings import BOOKINGS
from tests.bookings.words import START, start

EVENTS = CloudEvents(BOOKINGS)
DATA: dict[str, Any] = msgspec.to_builtins(START)


def changed(**home: Any) -> bytes:
    return json.dumps(DATA | {"home": DATA["home"] | home}).encode()


def test_a_match_is_read_whole() -> None:
    assert EVENTS.message("StartMatch", json.dumps(DATA).encode()) == start()


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (changed(manager="x"), "unknown field 'manager'.*'home'"),
        (changed(players=[{"player_id": "a", "name": "b", "shirt_number": 1, "age": 3}]), "unknown field 'age'"),
        (changed(players=[{"player_id": "a", "name": "b"}]), "shirt_number.*players.0"),
        (changed(players=[{"player_id": "a", "name": "b", "shirt_number": "1"}]), "Expected 'int', got 'str'"),
        (changed(players={}), "Expected 'array'"),
        (changed(name=None), "Expected 'str', got 'null'"),
        (json.dumps(DATA | {"home": None}).encode(), "Expected 'object'"),
        (json.dumps({k: v for k, v in DATA.items() if k != "away"}).encode(), "missing required field 'away'"),
    ],
)
def test_what_is_wrong_is_said(data: bytes, said: str) -> None:
    with pytest.raises(BadInput, match=said):
        EVENTS.message("StartMatch", data)
