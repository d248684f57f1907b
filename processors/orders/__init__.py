"""Orders' roles: what is decided about an order."""

from __future__ import annotations

from processors.orders.decider import DECIDER

__all__ = ["DECIDER"]
