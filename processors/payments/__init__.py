"""Payments' roles: what is decided about the payment of an order, and what the provider is asked for."""

from __future__ import annotations

from processors.payments.decider import DECIDER
from processors.payments.effect import EFFECT

__all__ = ["DECIDER", "EFFECT"]
