"""Orders' read models: each order with its history as tables, customers' pages, and who bought what as a graph."""

from __future__ import annotations

from projections.orders.graph import PURCHASES
from projections.orders.pages import ORDER
from projections.orders.tables import ORDER_HISTORY, ORDERS_TABLE

__all__ = ["ORDER", "ORDERS_TABLE", "ORDER_HISTORY", "PURCHASES"]
