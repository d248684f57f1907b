"""Publishes commands and facts: typed, idempotent, delivery awaited, outcomes on request."""

from __future__ import annotations

import atexit
import threading
import time as clock
from collections.abc import Callable, Iterable
from datetime import datetime
from functools import partial
from typing import Literal, overload

from eventlog.message import Message
from eventlog.partition import partition_of
from eventlog.settings import Settings
from eventlog.topics import Domain
from producers._answers import DomainAnswers, Waiter
from producers._listening import AnswerReader
from producers._sending import LOOK_S, Sender
from producers._waiting import CountedReceipt, Receipt, Tally, Ticket
from producers.outcome import NoOutcome, Outcome

OUTCOME_TIMEOUT_S = 30.0
OUTSTANDING_MAX = 100_000
"""Commands of one tally that are waited for at a time: bounds memory, and how far publishing runs ahead."""
_ASK = "is a worker running (`onefact status`), and how far behind is it (`onefact lag`)?"
Extensions = Iterable[tuple[str, bytes]]


class Publisher:
    """Publishes typed messages; used from any thread, best as `with Publisher() as publisher:`.

    What was sent and could not be delivered is raised by the next `send`, by `flush` or by `close`.
    `source` says who publishes (CloudEvents). Raises `ServiceAway` where a service's address is not known.
    """

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        source: str = "onefact/publisher",
        domains: Iterable[Domain] | None = None,
    ) -> None:
        self._settings = settings or Settings()
        self.sender = _sender(self._settings)(self._settings, source, domains)
        self._reader: AnswerReader | None = None
        self._heard: dict[type[Message], DomainAnswers] = {}
        self._starting = threading.Lock()
        self._closed = False
        atexit.register(self.close)  # a program that forgets to close loses nothing

    def __enter__(self) -> Publisher:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @overload
    def send(
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
    def send(
        self,
        message: Message,
        *,
        wait: Literal[False] = ...,
        id: str | None = ...,
        time: datetime | None = ...,
        source: str | None = ...,
        extensions: Extensions = ...,
        tally: Tally | None = ...,
        timeout_s: float = ...,
    ) -> Receipt: ...

    def send(
        self,
        message: Message,
        *,
        id: str | None = None,  # noqa: A002 - the field's own name
        time: datetime | None = None,
        source: str | None = None,
        extensions: Extensions = (),
        wait: bool = False,
        tally: Tally | None = None,
        timeout_s: float = OUTCOME_TIMEOUT_S,
    ) -> Receipt | Outcome:
        """Publish a message; with `wait`, until it is decided, and return its outcome.

        `id` is the key of idempotence (a random one by default), `time` when it happened (now), `extensions`
        further headers. A `tally` counts the outcomes of many. Raises `BadInput` for a message that cannot be
        published, `DeliveryFailed` when earlier ones were not delivered, `NoOutcome` after `timeout_s`.
        """
        if wait:
            return self._send_and_wait(message, id or self.sender.new_id(), time, source, extensions, timeout_s)
        if tally is None:
            return self.sender.send(message, id, time, source, extensions)
        return self._send_counted(message, id or self.sender.new_id(), time, source, extensions, tally, timeout_s)

    def new_id(self) -> str:
        """A random id, as `send` gives a message that has none."""
        return self.sender.new_id()

    def flush(self) -> None:
        """Wait until everything that was sent is in the log; raises `DeliveryFailed`."""
        self.sender.flush()

    def close(self) -> None:
        """Flush, and let go of connections; raises `DeliveryFailed`. Idempotent."""
        if self._closed:
            return
        self._closed = True
        atexit.unregister(self.close)
        try:
            self.flush()
        finally:
            if self._reader:
                self._reader.close()
            self.sender.close()

    def wait(
        self,
        tally: Tally,
        timeout_s: float = OUTCOME_TIMEOUT_S,
        *,
        left: int = 0,
        on_progress: Callable[[], None] | None = None,
    ) -> None:
        """Wait until at most `left` of a tally's commands have no outcome.

        `on_progress` is called now and then. Raises `DeliveryFailed`, and `NoOutcome` when none of them
        got one for `timeout_s`.
        """
        settled, heard = tally.settled, clock.monotonic()
        while tally.outstanding > left:
            self.sender.poll(0 if self._reader else LOOK_S)
            self.sender.raise_failed()
            if on_progress:
                on_progress()
            if self._reader:
                self._reader.wait(lambda: tally.outstanding <= left, LOOK_S)
            if tally.settled != settled:
                settled, heard = tally.settled, clock.monotonic()
            elif clock.monotonic() - heard > timeout_s:
                raise NoOutcome(
                    "the decider",
                    f"{tally.outstanding} commands have no outcome, and none came for {timeout_s:g} s; {_ASK} "
                    "They stay published",
                )

    def expect(self, message: Message, command_id: str, waiter: Waiter, *, everywhere: bool = False) -> bool:
        """Have a waiter told the outcome of a message that is published after this; False where nobody decides it.

        `everywhere` listens to all partitions at once, for many messages.
        """
        cls = type(message)
        route = self.sender.route(cls)
        if route.decided_by is None:
            return False
        answers = self._heard.get(cls) or self._listen(cls, route.decided_by)
        key = getattr(message, route.stream_field).encode()
        partitions = range(route.partitions) if everywhere else (partition_of(key, route.partitions),)
        assert self._reader
        self._reader.expect(answers, partitions, (key, command_id.encode()), waiter)
        return True

    def forget(self, message: Message, command_id: str, waiter: Waiter) -> None:
        """The waiter has given up."""
        answers = self._heard.get(type(message))
        if answers is not None and self._reader is not None:
            self._reader.forget(answers, (message.stream.encode(), command_id.encode()), waiter)

    def no_outcome(self, message: Message, command_id: str, timeout_s: float) -> NoOutcome:
        """What is raised when a decider is silent."""
        domain = self.sender.route(type(message)).decided_by
        assert domain
        return NoOutcome(
            f"{domain.name}.decider",
            f"no outcome of {command_id} (stream {message.stream}) within {timeout_s:g} s; {_ASK} It stays published",
        )

    def _send_and_wait(
        self,
        message: Message,
        command_id: str,
        time: datetime | None,
        source: str | None,
        extensions: Extensions,
        timeout_s: float,
    ) -> Outcome:
        ticket = Ticket()
        if not self.expect(message, command_id, ticket):
            return self.sender.send(message, command_id, time, source, extensions).as_outcome()
        assert self._reader
        deadline = clock.monotonic() + timeout_s
        try:
            receipt = self.sender.send(message, command_id, time, source, extensions)
            while ticket.outcome is None:
                self.sender.poll(0)
                if receipt.error is not None:
                    self.sender.raise_failed()
                left = deadline - clock.monotonic()
                if left <= 0:
                    raise self.no_outcome(message, command_id, timeout_s)
                self._reader.wait(lambda: ticket.outcome is not None, min(left, LOOK_S))
        finally:
            if ticket.outcome is None:
                self.forget(message, command_id, ticket)
        return ticket.outcome

    def _send_counted(
        self,
        message: Message,
        command_id: str,
        time: datetime | None,
        source: str | None,
        extensions: Extensions,
        tally: Tally,
        timeout_s: float,
    ) -> Receipt:
        if tally.outstanding >= OUTSTANDING_MAX:
            self.wait(tally, timeout_s, left=OUTSTANDING_MAX - OUTSTANDING_MAX // 10)
        decided = self.expect(message, command_id, tally, everywhere=True)
        new_receipt = Receipt if decided else partial(CountedReceipt, tally=tally)
        try:
            receipt = self.sender.send(message, command_id, time, source, extensions, new_receipt)
        except BaseException:
            self.forget(message, command_id, tally)
            raise
        tally.published += 1
        return receipt

    def _listen(self, cls: type[Message], domain: Domain) -> DomainAnswers:
        with self._starting:
            if self._reader is None:
                self._reader = AnswerReader(self._settings)
        answers = self._heard[cls] = self._reader.add(domain, self.sender.codec(domain))
        return answers


def _sender(settings: Settings) -> type[Sender]:
    if not settings.tracing:
        return Sender
    from producers._tracing import TracedSender

    return TracedSender
