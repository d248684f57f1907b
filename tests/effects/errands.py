"""A domain that pays outside: each payment of an account is asked for, and what came of it is a fact."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any, ClassVar

import msgspec

from eventlog.envelope import Meta
from eventlog.message import Command, Event
from eventlog.models import Hash
from eventlog.operations import Operation, Put
from eventlog.roles import Call, Catalog, Decider, Effect, Projection, Reply
from eventlog.topics import Domain

NAMESPACE = "onefact.errands"


class Pay(Command, frozen=True, kw_only=True):
    """Pay an amount once more."""

    stream_field: ClassVar[str] = "account"
    namespace: ClassVar[str] = NAMESPACE
    account: str
    amount: str


class Settle(Command, frozen=True, kw_only=True):
    """What a payment came to."""

    stream_field: ClassVar[str] = "account"
    namespace: ClassVar[str] = NAMESPACE
    account: str
    number: int
    status: str
    reference: str


class PayAsked(Event, frozen=True, kw_only=True):
    """Somebody outside is to be paid."""

    stream_field: ClassVar[str] = "account"
    namespace: ClassVar[str] = NAMESPACE
    account: str
    number: int
    amount: str


class Paid(Event, frozen=True, kw_only=True):
    """What a payment came to."""

    stream_field: ClassVar[str] = "account"
    namespace: ClassVar[str] = NAMESPACE
    account: str
    number: int
    status: str
    reference: str


class Account(msgspec.Struct, frozen=True):
    """How many were asked for."""

    asked: int = 0


ERRANDS = Domain("errands", commands=(Pay, Settle), events=(PayAsked, Paid))


def decide(command: Pay | Settle, state: Account, _: datetime) -> Iterable[Event]:
    if isinstance(command, Pay):
        return (PayAsked(account=command.account, number=state.asked + 1, amount=command.amount),)
    return (
        Paid(
            account=command.account,
            number=command.number,
            status=command.status,
            reference=command.reference,
        ),
    )


def evolve(state: Account, event: PayAsked | Paid, _: datetime) -> Account:
    return Account(event.number) if isinstance(event, PayAsked) else state


def ask(event: PayAsked, meta: Meta) -> Call | None:
    if event.amount == "a bug":
        raise RuntimeError(event.amount)
    if event.amount == "0":
        return None
    body = {"order_id": f"{event.account}/{event.number}", "amount": event.amount, "currency": "EUR"}
    return Call("/charges", body, meta.id)


def answer(event: PayAsked, reply: Reply) -> Iterable[Command]:
    status = reply.body.get("status", "")
    return (
        Settle(
            account=event.account,
            number=event.number,
            status=status,
            reference=reply.body.get("reference", ""),
        ),
    )


def on(event: Any, meta: Meta) -> Iterable[Operation]:
    yield Put((event.account,), {"seen": meta.version})


DECIDER = Decider(ERRANDS, decide, evolve, Account, Account())
EFFECT = Effect(ERRANDS, "payments", ask, answer)
SEEN = Projection(
    ERRANDS,
    Hash("seen_errands", ("account",), {"account": "text", "seen": "integer"}),
    (ERRANDS.topic("events"),),
    on,
)
CATALOG = Catalog(domains=(ERRANDS,), deciders=(DECIDER,), effects=(EFFECT,), projections=(SEEN,))
