"""Named points on a worker's way through a batch, at which the campaign kills, stops or holds it.

They lie at the seams to the libraries, around what the product calls there: the product knows nothing of them.
A campaign writes one order into `$ONEFACT_TEST_POINTS/armed`; the first worker that passes its point for the n-th
time takes it (by renaming the file, which only one can), says so in `taken-ID`, and acts.
"""

from __future__ import annotations

import functools
import json
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
from aiokafka import AIOKafkaProducer

KAFKA_POINTS = (
    "after_fence",
    "before_produce",
    "after_produce",
    "before_offsets",
    "after_offsets",
    "before_commit",
    "after_commit",
)
STORE_POINTS = ("before_store_write", "after_store_write", "before_store_commit", "after_store_commit")
HOLD_S_MAX = 60.0
STRUCK_S = 0.1
"""A signal to a process may reach another thread first; the one at the point waits, and does not pass it meanwhile."""

_folder = Path(os.environ.get("ONEFACT_TEST_POINTS", "."))
_passages: Counter[str] = Counter()
_applying = threading.local()
"""`role`: whose batch this thread applies to a store."""


def passed(point: str, role: str) -> None:
    """A worker has come to the point with a batch of the role."""
    try:
        order = json.loads((_folder / "armed").read_text())
    except FileNotFoundError:
        return
    if order["point"] != point or order["role"] != role:
        return
    _passages[order["id"]] += 1
    if _passages[order["id"]] < order["nth"]:
        return
    try:
        (_folder / "armed").rename(_folder / f"claim-{order['id']}")
    except FileNotFoundError:
        return  # another process, or thread, was first
    act(order)


def act(order: dict[str, Any]) -> None:
    """Say who took the order, then do what it says."""
    said = _folder / f".taken-{order['id']}"
    said.write_text(json.dumps({"pid": os.getpid(), "at": time.time()}))
    taken = said.rename(_folder / f"taken-{order['id']}")
    match order["action"]:
        case "kill" | "stop" as action:
            os.kill(os.getpid(), signal.SIGKILL if action == "kill" else signal.SIGSTOP)
            time.sleep(STRUCK_S)
        case "hold":  # this thread alone, until the campaign has done what it wanted
            deadline = time.monotonic() + HOLD_S_MAX
            while taken.exists() and time.monotonic() < deadline:
                time.sleep(0.01)


def install() -> None:
    """Put the points around what the product calls."""
    _around_kafka()
    _around_stores()


def _role(producer: Any) -> str | None:
    manager = producer._txn_manager
    name = manager.transactional_id if manager is not None else None
    return name.split("-")[0] if name else None


def _around(before: str | None, after: str | None, call: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(call)
    async def wrapped(self: Any, *args: Any, **kwargs: Any) -> Any:
        role = _role(self)
        if role is not None and before:
            passed(before, role)
        result = await call(self, *args, **kwargs)
        if role is not None and after:
            passed(after, role)
        return result

    return wrapped


def _around_kafka() -> None:
    producer: Any = AIOKafkaProducer
    producer.start = _around(None, "after_fence", producer.start)
    producer.send_offsets_to_transaction = _around(
        "before_offsets", "after_offsets", producer.send_offsets_to_transaction
    )
    producer.commit_transaction = _around("before_commit", "after_commit", producer.commit_transaction)
    send_batch = producer.send_batch

    @functools.wraps(send_batch)
    async def sent(self: Any, *args: Any, **kwargs: Any) -> Any:
        role = _role(self)
        if role is None:
            return await send_batch(self, *args, **kwargs)
        passed("before_produce", role)
        future = await send_batch(self, *args, **kwargs)
        future.add_done_callback(lambda _: passed("after_produce", role))  # the broker has it
        return future

    producer.send_batch = sent


def _around_stores() -> None:
    from projections.stores.postgres._sink import PostgresSink
    from projections.stores.redis import _scripts, _sink
    from projections.stores.redis._connection import Script

    postgres: Any = PostgresSink
    redis: Any = _sink.RedisSink
    postgres.apply = _applied(postgres.apply, lambda sink: sink._model.name)
    redis.apply = _applied(redis.apply, lambda sink: sink._layout.model.name)

    transaction: Any = psycopg.Transaction
    leave, written, call = transaction.__exit__, redis._written, Script.__call__

    def left(self: Any, kind: Any, error: Any, trace: Any) -> Any:
        role = getattr(_applying, "role", None)
        if role is None or kind is not None:
            return leave(self, kind, error, trace)
        passed("after_store_write", role)
        passed("before_store_commit", role)
        result = leave(self, kind, error, trace)
        passed("after_store_commit", role)
        return result

    def written_for(self: Any, *args: Any) -> Any:
        batch = written(self, *args)
        passed("after_store_write", self._layout.model.name)
        return batch

    def called(self: Any, *args: Any) -> Any:
        role = getattr(_applying, "role", None)
        if role is None or self is not _scripts.APPLY:
            return call(self, *args)
        passed("before_store_commit", role)
        result = call(self, *args)
        passed("after_store_commit", role)
        return result

    transaction.__exit__ = left
    redis._written = written_for
    Script.__call__ = called  # type: ignore[method-assign]


def _applied(apply: Callable[..., None], name: Callable[[Any], str]) -> Callable[..., None]:
    @functools.wraps(apply)
    def wrapped(self: Any, *args: Any, **kwargs: Any) -> None:
        _applying.role = name(self)
        try:
            passed("before_store_write", _applying.role)
            apply(self, *args, **kwargs)
        finally:
            _applying.role = None

    return wrapped
