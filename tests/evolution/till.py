"""A till in two releases.

The second has a field more, a field and a class under other names, and has split one event in two.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any, ClassVar

import msgspec

from eventlog.envelope import Meta
from eventlog.message import Command, Event, Money
from eventlog.models import Table
from eventlog.operations import Add, Append, Operation
from eventlog.roles import Catalog, Decider, Enricher, Projection, References
from eventlog.topics import Domain, Upcaster

NAMESPACE = "onefact.till"
TAX = Decimal("0.2")


class Sell(Command, frozen=True, kw_only=True):
    """Sell for a price, tax included, or take back."""

    stream_field: ClassVar[str] = "till_id"
    namespace: ClassVar[str] = NAMESPACE
    till_id: str
    gross: Money
    back: bool = False


class TillEvent(Event, frozen=True, kw_only=True):
    """An event of a till."""

    stream_field: ClassVar[str] = "till_id"
    namespace: ClassVar[str] = NAMESPACE
    till_id: str


class Sold(TillEvent, frozen=True, kw_only=True):
    """Release 1: something was sold, tax included. Release 2 only reads it."""

    gross: Money


class Refunded(TillEvent, frozen=True, kw_only=True):
    """Release 1: money was given back."""

    amount: Money


class GoodsSold(TillEvent, frozen=True, kw_only=True):
    """Release 2: the price without tax."""

    net: Money
    cashier: str | None = None


class TaxDue(TillEvent, frozen=True, kw_only=True):
    """Release 2: the tax of a sale."""

    tax: Money


class Returned(TillEvent, frozen=True, kw_only=True):
    """Release 2: what was `Refunded`; what was `amount` is `gross`, and there may be a cashier."""

    formerly: ClassVar[tuple[str, ...]] = ("Refunded",)
    renamed: ClassVar[Mapping[str, tuple[str, ...]]] = {"gross": ("amount",)}
    gross: Money
    cashier: str | None = None


class Balanced(TillEvent, frozen=True, kw_only=True):
    """Enriched: what is in the till after an event."""

    after: str
    balance: Money


class Balance(msgspec.Struct, frozen=True):
    """What is in the till."""

    cash: Decimal = Decimal(0)


def split(sold: Sold) -> Iterable[Event]:
    tax = sold.gross * TAX
    return GoodsSold(till_id=sold.till_id, net=sold.gross - tax), TaxDue(till_id=sold.till_id, tax=tax)


def money(event: Any) -> Decimal:
    match event:
        case Sold(gross=gross):
            return gross
        case Refunded(amount=amount):
            return -amount
        case GoodsSold(net=net):
            return net
        case TaxDue(tax=tax):
            return tax
        case Returned(gross=gross):
            return -gross
    raise TypeError(event)


def decide_old(command: Sell, state: Balance, _: datetime) -> Iterable[Event]:
    del state
    if command.back:
        return [Refunded(till_id=command.till_id, amount=command.gross)]
    return [Sold(till_id=command.till_id, gross=command.gross)]


def decide_new(command: Sell, state: Balance, _: datetime) -> Iterable[Event]:
    del state
    if command.back:
        return [Returned(till_id=command.till_id, gross=command.gross, cashier="cy")]
    return split(Sold(till_id=command.till_id, gross=command.gross))


def evolve(state: Balance, event: Event, _: datetime) -> Balance:
    return Balance(state.cash + money(event))


def enrich(event: TillEvent, state: Balance, _: References, __: datetime) -> tuple[list[Event], Balance]:
    after = Balance(state.cash + money(event))
    return [Balanced(till_id=event.till_id, after=type(event).__name__, balance=after.cash)], after


def on_cash(event: TillEvent, _: Meta) -> Iterable[Operation]:
    yield Add((event.till_id,), {"cash": money(event)})


def on_journal(event: TillEvent, meta: Meta) -> Iterable[Operation]:
    yield Append((event.till_id, meta.version, meta.part), {"type": meta.type, "id": meta.id, "amount": money(event)})


def on_journal_without_parts(event: TillEvent, meta: Meta) -> Iterable[Operation]:
    yield Append((event.till_id, meta.version, 0), {"type": meta.type, "id": meta.id, "amount": money(event)})


def release(events: tuple[type[Event], ...], decide: Any, upcasters: tuple[Upcaster, ...] = ()) -> Catalog:
    domain = Domain("till", (Sell,), events, (Balanced,), upcasters=upcasters)
    sources = (domain.topic("events"),)
    columns = {"till_id": "text", "version": "integer", "part": "integer", "type": "text", "id": "text"}
    journal = Table("journal", ("till_id", "version", "part"), {**columns, "amount": "decimal"})
    return Catalog(
        (domain,),
        deciders=(Decider(domain, decide, evolve, Balance, Balance()),),
        enrichers=(Enricher(domain, enrich, Balance, Balance()),),
        projections=(
            Projection(domain, Table("cash", ("till_id",), {"till_id": "text", "cash": "decimal"}), sources, on_cash),
            Projection(domain, journal, sources, on_journal),
        ),
    )


OLD = release((Sold, Refunded), decide_old)
NEW = release((GoodsSold, TaxDue, Returned), decide_new, (Upcaster(Sold, split),))
