"""What an effect makes of facts and replies, without a broker and without a network."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from eventlog.codec import Codec
from eventlog.envelope import Record, command_headers, read_meta
from eventlog.errors import HandlerFailed
from eventlog.message import Event
from eventlog.roles import Reply
from eventlog.steps import EffectStep
from eventlog.steps.effect import Answer
from tests.effects.errands import CATALOG, EFFECT, ERRANDS, Paid, PayAsked, Settle
from tests.laws.registry import MemorySchemas

NOW = datetime(2024, 1, 2, tzinfo=UTC)
EVENTS, COMMANDS = ERRANDS.topic("events"), ERRANDS.topic("commands")
APPENDED_MS = 1_700_000_000_000
OK = Reply(201, {"status": "approved", "reference": "ch_1"})


@pytest.fixture
def codec() -> Codec:
    return Codec(MemorySchemas(), CATALOG.message_types)


def asked(codec: Codec, offset: int, account: str = "a", amount: str = "5", event: Event | None = None) -> Record:
    fact = event or PayAsked(account=account, number=offset, amount=amount)
    extra = [("ce_sequence", b"%d" % (offset + 1)), ("ce_tenant", b"t1")]
    headers = command_headers(f"{account}:{offset + 1}", "test", type(fact).__name__, account, NOW, correlation="c",
                              extra=extra)  # fmt: skip
    return Record(EVENTS.name, 0, offset, APPENDED_MS, account.encode(), codec.encode(fact), headers)


def head(step: EffectStep, account: str = "a", reply: Reply = OK) -> Answer:
    key = account.encode()
    return key, step.waiting[key][0], reply


def take(step: EffectStep, *records: Record) -> Any:
    done = step.run(records, (), 0)
    step.commit(done)
    return done


def keys(step: EffectStep, account: str = "a") -> list[str]:
    return [each.call.key for each in step.waiting.get(account.encode(), ())]


def restored(codec: Codec, *rows: Any) -> EffectStep:
    step = EffectStep(EFFECT, codec, 0)
    step.restore([(key, value) for key, value, _ in rows])
    step.resume()
    return step


def test_calls_of_a_stream_wait_in_the_order_of_its_facts(codec: Codec) -> None:
    step = EffectStep(EFFECT, codec, 0)
    done = take(step, asked(codec, 0), asked(codec, 1, "b"), asked(codec, 2))
    assert (keys(step), keys(step, "b"), done.next_offset, step.count) == (["a:1", "a:3"], ["b:2"], 3, 3)
    with pytest.raises(AssertionError, match="order"):
        step.run((), [(b"a", step.waiting[b"a"][1], OK)], 0)


def test_facts_that_ask_for_nothing_leave_nothing(codec: Codec) -> None:
    step = EffectStep(EFFECT, codec, 0)
    paid = Paid(account="a", number=1, status="approved", reference="ch_1")
    done = take(step, asked(codec, 0, event=paid), asked(codec, 1, amount="0"))
    assert (step.count, done.rows, step.changelog(done), done.next_offset) == (0, {}, [], 2)


def test_a_reply_becomes_the_commands_that_it_means(codec: Codec) -> None:
    step = EffectStep(EFFECT, codec, 0)
    take(step, asked(codec, 0))
    done = step.run((), [head(step)], APPENDED_MS + 2500)
    ((key, value, headers),) = done.rows[COMMANDS.name]
    assert codec.decode(value, COMMANDS) == Settle(account="a", number=0, status="approved", reference="ch_1")
    meta = read_meta(Record(COMMANDS.name, 0, 0, 0, key, value, headers))
    assert (meta.id, meta.causation, meta.correlation) == ("a:1:answer", "a:1", "c")
    assert meta.time == NOW + timedelta(seconds=2.5), "as long after the fact as the reply came"
    assert dict(headers)["ce_tenant"] == b"t1"
    assert [(k, v) for k, v, _ in step.changelog(done)] == [(b"a", None)]
    assert step.count == 1, "nothing is changed until the commit"
    step.commit(done)
    assert step.count == 0


def test_whoever_takes_over_asks_what_was_not_answered(codec: Codec) -> None:
    step = EffectStep(EFFECT, codec, 0)
    rows = step.changelog(take(step, asked(codec, 0), asked(codec, 1), asked(codec, 2, "b")))
    successor = restored(codec, *rows)
    assert (keys(successor), keys(successor, "b")) == (["a:1", "a:2"], ["b:3"])
    after = step.run((asked(codec, 3, "b"),), [head(step), head(step, "b")], 0)
    successor = restored(codec, *rows, *step.changelog(after))
    assert (keys(successor), keys(successor, "b")) == (["a:2"], ["b:4"])
    answered = successor.run((), [head(successor)], APPENDED_MS)
    step.commit(after)
    assert answered.rows == step.run((), [head(step)], APPENDED_MS).rows, "the same command, whoever was answered"


def test_a_batch_that_failed_leaves_no_trace(codec: Codec) -> None:
    step = EffectStep(EFFECT, codec, 0)
    take(step, asked(codec, 0))
    first = step.run((asked(codec, 1),), [head(step)], 5)
    again = step.run((asked(codec, 1),), [head(step)], 5)
    assert (first.rows, step.changelog(first)) == (again.rows, step.changelog(again))


def test_what_cannot_be_read_is_a_dead_letter(codec: Codec) -> None:
    step = EffectStep(EFFECT, codec, 0)
    broken = asked(codec, 0)
    broken.headers = [header for header in broken.headers if header[0] != "ce_time"]
    done = take(step, broken, asked(codec, 1))
    assert (done.counts["dead"], done.counts["asked"], len(done.rows[EVENTS.dead.name])) == (1, 1, 1)


def test_a_role_that_fails_stops_its_partition(codec: Codec) -> None:
    step = EffectStep(EFFECT, codec, 0)
    with pytest.raises(HandlerFailed, match=r"errands\.events:0:7"):
        step.run((asked(codec, 7, amount="a bug"),), (), 0)
    take(step, asked(codec, 8))
    with pytest.raises(HandlerFailed, match=r"errands\.events:0:8"):
        step.run((), [head(step, reply=Reply(201, {"status": ["no", "text"]}))], 0)
