"""Digests of read models: equal digests mean equal rows, whatever store keeps them and in what order."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from typing import Any

import msgspec

from eventlog import decimals
from eventlog.envelope import time_text
from eventlog.models import Row

_MODULUS = 1 << 256


def plain(value: Any) -> Any:
    """A value as it is shown in JSON: numbers that are money as text, times in UTC."""
    match value:
        case Decimal():
            return decimals.text(value)
        case datetime():
            return time_text(value)
        case dict():
            return {k: plain(v) for k, v in value.items()}
        case msgspec.Struct():
            return {k: plain(v) for k, v in msgspec.structs.asdict(value).items()}
        case list() | tuple():
            return [plain(v) for v in value]
        case _:
            return value


def canonical(row: Row) -> bytes:
    """One row as bytes: sorted keys, `plain` values."""
    return json.dumps(plain(row), sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def digest(rows: Iterable[Row]) -> tuple[int, str]:
    """Number of rows, and the sum of their SHA-256 modulo 2^256 in hex: the order of rows does not matter."""
    count, total = 0, 0
    for row in rows:
        count += 1
        total = (total + int.from_bytes(hashlib.sha256(canonical(row)).digest(), "big")) % _MODULUS
    return count, f"{total:064x}"
