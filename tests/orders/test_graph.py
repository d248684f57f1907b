"""Purchases as a graph: what is in it."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import TypeVar

import pytest

from eventlog.models import EdgeType, Graph, NodeType
from eventlog.testing import ProjectionScenario
from eventlog.testing.scenarios import NOON
from projections.orders import PURCHASES
from schemas.inventory import StockReceived, StockReserved, StockShipped
from schemas.orders import Line, OrderCancelled, OrderConfirmed, OrderPlaced

LATER = NOON + timedelta(hours=1)


def lines(**quantities: int) -> tuple[Line, ...]:
    return tuple(Line(sku=sku, quantity=quantity, unit_price=Decimal(2)) for sku, quantity in quantities.items())


Order = TypeVar("Order", OrderConfirmed, OrderPlaced)


def order(kind: type[Order], order_id: str, customer: str, **quantities: int) -> Order:
    return kind(order_id=order_id, customer_id=customer, currency="GBP", lines=lines(**quantities), total=Decimal(9))


def edge(customer: str, sku: str, times: int, quantity: int, last: object) -> dict[str, object]:
    return {"element": "ORDERED", "id": customer, "to": sku, "times": times, "quantity": quantity, "last": last}


def test_what_was_confirmed_was_bought() -> None:
    ProjectionScenario(PURCHASES).given(order(OrderConfirmed, "o1", "ada", mug=2, tea=1)).then_rows(
        {"element": "Customer", "id": "ada", "to": ""},
        edge("ada", "mug", 1, 2, NOON),
        edge("ada", "tea", 1, 1, NOON),
        {"element": "Product", "id": "mug", "available": None},
        {"element": "Product", "id": "tea", "available": None},
    )


def test_what_is_bought_again_adds_up_whatever_comes_first() -> None:
    first, second = order(OrderConfirmed, "o1", "ada", mug=2), order(OrderConfirmed, "o2", "ada", mug=3)
    for one, other in ((first, second), (second, first)):
        scenario = ProjectionScenario(PURCHASES).given(one, at=LATER).given(other, at=NOON)
        assert [row for row in scenario.rows() if row["element"] == "ORDERED"] == [edge("ada", "mug", 2, 5, LATER)]


def test_what_was_only_placed_or_came_to_nothing_was_not_bought() -> None:
    placed = order(OrderPlaced, "o1", "ada", mug=2)
    cancelled = OrderCancelled(
        order_id="o1", customer_id="ada", currency="GBP", lines=lines(mug=2), total=Decimal(4), reason="no"
    )
    ProjectionScenario(PURCHASES).given(placed, cancelled).then_nothing()


def test_a_product_knows_what_there_is_of_it() -> None:
    received = StockReceived(sku="mug", on_hand=9, reserved=0, shipped=0, quantity=9)
    reserved = StockReserved(sku="mug", on_hand=9, reserved=4, shipped=0, order_id="o1", quantity=4)
    shipped = StockShipped(sku="mug", on_hand=5, reserved=0, shipped=4, order_id="o1", quantity=4)
    scenario = ProjectionScenario(PURCHASES).given(received, reserved)
    scenario.then_rows({"element": "Product", "id": "mug", "to": "", "on_hand": 9, "available": 5})
    scenario.given(shipped).then_rows({"id": "mug", "on_hand": 5, "available": 5})


@pytest.mark.parametrize("name", ["Customer`) DETACH DELETE (n", "customer", "OnefactModel", "", "A B", "Ä"])
def test_a_label_is_a_plain_name(name: str) -> None:
    with pytest.raises(TypeError, match="is no name for what it is"):
        Graph("g", nodes={name: NodeType("id")})


def test_a_declaration_holds_together() -> None:
    nodes = {"A": NodeType("name")}
    with pytest.raises(TypeError, match="joins A to B"):
        Graph("g", nodes=nodes, edges={"TO": EdgeType("A", "B")})
    with pytest.raises(TypeError, match="no decimals"):
        Graph("g", nodes={"A": NodeType("name", {"price": "decimal"})})
    with pytest.raises(TypeError, match="declared twice"):
        Graph(
            "g", nodes=nodes, edges={"X": EdgeType("A", "A", {"n": "integer"}), "Y": EdgeType("A", "A", {"n": "text"})}
        )
    with pytest.raises(TypeError, match="'graph' is no name"):
        Graph("g", nodes={"A": NodeType("graph")})
    with pytest.raises(TypeError, match="has no nodes"):
        Graph("g")
