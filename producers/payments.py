"""What clients may publish to payments."""

from __future__ import annotations

from eventlog.roles import Source
from schemas.payments import PAYMENTS

SOURCE = Source(domain=PAYMENTS)
