"""Calls that leave the process, against the real simulator: each is answered in the end, and done once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest

from eventlog.errors import OnefactError
from eventlog.roles import Call, Reply
from eventlog.runtime import metrics
from eventlog.runtime.outside import KEY_CHARACTERS_MAX, Outside, Terms, key_text
from eventlog.settings import Settings
from tests.effects.provider import Provider

HUNG_S = 60
CLOSED, OPEN = 0, 2

pytestmark = pytest.mark.asyncio


def terms(provider: Provider, **other: Any) -> Terms:
    given: dict[str, Any] = {
        "url": provider.url, "deadline_s": 5.0, "attempts": 4, "limit": 16, "rate": 1000.0, "failures": 5,
        "pause_s": 1.0,
    }  # fmt: skip
    return Terms(**{**given, **other})


@asynccontextmanager
async def outside(name: str, told: Terms) -> AsyncIterator[Outside]:
    made = Outside(name, told)
    try:
        async with asyncio.timeout(HUNG_S):
            yield made
    finally:
        await made.close()


def charge(number: int | str, amount: str = "12.50") -> Call:
    return Call("/charges", {"order_id": f"o{number}", "amount": amount, "currency": "GBP"}, f"key {number}")


def metric(name: str, outside: str, outcome: str = "") -> float:
    labels = {"outside": outside} | ({"outcome": outcome} if outcome else {})
    return metrics.REGISTRY.get_sample_value(name, labels) or 0.0


async def during(done: Awaitable[Any], look: Callable[[], float]) -> float:
    """The largest that was seen while something was done."""
    working, most = asyncio.ensure_future(done), 0.0
    while not working.done():
        most = max(most, look())
        await asyncio.sleep(0.002)
    await working
    return most


async def test_what_the_provider_says_is_the_reply(provider: Provider) -> None:
    async with outside("says", terms(provider)) as asked:
        approved = await asked.ask(charge(1))
        assert (approved.status, approved.body["status"]) == (201, "approved")
        assert await asked.ask(charge(1)) == approved, "the same key, the same answer"
        declined = await asked.ask(charge(2, "100000.01"))
        assert (declined.status, declined.body) == (402, {**declined.body, "status": "declined"})
        assert (await asked.ask(charge(3, "no number"))).status == 400
        assert (await asked.ask(Call("/charges", charge(4).body, charge(1).key))).status == 422
    assert [entry["status"] for entry in provider.books()["charges"]] == ["approved", "declined"]


async def test_each_call_is_answered_and_done_once_whatever_goes_wrong(provider: Provider) -> None:
    provider.misbehave(fail=0.3, drop=0.2, delay_s=0.02)
    async with outside("wrong", terms(provider, pause_s=0.5)) as asked:
        replies = await asyncio.gather(*(asked.ask(charge(number)) for number in range(60)))
    assert all(isinstance(reply, Reply) and reply.status == 201 for reply in replies)
    booked = {entry["key"]: entry["reference"] for entry in provider.books()["charges"]}
    assert booked == {key_text(f"key {number}"): reply.body["reference"] for number, reply in enumerate(replies)}
    assert metric("onefact_calls_total", "wrong", "answered") == 60
    assert metric("onefact_calls_total", "wrong", "unanswered") > 0
    assert metric("onefact_call_retries_total", "wrong") == metric("onefact_calls_total", "wrong", "unanswered")
    assert metric("onefact_calls_waiting", "wrong") == metric("onefact_calls_in_flight", "wrong") == 0


async def test_who_is_away_is_left_alone_and_asked_again_when_back(provider: Provider) -> None:
    provider.misbehave(away_s=1000)
    told = terms(provider, limit=4)
    async with outside("away", told) as asked:
        calls = [asyncio.create_task(asked.ask(charge(number))) for number in range(20)]
        while metric("onefact_circuit_state", "away") != OPEN:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        opened, made = time.monotonic(), metric("onefact_calls_total", "away", "unanswered")
        assert made <= 5 + 4, "more than opened the circuit, or were in flight meanwhile"
        # More than were in flight: somebody has looked whether it is back.
        while metric("onefact_calls_total", "away", "unanswered") < made + told.limit:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        assert not any(call.done() for call in calls)
        provider.misbehave(away_s=0)
        replies = await asyncio.gather(*calls)
        assert {reply.status for reply in replies} == {201}
        # Those that were in flight, and then one call at a time that looks whether it is back: a look in each pause.
        looks = int((time.monotonic() - opened) / told.pause_s)
        assert metric("onefact_calls_total", "away", "unanswered") - made <= told.limit - 1 + looks
        assert metric("onefact_calls_total", "away", "rejected") > 0
        assert metric("onefact_circuit_state", "away") == CLOSED
    assert len(provider.books()["charges"]) == 20


async def test_one_call_at_a_time_finds_out_whether_somebody_is_back(provider: Provider) -> None:
    provider.misbehave(delay_s=1e6)  # so that finding out takes the whole deadline, and others come meanwhile
    async with outside("probe", terms(provider, deadline_s=0.5, attempts=1, failures=3, pause_s=0.1)) as asked:
        calls = [asyncio.create_task(asked.ask(charge(number))) for number in range(30)]
        while metric("onefact_circuit_state", "probe") == CLOSED or metric("onefact_calls_in_flight", "probe"):  # noqa: ASYNC110
            await asyncio.sleep(0.005)
        most, before = 0.0, metric("onefact_calls_total", "probe", "unanswered")
        while metric("onefact_calls_total", "probe", "unanswered") < before + 3:
            most = max(most, metric("onefact_calls_in_flight", "probe"))
            await asyncio.sleep(0.005)
        assert most == 1
        provider.misbehave(delay_s=0)
        assert {reply.status for reply in await asyncio.gather(*calls)} == {201}


async def test_no_more_calls_are_in_flight_than_the_limit(provider: Provider) -> None:
    provider.misbehave(delay_s=0.2)
    async with outside("bulkhead", terms(provider, limit=3)) as asked:
        calls = asyncio.gather(*(asked.ask(charge(number)) for number in range(15)))
        assert await during(calls, lambda: metric("onefact_calls_in_flight", "bulkhead")) == 3


async def test_no_more_attempts_are_made_than_the_rate(provider: Provider) -> None:
    started = time.monotonic()
    async with outside("rate", terms(provider, rate=20)) as asked:
        await asyncio.gather(*(asked.ask(charge(number)) for number in range(40)))
    assert time.monotonic() - started >= (40 - 20) / 20, "20 at once, and 20 a second after them"


async def test_an_attempt_ends_at_its_deadline_and_is_made_again(provider: Provider) -> None:
    provider.misbehave(delay_s=1e6)  # the longest; it draws one, and a short one would be an answer in time
    async with outside("deadline", terms(provider, deadline_s=0.3)) as asked:
        call = asyncio.create_task(asked.ask(charge(1)))
        while metric("onefact_calls_total", "deadline", "unanswered") < 2:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        provider.misbehave(delay_s=0)
        assert (await call).status == 201
    assert len(provider.books()["charges"]) == 1


async def test_a_wrong_password_or_address_is_no_answer(provider: Provider) -> None:
    wrong = [provider.url.replace("token", "nothing"), f"{provider.url}/elsewhere", "http://127.0.0.1:1", ""]
    for number, url in enumerate(wrong):
        async with outside(f"nobody{number}", terms(provider, url=url, attempts=1)) as asked:
            call = asyncio.create_task(asked.ask(charge(1)))
            while not metric("onefact_calls_total", f"nobody{number}", "unanswered"):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            assert not call.done()
            call.cancel()
            with suppress(asyncio.CancelledError):
                await call
            assert metric("onefact_calls_waiting", f"nobody{number}") == 0
    assert provider.books()["charges"] == []


async def test_any_text_is_a_key(provider: Provider) -> None:
    keys = ["a\nb", "a\0b", "a\"'b", "a\u202eb", "é", "%0A", "x" * 4096, "x" * 4095 + "y", "sha256 x"]
    async with outside("keys", terms(provider)) as asked:
        for number, key in enumerate(keys):
            assert (await asked.ask(Call("/charges", charge(number).body, key))).status == 201
    booked = [entry["key"] for entry in provider.books()["charges"]]
    assert len(set(booked)) == len(keys)
    assert max(map(len, booked)) <= KEY_CHARACTERS_MAX


async def test_books_outlive_their_provider(provider: Provider) -> None:
    async with outside("killed", terms(provider, pause_s=0.2)) as asked:
        first = await asked.ask(charge(1))
        provider.kill()
        provider.start()
        assert await asked.ask(charge(1)) == first


async def test_whom_no_setting_names_cannot_be_called() -> None:
    with pytest.raises(OnefactError, match="nobody_url"):
        Terms.of("nobody", Settings())
