"""Who bought what, as a graph, with what there is of it: for what goes together, and what somebody may want next."""

from __future__ import annotations

from collections.abc import Iterable

from eventlog.envelope import Meta
from eventlog.models import EdgeType, Graph, NodeType
from eventlog.operations import MergeEdge, MergeNode, NodeKey, Operation
from eventlog.roles import Projection
from projections.orders.questions import BOUGHT_TOGETHER, RECOMMEND, SIMILAR
from schemas.inventory import INVENTORY, StockEvent
from schemas.orders import ORDERS, OrderConfirmed


def on_purchases(event: OrderConfirmed | StockEvent, meta: Meta) -> Iterable[Operation]:
    """A customer has bought what was confirmed: an order that was only placed may still come to nothing.

    Orders of one customer come from several partitions, in any order between them: so times and pieces are added up,
    and the last time is the greatest one. Stock is what inventory's newest fact says.
    """
    if isinstance(event, StockEvent):
        stock = {"on_hand": event.on_hand, "available": event.on_hand - event.reserved}
        return (MergeNode(NodeKey("Product", event.sku), put=stock),)
    customer, last = NodeKey("Customer", event.customer_id), {"last": meta.time}
    return [
        MergeEdge(
            "ORDERED",
            customer,
            NodeKey("Product", line.sku),
            add={"times": 1, "quantity": line.quantity},
            greatest=last,
        )
        for line in event.lines
    ]


PURCHASES = Projection(
    domain=ORDERS,
    model=Graph(
        "purchases",
        nodes={
            "Customer": NodeType("customer_id"),
            "Product": NodeType("sku", {"on_hand": "integer", "available": "integer"}),
        },
        edges={
            "ORDERED": EdgeType("Customer", "Product", {"times": "integer", "quantity": "integer", "last": "time"}),
        },
        questions={"bought-together": BOUGHT_TOGETHER, "recommend": RECOMMEND, "similar": SIMILAR},
    ),
    sources=(ORDERS.topic("events"), INVENTORY.topic("events")),
    on=on_purchases,
)
