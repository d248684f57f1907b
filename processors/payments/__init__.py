"""Payments' roles: what is decided about the payment of an order."""

from __future__ import annotations

from processors.payments.decider import DECIDER

__all__ = ["DECIDER"]
