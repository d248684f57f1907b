"""What clients may publish to orders."""

from __future__ import annotations

from eventlog.roles import Source
from schemas.orders import ORDERS

SOURCE = Source(domain=ORDERS)
