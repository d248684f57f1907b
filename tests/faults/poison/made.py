"""Records: valid ones, and what becomes of them."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from tests.faults.poison.wire import TYPES, Avro

START = datetime(2024, 1, 2, tzinfo=UTC)
Rec = tuple[bytes | None, bytes | None, list[tuple[str, bytes | None]]]


class Maker:
    """Records: valid ones, and what becomes of them."""

    def __init__(self, rng: random.Random, avro: Avro, prefix: str) -> None:
        self.rng, self.avro, self.prefix = rng, avro, prefix
        self.made = 0

    def headers(self, kind: str, key: str, name: str, extra: dict[str, str]) -> list[tuple[str, bytes | None]]:
        time_ = (START + timedelta(milliseconds=self.made)).isoformat(timespec="microseconds")
        said = {"ce_specversion": "1.0", "ce_id": name, "ce_source": "stranger", "ce_type": kind, "ce_subject": key,
                "ce_time": time_, "ce_correlationid": name} | extra  # fmt: skip
        return [(n, v.encode()) for n, v in said.items()]

    def valid(self, topic: str, stream: int) -> Rec:
        self.made += 1
        rng, number = self.rng, self.made
        if topic == "trading.commands":
            key = f"{self.prefix}-c{stream:06d}"
            kind = rng.choice(TYPES[topic])
            data: dict[str, Any] = {"portfolio_id": key, "owner": "ada", "currency": "USD", "margin": rng.random() < 0.3,  # noqa: E501
                    "amount": str(rng.randint(-5, 10**6)), "symbol": rng.choice(("AAPL", "NVDA", "ÄÖ")),
                    "quantity": str(rng.randint(1, 50)), "price": f"{rng.randint(1, 500)}.25"}  # fmt: skip
            extra = {}
        elif topic == "trading.events":
            key = f"{self.prefix}-e{stream:06d}-{rng.randrange(1 << 60):x}"
            kind = rng.choice(("CashDeposited", "StockBought"))
            quantity, price = Decimal(rng.randint(1, 50)), Decimal(rng.randint(1, 500))
            data = {"portfolio_id": key, "symbol": f"S{number}-{rng.randrange(1 << 60):x}", "quantity": quantity,
                    "price": price, "amount": quantity * price}  # fmt: skip
            extra = {"ce_sequence": str(number), "ce_causationid": f"cause-{number}"}
        else:
            key = f"{self.prefix}-p{stream:06d}-{rng.randrange(1 << 60):x}"
            kind, data, extra = "PriceQuoted", {"symbol": key, "price": Decimal(rng.randint(1, 500))}, {}
        value = self.avro.encode(kind, data)
        return key.encode(), value, self.headers(kind, key, f"{self.prefix}/{number}", extra)

    def mutated(self, topic: str, record: Rec) -> Rec:
        rng = self.rng
        key, value, headers = record
        assert key is not None
        assert value is not None
        how = rng.random()
        if how < 0.62:
            return key, self.bytes_changed(value), headers
        if how < 0.72:
            return key, self.lengths(value), headers
        if how < 0.7215:
            return key, value + rng.randbytes(64) * (1 << 15), headers  # 2 MB
        if how < 0.80:
            return self.keys(topic, key), value, headers
        return key, value, self.headers_changed(headers)

    def bytes_changed(self, value: bytes) -> bytes | None:
        rng, raw = self.rng, bytearray(value)
        match rng.randrange(8):
            case 0 | 1:
                for _ in range(rng.randint(1, 3)):
                    raw[rng.randrange(len(raw))] ^= 1 << rng.randrange(8)
            case 2:
                raw[rng.randrange(5, len(raw))] = rng.randrange(256)
            case 3:
                del raw[rng.randrange(len(raw)) :]
            case 4:
                at = rng.randrange(len(raw) + 1)
                raw[at:at] = rng.randbytes(rng.randint(1, 9))
            case 5:
                number = rng.choice((0, 1, 255, 1 << 31, (1 << 32) - 1, rng.randrange(1 << 32)))
                raw[1:5] = number.to_bytes(4, "big")
            case 6:
                raw[1:5] = rng.choice(list(self.avro.ids.values())).to_bytes(4, "big")
            case _:
                return rng.choice((None, b"", b"\0", b"\0\0\0\0\0", b"{}", bytes(raw[5:]), rng.randbytes(40)))
        return bytes(raw)

    def lengths(self, value: bytes) -> bytes:
        """A length or a count that is huge, negative or never ends, somewhere among the fields."""
        rng = self.rng
        number = rng.choice((1 << 62, 1 << 40, (1 << 63) - 1, -1, -(1 << 62), -(1 << 63)))
        rest, out = (number << 1) ^ (number >> 63), bytearray()
        while rest > 0x7F:
            out.append(rest & 0x7F | 0x80)
            rest >>= 7
        out.append(rest)
        at = rng.choice((5, rng.randrange(5, len(value))))
        return value[:at] + rng.choice((bytes(out), b"\xff" * rng.randint(9, 30))) + value[at + 1 :]

    def keys(self, topic: str, key: bytes) -> bytes | None:
        found = [None, b"", key + b"\xff", b"\xc3\x28", key * 150, b"\0" * 5000]
        return self.rng.choice([*found, b"other-" + key, key[:-1]] if topic == "trading.commands" else found)

    def headers_changed(self, headers: list[tuple[str, bytes | None]]) -> list[tuple[str, bytes | None]]:
        rng = self.rng
        at = rng.randrange(len(headers))
        name, value = headers[at]
        match rng.randrange(6):
            case 0:
                return headers[:at] + headers[at + 1 :]
            case 1:
                wrong = (None, b"", b"\xff\xfe", (value or b"") + b"\xff", b"x" * 5000, b"\0")
                return [*headers[:at], (name, rng.choice(wrong)), *headers[at + 1 :]]
            case 2:
                wrong_time = (
                    b"yesterday",
                    b"2024-01-02",
                    b"0001-01-01T00:00:00+23:00",
                    b"9999-12-31T23:59:59Z",
                    b"\x80",
                )
                return [*((n, v) for n, v in headers if n != "ce_time"), ("ce_time", rng.choice(wrong_time))]
            case 3:
                return [
                    *headers,
                    *((f"h{n}", rng.choice((None, rng.randbytes(5)))) for n in range(rng.choice((1, 300)))),
                ]
            case 4:
                return [*headers, ("onefact_dead_partition", b"x"), ("onefact_dead_code", b"none"), ("", b"")]
            case _:
                return [*headers, (rng.choice(("ce_sequence", "ce_correlationid", "traceparent")), b"\xfe" * 3)]
