"""The decider's work in plain Python with fastavro, for peers that run in environments of their own.

Knows nothing of the product: schemas come from the registry, the rules are written out once more. What comes out
must be the product's facts to the byte, which the harness checks.
"""

from __future__ import annotations

import decimal
import io
import json
import struct
import urllib.request
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import fastavro
import msgspec

Headers = list[tuple[str, bytes]]
NAMESPACE = "onefact.trading."
LIMIT = Decimal(10) ** 26
PLACES = Decimal(1).scaleb(-12)
LATENESS_MAX = timedelta(days=1)
CONTEXT = decimal.Context(prec=100, rounding=decimal.ROUND_HALF_EVEN)
decimal.setcontext(CONTEXT)
ZERO = Decimal(0)


class Portfolio(msgspec.Struct, gc=False):
    """What decisions about a portfolio read, and its version; `shares` holds no zeros."""

    version: int = 0
    margin: bool = False
    cash: Decimal = ZERO
    shares: dict[str, Decimal] = {}
    last: datetime | None = None


pack = msgspec.msgpack.Encoder().encode
unpack = msgspec.msgpack.Decoder(Portfolio).decode


class Refused(Exception):
    """A command that cannot be granted: code and reason."""


class Deciding:
    """Turns the commands' bytes and headers into those of events and rejections."""

    def __init__(self, registry: str, code_version: str) -> None:
        self.registry = registry
        self.code_version = code_version.encode()
        self.readers: dict[int, Any] = {}
        self.writers: dict[str, tuple[bytes, Any]] = {}

    def __call__(
        self, key: bytes, value: bytes, headers: dict[str, bytes], portfolio: Portfolio | None
    ) -> tuple[bool, bytes, Headers, Portfolio | None]:
        """(whether accepted, value of the fact, its headers, the portfolio after it)."""
        kind, command = self.decode(value)
        time = datetime.fromisoformat(headers["ce_time"].decode())
        command_id = headers["ce_id"]
        try:
            event, body, after = decide(kind, command, portfolio, time)
        except Refused as refused:
            code, reason = refused.args
            body = {"subject": command["portfolio_id"], "command_type": kind, "code": code, "reason": reason}
            value = self.encode("onefact.kernel.CommandRejected", body)
            return False, value, self.headers(command_id + b":rejected", b"CommandRejected", key, headers), portfolio
        after.version = (portfolio.version if portfolio else 0) + 1
        version = b"%d" % after.version
        out = self.headers(key + b":" + version, event.encode(), key, headers)
        out.append(("ce_sequence", version))
        return True, self.encode(NAMESPACE + event, body), out, after

    def headers(self, fact_id: bytes, kind: bytes, key: bytes, headers: dict[str, bytes]) -> Headers:
        command_id = headers["ce_id"]
        return [
            ("ce_specversion", b"1.0"),
            ("ce_id", fact_id),
            ("ce_source", b"onefact/trading.decider"),
            ("ce_codeversion", self.code_version),
            ("ce_type", kind),
            ("ce_subject", key),
            ("ce_time", headers["ce_time"]),
            ("ce_causationid", command_id),
            ("ce_correlationid", headers.get("ce_correlationid") or command_id),
        ]

    def decode(self, value: bytes) -> tuple[str, dict[str, Any]]:
        magic, schema_id = struct.unpack_from(">bI", value)
        assert magic == 0
        found = self.readers.get(schema_id)
        if found is None:
            schema: Any = fastavro.parse_schema(json.loads(self.get(f"/schemas/ids/{schema_id}")["schema"]))
            found = self.readers[schema_id] = (schema["name"].rsplit(".", 1)[1], schema)
        source = io.BytesIO(value)
        source.seek(5)
        command: Any = fastavro.schemaless_reader(source, found[1], None)
        return found[0], command

    def encode(self, name: str, body: dict[str, Any]) -> bytes:
        found = self.writers.get(name)
        if found is None:
            latest = self.get(f"/subjects/{name}/versions/latest")
            schema = fastavro.parse_schema(json.loads(latest["schema"]))
            found = self.writers[name] = (struct.pack(">bI", 0, latest["id"]), schema)
        out = io.BytesIO()
        out.write(found[0])
        fastavro.schemaless_writer(out, found[1], body)
        return out.getvalue()

    def get(self, path: str) -> Any:
        with urllib.request.urlopen(self.registry + path, timeout=10) as answer:
            return json.load(answer)


def decide(
    kind: str, command: dict[str, Any], portfolio: Portfolio | None, time: datetime
) -> tuple[str, dict[str, Any], Portfolio]:
    """(type of the event, its fields, the portfolio after it); the rules of `processors/trading/decider.py`."""
    if kind == "OpenPortfolio":
        return opened(command, portfolio, time)
    stream = command["portfolio_id"]
    if portfolio is None:
        raise Refused("unknown_portfolio", f"there is no portfolio {stream!r}")
    assert portfolio.last is not None
    if portfolio.last - time > LATENESS_MAX:
        raise Refused("too_old", f"{time.isoformat()} is over a day before the last event, {portfolio.last}")
    shares = portfolio.shares
    if kind in ("BuyStock", "SellStock"):
        symbol = named("bad_symbol", "symbol", command["symbol"], 32)
        if " " in symbol:
            raise Refused("bad_symbol", f"symbol must not hold spaces: {symbol!r}")
        quantity, price = positive(command["quantity"], "quantity"), positive(command["price"], "price")
        amount = (quantity * price).quantize(PLACES)
        bought, paid_in = traded(kind, symbol, quantity, amount, portfolio)
        shares = shares.copy()
        left = shares.get(symbol, ZERO) + bought
        if left:
            shares[symbol] = left
        else:
            del shares[symbol]
        event = "StockBought" if kind == "BuyStock" else "StockSold"
        body = {"portfolio_id": stream, "symbol": symbol, "quantity": quantity, "price": price, "amount": amount}
    else:
        paid_in = amount = positive(command["amount"], "amount")
        event, body = "CashDeposited", {"portfolio_id": stream, "amount": amount}
        if kind == "WithdrawCash":
            payable(amount, portfolio)
            event, paid_in = "CashWithdrawn", -amount
        else:
            storable(portfolio.cash + amount, "cash")
    return event, body, Portfolio(0, portfolio.margin, portfolio.cash + paid_in, shares, time)


def opened(
    command: dict[str, Any], portfolio: Portfolio | None, time: datetime
) -> tuple[str, dict[str, Any], Portfolio]:
    stream = command["portfolio_id"]
    if portfolio is not None:
        raise Refused("already_open", f"portfolio {stream!r} is open already")
    named("bad_id", "portfolio_id", stream, 128)
    named("bad_owner", "owner", command["owner"], 200)
    currency = command["currency"]
    if not (len(currency) == 3 and currency.isascii() and currency.isalpha()):
        raise Refused("bad_currency", f"currency must be three letters such as USD, not {currency[:20]!r}")
    body = {**command, "currency": currency.upper()}
    return "PortfolioOpened", body, Portfolio(0, command["margin"], ZERO, {}, time)


def traded(kind: str, symbol: str, quantity: Decimal, amount: Decimal, portfolio: Portfolio) -> tuple[Decimal, Decimal]:
    """(shares bought, cash paid in), negative for the other direction."""
    if not amount:
        raise Refused("not_positive", "quantity times price is 0 at 12 places")
    storable(amount, "quantity times price")
    held = portfolio.shares.get(symbol, ZERO)
    if kind == "BuyStock":
        payable(amount, portfolio)
        bought, paid_in = quantity, -amount
    else:
        if quantity > held and not portfolio.margin:
            raise Refused("insufficient_shares", f"{text(quantity)} {symbol} to sell, {text(held)} held")
        storable(portfolio.cash + amount, "cash")
        bought, paid_in = -quantity, amount
    storable(held + bought, f"shares of {symbol}")
    if len(portfolio.shares) >= 10_000 and symbol not in portfolio.shares:
        raise Refused("too_many_positions", "a portfolio has at most 10000 open positions")
    return bought, paid_in


def positive(written: str, field: str) -> Decimal:
    number = parse(written, field)
    if number <= ZERO:
        raise Refused("not_positive", f"{field} must be above 0")
    return number


def parse(written: str, field: str) -> Decimal:
    try:
        if "_" in written or not written.isascii():
            raise ValueError
        number = Decimal(written)
    except (decimal.InvalidOperation, ValueError):
        raise Refused("not_a_number", f"{field} is not a number: {written[:60]!r}") from None
    if not number.is_finite():
        raise Refused("not_a_number", f"{field} must be finite, not {str(number)[:60]}")
    if len(written) > 13 or "e" in written or "E" in written:
        _, digits, exponent = number.as_tuple()
        if len(digits) > 38 or len(digits) + int(exponent) > 26:
            raise Refused("too_many_digits", f"{field} has more than 38 digits, 12 of them after the point")
        if int(exponent) < -12 and number != number.quantize(PLACES):
            raise Refused("too_many_digits", f"{field} has more than 12 digits after the point")
    return number


def payable(amount: Decimal, portfolio: Portfolio) -> None:
    left = portfolio.cash - amount
    if left < ZERO and not portfolio.margin:
        raise Refused("insufficient_cash", f"{text(amount)} to pay, {text(portfolio.cash)} in cash")
    storable(left, "cash")


def storable(number: Decimal, what: str) -> None:
    if not -LIMIT < number < LIMIT:
        raise Refused("too_many_digits", f"{what} would have more than 26 digits before the point")


def named(code: str, field: str, name: str, length_max: int) -> str:
    if not (0 < len(name) <= length_max and name.isprintable() and name[0] != " " != name[-1]):
        raise Refused(code, f"{field} must be 1 to {length_max} printable characters, not {name[:length_max]!r}")
    return name


def text(number: Decimal) -> str:
    if not number:
        return "0"
    shown = format(number, "f")
    return shown.rstrip("0").rstrip(".") if "." in shown else shown
