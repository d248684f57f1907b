"""Whatever comes first, and whatever the provider says: every order ends, no piece and no penny is lost."""

from __future__ import annotations

import random
from collections import deque
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from eventlog.envelope import Meta
from eventlog.errors import Refused
from eventlog.message import Command, CommandRejected, DeadlinePassed, Event
from eventlog.roles import Decider
from eventlog.sagas import Clock
from eventlog.testing import NOON
from processors.fulfilment import SAGA
from processors.inventory import DECIDER as INVENTORY
from processors.orders import DECIDER as ORDERS
from processors.payments import DECIDER as PAYMENTS
from schemas.inventory import ReceiveStock, ReserveStock, StockEvent
from schemas.orders import AskedLine, CancelOrder, OrderConfirmed, PlaceOrder
from schemas.payments import ChargeRequested, RefundRequested, SettleCharge, SettleRefund

DECIDERS = {cls: decider for decider in (ORDERS, INVENTORY, PAYMENTS) for cls in decider.domain.commands}
SKUS = ("a", "b", "c", "d")
ORDER_COUNT, PIECES = 20, 12
STEPS_MAX = 20_000


@dataclass
class World:
    """All services at once. What is sent to one stream keeps its order; everything else happens in any."""

    draw: random.Random
    now: datetime = NOON
    states: dict[tuple[str, str], Any] = field(default_factory=dict)
    queues: dict[tuple[str, str], deque[Any]] = field(default_factory=dict)
    decided: set[tuple[str, str]] = field(default_factory=set)
    facts: list[Event] = field(default_factory=list)
    books: dict[str, Decimal] = field(default_factory=dict)
    """The provider's: what it has charged and not given back, by payment."""

    def send(self, command: Command, command_id: str) -> None:
        place = (DECIDERS[type(command)].name, command.stream)
        if isinstance(command, ReserveStock) and self.draw.random() < 0.05:
            place = ("retried", command_id)  # it was a dead letter, and is published again later
        self.queues.setdefault(place, deque()).append((command, command_id))

    def step(self) -> bool:
        """Whether something happened that was waiting: one thing, whichever comes first."""
        waiting = sorted(place for place, queue in self.queues.items() if queue)
        if not waiting:
            return False
        name, stream = self.draw.choice(waiting)
        what = self.queues[name, stream].popleft()
        if name == "inbox":
            self.react(stream, what)
        elif name == "provider":
            self.answer(what)
        elif name == "late":
            self.books[what.payment_id] = what.amount
            self.send(SettleCharge(order_id=what.order_id, outcome="charged"), f"provider/{what.order_id}/late")
        elif name in ("facts", "refusals"):
            self.queues.setdefault(("inbox", what[0]), deque()).append(what[1])
        else:
            self.decide(DECIDERS[type(what[0])], *what)
        return True

    def decide(self, decider: Decider, command: Command, command_id: str) -> None:
        if (command.stream, command_id) in self.decided:
            return
        self.decided.add((command.stream, command_id))
        place = (decider.name, command.stream)
        state = self.states.get(place, decider.initial)
        try:
            events = tuple(decider.decide(command, state, self.now))
        except Refused as refused:
            fact = CommandRejected(
                subject=command.stream, command_type=type(command).__name__, code=refused.code, reason=refused.reason
            )
            self.relay("refusals", place, fact, command_id)
            return
        for event in events:
            state = self.states[place] = decider.evolve(state, event, self.now)
            self.facts.append(event)
            self.relay("facts", place, event, command_id)
            if isinstance(event, ChargeRequested | RefundRequested):
                self.queues.setdefault(("provider", event.order_id), deque()).append(event)

    def relay(self, kind: str, place: tuple[str, str], event: Event, command_id: str) -> None:
        order = command_id.split("/")[1] if command_id.startswith("fulfilment/") else ""
        meta = Meta("", type(event).__name__, event.stream, self.now, causation=command_id, correlation=order)
        key = SAGA.key(event, meta)
        if key is not None:
            self.queues.setdefault((kind, "/".join(place)), deque()).append((key, event))

    def react(self, order: str, event: Event) -> None:
        state = self.states.get((SAGA.name, order))
        reaction = SAGA.react(event, state, Clock(self.now, SAGA.deadlines))
        for fact in (event, *reaction.facts) if isinstance(event, DeadlinePassed) else reaction.facts:
            state = self.states[SAGA.name, order] = SAGA.evolve(state, fact, self.now)
        for step, command in reaction.commands:
            self.send(command, f"fulfilment/{order}/{step}")

    def pass_time(self, length: timedelta) -> None:
        self.now += length
        for (name, key), state in list(self.states.items()):
            if name == SAGA.name and state.due is not None and state.due <= self.now:
                self.react(key, DeadlinePassed(subject=key, due=state.due))
                after = self.states[name, key].due
                assert after is None or after > self.now

    def answer(self, asked: ChargeRequested | RefundRequested) -> None:
        """The provider: it does what it is asked, and may say otherwise, or nothing, or first this and then that."""
        order, luck = asked.order_id, self.draw.random()
        count = sum(1 for _, command_id in self.decided if command_id.startswith(f"provider/{order}/"))
        if isinstance(asked, RefundRequested):
            given_back = self.books.pop(asked.payment_id, None)
            outcome = "failed" if luck < 0.3 else "refunded" if given_back or luck < 0.6 else "nothing"
            self.send(SettleRefund(order_id=order, outcome=outcome), f"provider/{order}/{count}")
            return
        if luck < 0.6:
            self.books[asked.payment_id] = asked.amount
        elif luck < 0.8:
            self.queues.setdefault(("late", order), deque()).append(asked)
        outcome = "charged" if luck < 0.5 else "declined" if luck > 0.9 or 0.75 < luck < 0.8 else "failed"
        self.send(SettleCharge(order_id=order, outcome=outcome), f"provider/{order}/charge")


@pytest.mark.parametrize("seed", range(60))
def test_every_order_ends_and_everything_is_conserved(seed: int) -> None:
    world = World(random.Random(seed))
    draw = world.draw
    for sku in SKUS:
        world.send(ReceiveStock(sku=sku, quantity=str(PIECES)), f"stock-{sku}")
    orders = [f"o{number}" for number in range(ORDER_COUNT)]
    for order in orders:
        lines = [
            AskedLine(sku=sku, quantity=str(draw.randint(1, 3)), unit_price="1.10")
            for sku in draw.sample(SKUS, draw.randint(1, 4))
        ]
        place = PlaceOrder(order_id=order, customer_id="ada", currency="GBP", lines=tuple(lines))
        for _ in range(2):
            world.send(place, f"place-{order}")
        if draw.random() < 0.4:
            world.send(CancelOrder(order_id=order, reason="no"), f"cancel-{order}")
    for _ in range(STEPS_MAX):
        if draw.random() < 0.02:
            world.pass_time(timedelta(seconds=draw.uniform(1, 45)))
        if not world.step():
            dues = [s.due for (name, _), s in world.states.items() if name == SAGA.name and s.due is not None]
            if not dues:
                break
            world.pass_time(min(dues) - world.now)
    check(world, orders)


def check(world: World, orders: list[str]) -> None:
    sagas = {order: world.states[SAGA.name, order] for order in orders}
    assert {saga.step for saga in sagas.values()} <= {"confirmed", "cancelled"}, sagas
    assert {saga.step for saga in sagas.values()} == {world.states[ORDERS.name, o].status for o in orders}
    for order, saga in sagas.items():
        assert saga.due is None
        assert world.states[ORDERS.name, order].status == saga.step
    assert all(0 <= f.reserved <= f.on_hand for f in world.facts if isinstance(f, StockEvent))
    sold = [fact for fact in world.facts if isinstance(fact, OrderConfirmed)]
    for sku in SKUS:
        stock = world.states[INVENTORY.name, sku]
        shipped = sum(line.quantity for order in sold for line in order.lines if line.sku == sku)
        assert (stock.reserved, stock.shipped, stock.on_hand) == ({}, shipped, PIECES - shipped)
    assert world.books == {f"fulfilment/{order.order_id}/charge": order.total for order in sold}
