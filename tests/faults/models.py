"""The read models as they are, read with bare drivers, and as they must be, from the yardstick; compared by digest."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import psycopg
import redis
from psycopg.rows import dict_row

from tests.faults.yardstick import Stream, Violation, Yardstick

Row = dict[str, Any]
TABLES = ("positions", "ledger", "risk_alerts")
HASHES = ("portfolio", "prices")
SOURCES = {
    "positions": ("trading.enriched",), "risk_alerts": ("trading.enriched",), "ledger": ("trading.events",),
    "leaderboard": ("trading.enriched",), "portfolio": ("trading.events", "trading.enriched"),
    "prices": ("market.prices",),
}  # fmt: skip
CONNECT_S = 5
AWAY = (psycopg.OperationalError, redis.RedisError, OSError)


def plain(value: Any) -> Any:
    """One way to write a value, whichever store it comes from."""
    if isinstance(value, Decimal):
        return "0" if not value else format(value.normalize(), "f")
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="microseconds")
    return value


def number(text: str) -> str:
    return str(plain(Decimal(text)))


def moment(text: str) -> str:
    return str(plain(datetime.fromisoformat(text)))


def lines(rows: Iterable[Row]) -> list[str]:
    """Canonical, sorted; a row without a value in a column is as one without the column."""
    return sorted(json.dumps({k: plain(v) for k, v in row.items() if v is not None}, sort_keys=True) for row in rows)


def digest(written: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(written).encode()).hexdigest()


class Models:
    """What the two stores hold."""

    def __init__(self, postgres: str, redis_url: str) -> None:
        self._postgres = postgres
        self._redis_url = redis_url

    def tables(self, keys: list[str] | None) -> dict[str, list[Row]]:
        """Rows of these portfolios, or all."""
        with psycopg.connect(self._postgres, connect_timeout=CONNECT_S, row_factory=dict_row) as connection:
            found = {}
            for name in TABLES:
                if keys is None:
                    found[name] = connection.execute(f"SELECT * FROM {name}").fetchall()
                else:
                    found[name] = connection.execute(
                        f"SELECT * FROM {name} WHERE portfolio_id = ANY(%s)", [keys]
                    ).fetchall()
            return found

    def hashes(self, keys: list[str] | None) -> dict[str, list[Row]]:
        """Portfolios, their ranking, and all prices."""
        with self._redis() as client:
            found: dict[str, list[Row]] = {}
            for name in HASHES:
                prefix = f"onefact:{name}:v{self._live(client, name)}:row:"
                if keys is None or name == "prices":
                    names = list(client.scan_iter(match=f"{prefix}*", count=5000))
                else:
                    names = [prefix + key for key in keys]
                with client.pipeline(transaction=False) as pipe:
                    for each in names:
                        pipe.hgetall(each)
                    found[name] = [shaped(name, row) for row in pipe.execute() if row]
            found["leaderboard"] = list(self._ranking(client, keys))
            return found

    def _ranking(self, client: Any, keys: list[str] | None) -> Iterator[Row]:
        prefix = f"onefact:leaderboard:v{self._live(client, 'leaderboard')}:"
        exact = client.hgetall(prefix + "exact")
        scores = dict(client.zrange(prefix + "scores", 0, -1, withscores=True))
        for key in exact.keys() | scores.keys() if keys is None else keys:
            if key in exact or key in scores:
                equity = exact.get(key)
                if equity is None or scores.get(key) != float(equity):
                    raise Violation("I3", f"leaderboard ranks {key} by {scores.get(key)}, and shows {equity}")
                yield {"portfolio_id": key, "equity": number(equity)}

    def progress(self) -> dict[str, dict[tuple[str, int], int]]:
        """How far each live model says it is: next offset by (topic, partition)."""
        found: dict[str, dict[tuple[str, int], int]] = {}
        with psycopg.connect(self._postgres, connect_timeout=CONNECT_S) as connection:
            rows = connection.execute(
                "SELECT model, topic, partition, next FROM onefact.progress "
                "JOIN onefact.versions USING (model, version) WHERE live"
            )
            for model, topic, partition, following in rows:
                found.setdefault(model, {})[topic, partition] = following
        with self._redis() as client:
            for name in (*HASHES, "leaderboard"):
                held = client.hgetall(f"onefact:{name}:v{self._live(client, name)}:progress")
                for place, position in held.items():
                    topic, _, partition = place.rpartition(":")
                    found.setdefault(name, {})[topic, int(partition)] = int(position.split(" ")[0])
        return found

    def empty_redis(self) -> None:
        with self._redis() as client:
            client.flushall()

    def _redis(self) -> Any:
        return redis.Redis.from_url(
            self._redis_url, decode_responses=True, socket_timeout=15, socket_connect_timeout=CONNECT_S
        )

    @staticmethod
    def _live(client: Any, name: str) -> str:
        return str(client.get(f"onefact:{name}:live") or "1")


def shaped(name: str, fields: dict[str, str]) -> Row:
    """A Redis hash as a row; entries of the map `holdings` lie in fields of their own."""
    if name == "prices":
        return {"symbol": fields["symbol"], "price": number(fields["price"]), "as_of": moment(fields["as_of"])}
    row: Row = {"portfolio_id": fields.pop("portfolio_id", None), "holdings": {}}
    for field, text in fields.items():
        if field.startswith("holdings."):
            row["holdings"][field.removeprefix("holdings.")] = number(text)
        elif field == "version":
            row[field] = int(text)
        elif field == "as_of":
            row[field] = moment(text)
        else:
            row[field] = number(text)
    return row


def expected(yardstick: Yardstick, keys: Iterable[str]) -> dict[str, list[Row]]:
    """Every model's rows of these portfolios, and all prices, by the log."""
    made: dict[str, list[Row]] = {name: [] for name in SOURCES}
    for key in keys:
        stream = yardstick.streams[key]
        if stream.events:
            add_rows(made, key, stream)
    for symbol, fact in yardstick.prices.items():
        made["prices"].append({"symbol": symbol, "price": fact.data["price"], "as_of": moment(fact.headers["ce_time"])})
    return made


def add_rows(made: dict[str, list[Row]], key: str, stream: Stream) -> None:
    for event in stream.events:
        data = event.data
        made["ledger"].append(
            {"portfolio_id": key, "version": int(event.headers["ce_sequence"]), "type": event.type,
             "time": moment(event.headers["ce_time"]), "symbol": data.get("symbol"), "quantity": data.get("quantity"),
             "price": data.get("price"), "amount": data.get("amount"), "event_id": event.headers["ce_id"]}
        )  # fmt: skip
    equity = None
    for fact in stream.enriched:
        if fact.type == "PortfolioValueUpdated":
            equity = fact.data["equity"]
        elif fact.type == "RiskThresholdBreached":
            row = {name: fact.data[name] for name in ("version", "kind", "symbol", "value", "threshold")}
            made["risk_alerts"].append(row | {"portfolio_id": key, "time": moment(fact.headers["ce_time"])})
    shares = stream.account.shares
    for symbol, held in shares.items():
        made["positions"].append(
            {"portfolio_id": key, "symbol": symbol, "quantity": held.quantity, "average_cost": held.average,
             "realised_profit": held.realised}
        )  # fmt: skip
    holdings = {symbol: plain(held.quantity) for symbol, held in shares.items() if held.quantity}
    made["portfolio"].append(
        {"portfolio_id": key, "cash": stream.account.cash, "equity": equity, "holdings": holdings,
         "version": len(stream.events), "as_of": moment(stream.events[-1].headers["ce_time"])}
    )  # fmt: skip
    made["leaderboard"].append({"portfolio_id": key, "equity": equity})


def differences(wanted: dict[str, list[Row]], found: dict[str, list[Row]]) -> str:
    """Empty when every model's digest is as it must be."""
    said = []
    for name, rows in wanted.items():
        must, is_ = lines(rows), lines(found[name])
        if digest(must) != digest(is_):
            missing, extra = sorted(set(must) - set(is_)), sorted(set(is_) - set(must))
            doubled = len(is_) - len(set(is_))
            said.append(
                f"{name}: {len(is_)} rows, must be {len(must)}; {len(missing)} missing {missing[:2]}, "
                f"{len(extra)} wrong {extra[:2]}, {doubled} doubled"
            )
    return "; ".join(said)
