"""A model of every kind over the shop's facts."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

from eventlog.envelope import Meta
from eventlog.models import EdgeType, Feed, Graph, Hash, NodeType, Table, Timeline
from eventlog.operations import Add, MergeEdge, MergeNode, Newest, NodeKey, Operation, Push, Put, Remove
from eventlog.roles import Catalog, Projection
from tests.projections.shop import EVENTS, ITEMS, JOURNAL, SHELF, SHOP, STOCK, Counted


def on_news(event: Counted, meta: Meta) -> Iterable[Operation]:
    return (Push((event.shop,), {"item": event.item, "quantity": event.quantity, "at": meta.time}, meta.time),)


def on_seen(event: Counted, meta: Meta) -> Iterable[Operation]:
    """An item that comes to nothing is not on the list any more."""
    return (Put((event.shop,), {f"items.{event.item}": meta.time if event.quantity > 0 else None}),)


def on_last(event: Counted, meta: Meta) -> Iterable[Operation]:
    """Rows that several streams write to."""
    values = {"shop": event.shop, "as_of": meta.time, "event_id": meta.id}
    return Newest((event.item,), values, ("as_of", "event_id")), Add((event.item,), {"facts": 1})


def on_open(event: Counted, meta: Meta) -> Iterable[Operation]:
    """A row that comes and goes."""
    key = (event.shop, event.item)
    if event.quantity < 0:
        return (Remove(key),)
    return Put(key, {"since": meta.time, "open": True, "facts": 1}), Add(key, {"facts": 1})


def on_sold(event: Counted, meta: Meta) -> Iterable[Operation]:
    shop, item = NodeKey("Shop", event.shop), NodeKey("Item", event.item)
    yield MergeEdge("HAS", shop, item, add={"times": 1}, greatest={"last": meta.time})
    yield MergeNode(item, greatest={"seen": meta.time})


NEWS = Projection(
    SHOP,
    Feed(
        "shop_news",
        ("shop",),
        {"shop": "text", "entries": "text"},
        entry={"item": "text", "quantity": "decimal", "at": "time"},
        limit=4,
    ),
    (EVENTS,),
    on_news,
)
SEEN = Projection(
    SHOP,
    Timeline("shop_seen", ("shop",), {"shop": "text", "items": "time"}, maps={"items": "time"}),
    (EVENTS,),
    on_seen,
)
LAST = Projection(
    SHOP,
    Hash(
        "shop_last",
        ("item",),
        {"item": "text", "shop": "text", "as_of": "time", "event_id": "text", "facts": "integer"},
    ),
    (EVENTS,),
    on_last,
)
OPEN = Projection(
    SHOP,
    Table(
        "shop_open",
        ("shop", "item"),
        {"shop": "text", "item": "text", "since": "time", "open": "boolean", "facts": "integer"},
    ),
    (EVENTS,),
    on_open,
)
SOLD = Projection(
    SHOP,
    Graph(
        "shop_sold",
        nodes={"Shop": NodeType("shop"), "Item": NodeType("name", {"seen": "time"})},
        edges={"HAS": EdgeType("Shop", "Item", {"times": "integer", "last": "time"})},
    ),
    (EVENTS,),
    on_sold,
)
BRIEF = Projection(
    SHOP,
    Feed(
        "shop_brief", ("shop",), {"shop": "text", "entries": "text"}, entry={"item": "text"}, expires=timedelta(days=9)
    ),
    (EVENTS,),
    lambda event, meta: (Push((event.shop,), {"item": event.item}, meta.time),),
)
KINDS = Catalog(domains=(SHOP,), projections=(STOCK, JOURNAL, SHELF, ITEMS, NEWS, SEEN, LAST, OPEN, SOLD, BRIEF))
