"""What is added up in Redis is added up as floats."""

from __future__ import annotations

from decimal import Decimal

from projections.stores.redis._sink import RedisSink
from tests.faults.plants._edit import edit


def plant() -> None:
    total = "known.get(name, 0) + number"
    floats = "Decimal(repr(float(known.get(name, 0)) + float(number)))"
    edit(RedisSink, "_columns", (total, floats), Decimal=Decimal)
