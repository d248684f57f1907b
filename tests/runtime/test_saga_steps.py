"""A relay brings what is for the saga; a saga reacts to what is for it, and neither passes over what it fails on."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from eventlog.codec import Codec
from eventlog.discovery import catalog
from eventlog.envelope import Record, command_headers
from eventlog.errors import HandlerFailed
from eventlog.message import Event, Tick
from eventlog.sagas import Reaction, Saga
from eventlog.steps import RelayStep, SagaStep
from processors.fulfilment import SAGA
from schemas.inventory import INVENTORY, StockReceived
from schemas.orders import ORDERS
from tests.laws.registry import MemorySchemas
from tests.orders.words import ORDER, placed, refused, reserved

CODEC = Codec(MemorySchemas(), catalog().message_types)
NOW = datetime(2026, 1, 1, tzinfo=UTC)
EVENTS, REJECTIONS = INVENTORY.topic("events"), INVENTORY.topic("rejections")


def record(event: Event, key: str, topic: str = "t", *, causation: str = "", correlation: str = "") -> Record:
    headers = command_headers(
        f"{key}:1", "test", type(event).__name__, key, NOW, causation=causation, correlation=correlation
    )
    arrived = round(NOW.timestamp() * 1000)
    return Record(topic, 0, 0, arrived, key.encode(), CODEC.encode(event), headers)


def broken(made: Record) -> Record:
    return Record(made.topic, 0, 0, made.timestamp, made.key, b"no Avro", made.headers)


def fail(*_: Any) -> Any:
    raise RuntimeError("a bug")


def test_a_relay_passes_on_what_is_for_the_saga_as_it_is() -> None:
    kept, no = record(reserved("mug"), "mug"), refused("ReserveStock", "tea")
    ours = record(no, "tea", causation=f"fulfilment/{ORDER}/reserve/tea", correlation=ORDER)
    done = RelayStep(SAGA.relay, EVENTS, CODEC).run([kept])
    assert done.spread == {SAGA.source.name: [(ORDER.encode(), kept.value, kept.headers)]}
    done = RelayStep(SAGA.relay, REJECTIONS, CODEC).run([ours, record(no, "tea", causation="somebody's")])
    assert done.spread == {SAGA.source.name: [(ORDER.encode(), ours.value, ours.headers)]}
    assert done.counts == {"relayed": 1, "passed_over": 1, "dead": 0}


def test_a_relay_passes_over_what_is_for_nobody_and_lays_aside_what_cannot_be_read() -> None:
    received = record(StockReceived(sku="mug", quantity=1, on_hand=1, reserved=0, shipped=0), "mug")
    done = RelayStep(SAGA.relay, EVENTS, CODEC).run([received, broken(received)])
    assert done.spread == {}
    assert done.counts == {"relayed": 0, "passed_over": 1, "dead": 1}
    assert list(done.rows) == [EVENTS.dead.name]


def test_a_relay_stops_where_the_sagas_key_fails() -> None:
    with pytest.raises(HandlerFailed, match=r"fulfilment.relay raised RuntimeError"):
        RelayStep(replace(SAGA, key=fail).relay, EVENTS, CODEC).run([record(reserved("mug"), "mug")])


def step(saga: Saga = SAGA) -> SagaStep:
    return SagaStep(saga, CODEC, saga.deadlines)


def tick(seconds: float) -> Record:
    return record(Tick(saga=SAGA.name, at=NOW + timedelta(seconds=seconds)), SAGA.name)


def test_a_saga_lays_aside_what_cannot_be_read_and_passes_over_what_is_anothers() -> None:
    stray = record(placed(), "somebody else's")
    done = step().run([stray, broken(stray)])
    assert done.counts == {"reacted": 0, "passed_over": 1, "deadlines": 0, "dead": 1}
    assert (list(done.rows), done.changed) == ([SAGA.source.dead.name], {})


def test_a_saga_stops_where_it_fails() -> None:
    with pytest.raises(HandlerFailed, match=r"fulfilment.saga raised RuntimeError"):
        step(replace(SAGA, react=fail)).run([record(placed(), ORDER)])
    elsewhere = replace(SAGA, react=lambda *_: Reaction((replace_id(placed()),)))
    with pytest.raises(HandlerFailed, match="not of the instance's"):
        step(elsewhere).run([record(placed(), ORDER)])


def replace_id(event: Any) -> Any:
    from schemas.fulfilment import LineReserved

    return LineReserved(order_id=f"{event.order_id}-other", sku="mug")


def test_ticks_pass_the_deadlines_that_are_due_and_no_others() -> None:
    saga = step()
    early = saga.run([record(placed(), ORDER), tick(29.9)])
    assert early.counts["deadlines"] == 0
    saga.commit(early)
    assert saga.next_due() == NOW + timedelta(seconds=30)
    due = saga.run([tick(30), tick(30)])
    assert due.counts["deadlines"] == 1
    facts = due.rows[SAGA.domain.topic("events").name]
    assert [dict(headers)["ce_type"] for _, _, headers in facts] == [
        b"DeadlinePassed", b"CompensationStarted", b"ReleaseStarted",
    ]  # fmt: skip
    assert {dict(headers)["ce_time"] for _, _, headers in facts} == {b"2026-01-01T00:00:30.000000Z"}
    assert saga.next_due() == NOW + timedelta(seconds=30), "nothing is changed until the commit"
    saga.commit(due)
    assert saga.next_due() == NOW + timedelta(seconds=60)


def test_a_saga_whose_deadline_does_not_move_stops() -> None:
    still = step(replace(SAGA, due=lambda _: NOW))
    still.commit(still.run([record(placed(), ORDER)]))
    with pytest.raises(HandlerFailed, match="the next one is"):
        still.run([tick(1)])


def test_commands_go_where_their_type_belongs_with_what_led_to_them() -> None:
    done = step().run([record(placed(), ORDER)])
    ((topic, rows),) = done.spread.items()
    assert topic == INVENTORY.topic("commands").name
    key, _, headers = rows[0]
    said = dict(headers)
    assert key == b"mug"
    assert said["ce_id"] == f"fulfilment/{ORDER}/reserve/mug".encode()
    assert (said["ce_correlationid"], said["ce_causationid"]) == (ORDER.encode(), f"{ORDER}:1".encode())
    assert ORDERS.topic("commands").name not in done.spread
