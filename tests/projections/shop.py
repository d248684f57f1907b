"""A domain to read and rebuild: shops count what they hold, an enricher ranks them, four models show it."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from typing import Any, ClassVar

import msgspec

from eventlog.envelope import Meta
from eventlog.message import Command, Event, Money
from eventlog.models import Hash, SortedSet, Table
from eventlog.operations import Add, Append, Operation, Put
from eventlog.roles import Catalog, Enricher, Projection, References
from eventlog.topics import Domain

NAMESPACE = "onefact.shop"


class Count(Command, frozen=True, kw_only=True):
    """Never sent: the tests write the facts."""

    stream_field: ClassVar[str] = "shop"
    namespace: ClassVar[str] = NAMESPACE
    shop: str


class Counted(Event, frozen=True, kw_only=True):
    """So many of an item came, or went."""

    stream_field: ClassVar[str] = "shop"
    namespace: ClassVar[str] = NAMESPACE
    shop: str
    item: str
    quantity: Money


class Ranked(Event, frozen=True, kw_only=True):
    """What a shop holds in all; only even counts are ranked, so that some facts lead to none."""

    stream_field: ClassVar[str] = "shop"
    namespace: ClassVar[str] = NAMESPACE
    shop: str
    total: Money
    counts: int


class Total(msgspec.Struct, frozen=True):
    total: Decimal = Decimal(0)
    counts: int = 0


SHOP = Domain("shop", (Count,), (Counted,), (Ranked,))
EVENTS, RANKED = SHOP.topic("events"), SHOP.topic("enriched")


def enrich(event: Counted, state: Total | None, _: References, __: datetime) -> tuple[list[Event], Total]:
    before = state or Total()
    after = Total(before.total + event.quantity, before.counts + 1)
    facts = [] if after.counts % 2 else [Ranked(shop=event.shop, total=after.total, counts=after.counts)]
    return list(facts), after


def on_stock(event: Counted, _: Meta) -> Iterable[Operation]:
    return (Add((event.shop, event.item), {"quantity": event.quantity, "facts": 1}),)


def on_journal(event: Counted, meta: Meta) -> Iterable[Operation]:
    return (Append((event.shop, meta.version), {"item": event.item, "quantity": event.quantity, "time": meta.time}),)


def on_shelf(event: Counted, meta: Meta) -> Iterable[Operation]:
    """`facts` and `version` say the same in two ways: a reader who sees them differ has seen a mixture."""
    key = (event.shop,)
    yield Add(key, {f"items.{event.item}": event.quantity, "facts": 1})
    yield Put(key, {"version": meta.version, "as_of": meta.time})


def on_ranking(event: Any, _: Meta) -> Iterable[Operation]:
    return (Put((event.shop,), {"total": event.total}),)


def on_items(event: Counted, _: Meta) -> Iterable[Operation]:
    """Rows that no stream owns."""
    return (Add((event.item,), {"quantity": event.quantity}),)


def on_gifts(event: Counted, _: Meta) -> Iterable[Operation]:
    """Keyed by shop by name, and yet a fact changes another shop's row."""
    return Add((event.shop,), {"given": 1}), Add((event.shop + "-neighbour",), {"given": 1})


STOCK = Projection(
    SHOP,
    Table(
        "shop_stock",
        ("shop", "item"),
        {"shop": "text", "item": "text", "quantity": "decimal", "facts": "integer"},
    ),
    (EVENTS,),
    on_stock,
)
JOURNAL = Projection(
    SHOP,
    Table(
        "shop_journal",
        ("shop", "version"),
        {"shop": "text", "version": "integer", "item": "text", "quantity": "decimal", "time": "time"},
    ),
    (EVENTS,),
    on_journal,
)
SHELF = Projection(
    SHOP,
    Hash(
        "shop_shelf",
        ("shop",),
        {"shop": "text", "items": "decimal", "facts": "integer", "version": "integer", "as_of": "time"},
        maps={"items": "decimal"},
    ),
    (EVENTS,),
    on_shelf,
)
RANKING = Projection(
    SHOP,
    SortedSet("shop_ranking", ("shop",), {"shop": "text", "total": "decimal"}, score="total"),
    (RANKED,),
    on_ranking,
)
ITEMS = Projection(SHOP, Table("shop_items", ("item",), {"item": "text", "quantity": "decimal"}), (EVENTS,), on_items)
GIFTS = Projection(SHOP, Hash("shop_gifts", ("shop",), {"shop": "text", "given": "integer"}), (EVENTS,), on_gifts)
RANKER = Enricher(SHOP, enrich, Total)

CATALOG = Catalog(domains=(SHOP,), enrichers=(RANKER,), projections=(STOCK, JOURNAL, SHELF, RANKING, ITEMS, GIFTS))
