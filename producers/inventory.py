"""What clients may publish to inventory."""

from __future__ import annotations

from eventlog.roles import Source
from schemas.inventory import INVENTORY

SOURCE = Source(domain=INVENTORY)
