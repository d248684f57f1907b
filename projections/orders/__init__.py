"""Orders' read models: each order with its history, what customers look at, and who bought what as a graph."""

from __future__ import annotations

from projections.orders.graph import PURCHASES
from projections.orders.pages import CUSTOMER_ORDERS, ORDER
from projections.orders.tables import ORDER_HISTORY, ORDERS_TABLE

__all__ = ["CUSTOMER_ORDERS", "ORDER", "ORDERS_TABLE", "ORDER_HISTORY", "PURCHASES"]
