"""Fulfilment's role: the saga that leads an order over inventory and payments to its end."""

from __future__ import annotations

from processors.fulfilment.saga import SAGA

__all__ = ["SAGA"]
