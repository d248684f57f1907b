"""The same publisher for programs that run an event loop."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Iterable
from datetime import datetime
from functools import partial
from typing import Any, Literal, overload

from eventlog.message import Message
from eventlog.settings import Settings
from eventlog.topics import Domain
from producers._answers import DomainAnswers, Kind
from producers._sending import LOOK_S
from producers._waiting import Receipt, Ticket
from producers.outcome import Outcome
from producers.publisher import OUTCOME_TIMEOUT_S, Extensions, Publisher

FULL_S = 0.005
"""Between attempts while the producer's queue is full."""


_Parcel = tuple[str, datetime | None, str | None, Extensions]
"""Id, time, source and further headers of a message."""


class _Letterbox:
    """Brings results from client threads to the loop; wakes it once for many."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._lock = threading.Lock()
        self._box: deque[tuple[asyncio.Future[Any], Any]] = deque()

    def post(self, future: asyncio.Future[Any], result: Any) -> None:
        with self._lock:
            self._box.append((future, result))
            if len(self._box) > 1:
                return
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._empty)

    def _empty(self) -> None:
        with self._lock:
            box, self._box = self._box, deque()
        for future, result in box:
            if future.done():  # its owner has given up
                continue
            if isinstance(result, Exception):
                future.set_exception(result)
            else:
                future.set_result(result)


class _Delivery(Receipt, gc=False, eq=False):
    """A receipt whose delivery is awaited on a loop, which is who learns that it failed."""

    future: Any = None
    letterbox: Any = None

    def report(self, error: Any, message: Any) -> None:
        if error is None:
            Receipt.report(self, error, message)
            self.letterbox.post(self.future, self)
        else:
            self.error = error
            self.letterbox.post(self.future, self.failure())


class _AwaitedTicket(Ticket):
    __slots__ = ("future", "letterbox")

    def __init__(self, future: asyncio.Future[Outcome], letterbox: _Letterbox) -> None:
        super().__init__()
        self.future = future
        self.letterbox = letterbox

    def settle(self, kind: Kind, message: Any, answers: DomainAnswers) -> None:
        super().settle(kind, message, answers)
        self.letterbox.post(self.future, self.outcome)


class AsyncPublisher:
    """Publishes typed messages from one event loop: `async with AsyncPublisher() as publisher:`.

    `await publisher.send(message)` returns when the log has it, `send(message, wait=True)` when it is decided;
    many at once with `asyncio.gather`. What is raised is what `Publisher` raises.
    """

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        source: str = "onefact/publisher",
        domains: Iterable[Domain] | None = None,
    ) -> None:
        self._publisher = Publisher(settings, source=source, domains=domains)
        self._sender = self._publisher.sender
        self._known: set[type[Message]] = set()
        self._stopping = threading.Event()
        self._poller = threading.Thread(target=self._poll, name="deliveries", daemon=True)

    async def __aenter__(self) -> AsyncPublisher:
        self._loop = asyncio.get_running_loop()
        self._letterbox = _Letterbox(self._loop)
        self._poller.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    @overload
    async def send(
        self,
        message: Message,
        *,
        wait: Literal[True],
        id: str | None = ...,
        time: datetime | None = ...,
        source: str | None = ...,
        extensions: Extensions = ...,
        timeout_s: float = ...,
    ) -> Outcome: ...

    @overload
    async def send(
        self,
        message: Message,
        *,
        wait: Literal[False] = ...,
        id: str | None = ...,
        time: datetime | None = ...,
        source: str | None = ...,
        extensions: Extensions = ...,
        timeout_s: float = ...,
    ) -> Receipt: ...

    async def send(
        self,
        message: Message,
        *,
        id: str | None = None,  # noqa: A002 - the field's own name
        time: datetime | None = None,
        source: str | None = None,
        extensions: Extensions = (),
        wait: bool = False,
        timeout_s: float = OUTCOME_TIMEOUT_S,
    ) -> Receipt | Outcome:
        """Publish a message and await its delivery, with `wait` its outcome; see `Publisher.send`."""
        if type(message) not in self._known:
            await asyncio.to_thread(self._sender.route, type(message))
            self._known.add(type(message))
        parcel = (id or self._sender.new_id(), time, source, extensions)
        if wait:
            return await self._send_and_wait(message, parcel, timeout_s)
        return await self._deliver(message, parcel)

    async def close(self) -> None:
        """Await what is on its way, and let go of connections."""
        try:
            await asyncio.to_thread(self._publisher.flush)
        finally:
            self._stopping.set()
            await asyncio.to_thread(self._poller.join)
            await asyncio.to_thread(self._publisher.close)

    async def _deliver(self, message: Message, parcel: _Parcel) -> Receipt:
        future: asyncio.Future[Receipt] = self._loop.create_future()
        new_receipt = partial(_Delivery, future=future, letterbox=self._letterbox)
        while True:
            try:
                self._sender.send(message, *parcel, new_receipt, block=False)
                return await future
            except BufferError:
                await asyncio.sleep(FULL_S)

    async def _send_and_wait(self, message: Message, parcel: _Parcel, timeout_s: float) -> Outcome:
        future: asyncio.Future[Outcome] = self._loop.create_future()
        ticket = _AwaitedTicket(future, self._letterbox)
        # May ask the broker where to begin, or meet a batch of answers that is being read.
        expecting = asyncio.create_task(asyncio.to_thread(self._publisher.expect, message, parcel[0], ticket))
        try:
            decided = await asyncio.shield(expecting)
        except asyncio.CancelledError:
            # The thread goes on, and its ticket would wait for ever.
            expecting.add_done_callback(partial(self._given_up, message, parcel[0], ticket))
            raise
        try:
            async with asyncio.timeout(timeout_s):
                receipt = await self._deliver(message, parcel)
                return await future if decided else receipt.as_outcome()
        except TimeoutError:
            raise self._publisher.no_outcome(message, parcel[0], timeout_s) from None
        finally:
            if decided and ticket.outcome is None:
                self._publisher.forget(message, parcel[0], ticket)

    def _given_up(self, message: Message, id: str, ticket: Ticket, expecting: asyncio.Task[bool]) -> None:  # noqa: A002
        if not expecting.cancelled() and expecting.exception() is None and expecting.result():
            self._publisher.forget(message, id, ticket)

    def _poll(self) -> None:
        while not self._stopping.is_set():
            self._sender.poll(LOOK_S)
