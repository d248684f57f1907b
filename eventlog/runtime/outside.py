"""Calls that leave the process: each with a deadline, again with growing pauses, never too many, never too often.

Around one attempt: the circuit breaker (somebody who is away is left alone for a while), the bulkhead (no more calls
in flight than the limit), the rate limit, the deadline. Around the attempts: exponential backoff with jitter, and when
they are used up, or the circuit is open, a longer pause. A call ends when it is answered, and in no other way: no
answer leaves it open what became of the call, and only the same call under the same key of idempotence can tell.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import quote

import httpx
import msgspec
import stamina
import structlog
from aiolimiter import AsyncLimiter
from circuitbreaker import STATE_CLOSED, STATE_HALF_OPEN, STATE_OPEN, CircuitBreaker

from eventlog.errors import OnefactError
from eventlog.roles import Call, Reply
from eventlog.runtime import metrics
from eventlog.settings import Settings

ANSWERS = frozenset({*range(200, 300), 400, 402, 410, 422})
"""Statuses that are an answer to what was asked. Others are the way there (credentials, address), a busy or broken
server: whatever they mean, it may be different next time."""
REPLY_BYTES_MAX = 64 * 1024
KEY_CHARACTERS_MAX = 255
"""Of a key of idempotence in its header; a longer one is sent as its SHA-256."""
CIRCUIT_LOOK_S = 0.2
"""The shortest pause of a call that the circuit did not let through."""
BACKOFF_S_FIRST, BACKOFF_S_MAX, JITTER_S = 0.1, 2.0, 0.2
RETRY_AFTER_S_MAX = 60.0
CIRCUIT_STATES = {STATE_CLOSED: 0, STATE_HALF_OPEN: 1, STATE_OPEN: 2}

log = structlog.get_logger()


class Unanswered(Exception):
    """Nobody knows what became of the call; `after_s` is when to ask again, where the other side said so."""

    def __init__(self, reason: str, after_s: float = 0.0) -> None:
        super().__init__(reason)
        self.after_s = after_s


class CircuitOpen(Exception):
    """The call was not made: too many before it were not answered."""

    def __init__(self, remaining_s: float) -> None:
        super().__init__("the circuit is open")
        self.remaining_s = remaining_s


class Asks(Protocol):
    """Somebody who can be asked."""

    async def ask(self, call: Call) -> Reply: ...


@dataclass(frozen=True)
class Terms:
    """How somebody is called."""

    url: str
    """With credentials, if any; empty where it is not known."""
    deadline_s: float
    attempts: int
    limit: int
    rate: float
    failures: int
    pause_s: float

    @classmethod
    def of(cls, outside: str, settings: Settings) -> Terms:
        """Those that the settings `<outside>_...` give. Raises `OnefactError` for somebody they do not name."""
        try:
            return cls(**{name: getattr(settings, f"{outside}_{name}") for name in cls.__dataclass_fields__})
        except AttributeError as error:
            raise OnefactError(f"no settings say how to call {outside}: {error}") from None


class Outside:
    """Somebody outside, as all partitions of a worker call it together."""

    def __init__(self, name: str, terms: Terms) -> None:
        self.name = name
        self._terms = terms
        self._client: httpx.AsyncClient | None = None
        self._slots = asyncio.Semaphore(terms.limit)
        self._rate = AsyncLimiter(max(1.0, terms.rate), max(1.0, 1 / terms.rate))
        self._circuit = CircuitBreaker(terms.failures, terms.pause_s, Unanswered, name)
        self._probing = False
        self._again = stamina.AsyncRetryingCaller(
            attempts=terms.attempts,
            timeout=None,
            wait_initial=BACKOFF_S_FIRST,
            wait_max=BACKOFF_S_MAX,
            wait_jitter=JITTER_S,
        ).on(_worth_another)
        stamina.instrumentation.set_on_retry_hooks([])  # counted here; a line for each would be most of the log
        self._in_flight = metrics.CALLS_IN_FLIGHT.labels(name)
        self._waiting = metrics.CALLS_WAITING.labels(name)
        self._retries = metrics.CALL_RETRIES.labels(name)
        self._seconds = metrics.CALL_SECONDS.labels(name)
        metrics.CIRCUIT.labels(name).set_function(lambda: CIRCUIT_STATES[self._circuit.state])

    async def ask(self, call: Call) -> Reply:
        """Make the call until it is answered; whoever gives up cancels it."""
        made = 0

        async def attempt() -> Reply:
            nonlocal made
            async with self._slots:
                with self._admitted():
                    made += 1
                    if made > 1:
                        self._retries.inc()
                    return await self._counted(call)

        with self._waiting.track_inprogress():
            while True:
                try:
                    return await self._again(attempt)
                except CircuitOpen as circuit:
                    pause_s = circuit.remaining_s
                except Unanswered as unanswered:
                    pause_s = max(self._terms.pause_s, unanswered.after_s)
                    log.warning("not answered; asked again later", outside=self.name, path=call.path, key=call.key,
                                reason=str(unanswered), pause_s=round(pause_s, 1))  # fmt: skip
                await asyncio.sleep(pause_s * random.uniform(1.0, 1.5))  # noqa: S311 - a pause, not a secret

    async def close(self) -> None:
        """Let go of the connections."""
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    @contextlib.contextmanager
    def _admitted(self) -> Iterator[None]:
        """The circuit breaker; while it is half open, one call at a time finds out. Raises `CircuitOpen`."""
        circuit = self._circuit
        half_open = circuit.state == STATE_HALF_OPEN
        if circuit.opened or (half_open and self._probing):
            self._count("rejected")
            raise CircuitOpen(max(CIRCUIT_LOOK_S, circuit.open_remaining))
        self._probing = self._probing or half_open
        try:
            yield
        except Unanswered:
            with circuit:  # it counts what is raised in it
                raise
        else:
            circuit.reset()
        finally:
            if half_open:
                self._probing = False

    async def _counted(self, call: Call) -> Reply:
        await self._rate.acquire()
        self._waiting.dec()
        started = time.monotonic()
        try:
            with self._in_flight.track_inprogress():
                reply = await self._made(call)
        except Unanswered:
            self._count("unanswered")
            raise
        finally:
            self._waiting.inc()
            self._seconds.observe(time.monotonic() - started)
        self._count("answered")
        return reply

    async def _made(self, call: Call) -> Reply:
        """One attempt. Raises `Unanswered`."""
        terms = self._terms
        if not terms.url:
            raise Unanswered(f"its address is not known; set ONEFACT_{self.name.upper()}_URL")
        if self._client is None:
            self._client = httpx.AsyncClient(base_url=terms.url, timeout=terms.deadline_s)
        headers = {"Idempotency-Key": key_text(call.key), "Content-Type": "application/json"}
        try:
            async with (
                asyncio.timeout(terms.deadline_s),  # of the whole attempt; the client's own are per step
                self._client.stream("POST", call.path, content=msgspec.json.encode(call.body), headers=headers) as said,
            ):
                status, after, body = said.status_code, said.headers.get("Retry-After", ""), await _read(said)
        except TimeoutError:
            raise Unanswered(f"no answer within {terms.deadline_s} s") from None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise Unanswered(f"{type(error).__name__}: {error}") from None
        if status not in ANSWERS:
            raise Unanswered(f"status {status}", _seconds(after))
        try:
            return Reply(status, msgspec.json.decode(body, type=dict[str, Any]))
        except msgspec.DecodeError:
            if status < 300:
                raise Unanswered(f"status {status}, and what came with it is no JSON object") from None
            return Reply(status, {})

    def _count(self, outcome: str) -> None:
        metrics.CALLS.labels(self.name, outcome).inc()


def _worth_another(error: Exception) -> bool | float:
    """Whether to ask again at once, or after how many seconds; what waits longer makes room for others."""
    if not isinstance(error, Unanswered):
        return False
    return error.after_s if 0 < error.after_s <= BACKOFF_S_MAX else error.after_s == 0


async def _read(said: httpx.Response) -> bytes:
    body = b""
    async for part in said.aiter_bytes():
        body += part
        if len(body) > REPLY_BYTES_MAX:
            raise Unanswered(f"an answer of more than {REPLY_BYTES_MAX} bytes")
    return body


def key_text(key: str) -> str:
    """A key of idempotence as a header can carry it: the same for the same key, another for another."""
    written = quote(key, safe=":/")
    # A digest cannot be mistaken for a key that was written out: those have no "sha256 ".
    return written if len(written) <= KEY_CHARACTERS_MAX else f"sha256 {hashlib.sha256(key.encode()).hexdigest()}"


def _seconds(retry_after: str) -> float:
    """What a Retry-After header says; a date is as good as nothing."""
    return min(float(retry_after), RETRY_AFTER_S_MAX) if retry_after.isdecimal() else 0.0
