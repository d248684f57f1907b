"""A command's outcome, as each kind of answer tells it."""

from __future__ import annotations

import time
from uuid import uuid4

import pytest

from eventlog.position import Position
from eventlog.settings import Settings
from producers import Accepted, DeadLettered, NoOutcome, Publisher, Refused, Tally, _listening
from producers import publisher as publishing
from tests.runtime.counting import COUNTING, Count
from tests.runtime.harness import header, read_all


def stream() -> str:
    return f"outcome-{uuid4().hex}"


def test_an_accepted_command_tells_version_and_a_position_just_after_its_event(
    publisher: Publisher, counting: Settings
) -> None:
    name = stream()
    outcome = publisher.send(Count(counter_id=name, number=3), wait=True)
    (event,) = [r for r in read_all(counting, COUNTING.topic("events")) if r.key == name.encode()]
    assert outcome == Accepted(name, 1, str(Position.of(event.topic, event.partition, event.offset + 1)))


def test_of_several_events_the_last_one_counts(publisher: Publisher, counting: Settings) -> None:
    name = stream()
    outcome = publisher.send(Count(counter_id=name, number=3, times=5), wait=True)
    last = [r for r in read_all(counting, COUNTING.topic("events")) if r.key == name.encode()][-1]
    assert outcome == Accepted(name, 5, str(Position.of(last.topic, last.partition, last.offset + 1)))
    assert publisher.send(Count(counter_id=name, number=1), wait=True).version == 6  # type: ignore[union-attr]


def test_a_command_without_events_is_accepted_at_no_position(publisher: Publisher) -> None:
    name = stream()
    assert publisher.send(Count(counter_id=name, number=0), wait=True) == Accepted(name, 0, "")


def test_a_refused_command_tells_code_and_reason(publisher: Publisher) -> None:
    assert publisher.send(Count(counter_id=stream(), number=-1), wait=True) == Refused(
        "negative", "numbers are 0 or more"
    )


def test_a_command_that_cannot_be_decided_is_dead_lettered(publisher: Publisher) -> None:
    assert publisher.send(Count(counter_id=stream(), number=13), wait=True) == DeadLettered(
        "decide_failed", "RuntimeError: a bug"
    )


@pytest.mark.parametrize("number", [4, 0, -1])
def test_a_repeated_command_has_its_first_outcome(publisher: Publisher, number: int) -> None:
    command = Count(counter_id=stream(), number=number)
    first = publisher.send(command, id="again", wait=True)
    assert publisher.send(Count(counter_id=command.counter_id, number=1), wait=True) != first
    assert publisher.send(command, id="again", wait=True) == first


def test_the_same_id_in_two_streams_is_two_commands(publisher: Publisher) -> None:
    one, two = stream(), stream()
    assert publisher.send(Count(counter_id=one, number=1), id="same", wait=True).stream == one  # type: ignore[union-attr]
    assert publisher.send(Count(counter_id=two, number=1), id="same", wait=True).stream == two  # type: ignore[union-attr]


def test_a_tally_counts_every_outcome_once(publisher: Publisher, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publishing, "OUTSTANDING_MAX", 500)  # so that publishing waits for outcomes on its way
    names = [stream() for _ in range(20)]
    tally = Tally()
    for number in range(3000):
        name = names[number % 20]
        kind = number % 7
        command = Count(counter_id=name, number=-1 if kind == 0 else 0 if kind == 1 else 1, times=2 if kind == 2 else 1)
        publisher.send(command, tally=tally)
    for _ in range(2):
        publisher.send(Count(counter_id=names[0], number=13), tally=tally)
    publisher.wait(tally)
    refused = len(range(0, 3000, 7))
    assert (tally.published, tally.accepted, tally.refused, tally.dead) == (3002, 3000 - refused, refused, 2)
    assert not publisher._reader._domains["counting"].waiting  # type: ignore[union-attr]


def test_one_id_many_times_has_as_many_outcomes_and_one_event(publisher: Publisher, counting: Settings) -> None:
    name, tally = stream(), Tally()
    for _ in range(50):
        publisher.send(Count(counter_id=name, number=1), id="once", tally=tally)
    publisher.wait(tally)
    assert (tally.accepted, tally.outstanding) == (50, 0)
    events = [r for r in read_all(counting, COUNTING.topic("events")) if r.key == name.encode()]
    assert [header(e, "ce_causationid") for e in events] == ["once"]


def test_reading_rests_when_nobody_waits_and_begins_again(
    publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_listening, "IDLE_S", 0.2)
    name = stream()
    publisher.send(Count(counter_id=name, number=1), wait=True)
    reader = publisher._reader
    assert reader
    deadline = time.monotonic() + 60
    while reader._domains["counting"].watched:
        assert time.monotonic() < deadline, "it never rested"
        time.sleep(0.05)
    assert publisher.send(Count(counter_id=name, number=1), wait=True).version == 2  # type: ignore[union-attr]


def test_silence_names_the_decider_and_what_to_look_at(settings: Settings) -> None:
    from tests.producers.silent import SILENT, Ask, provisioned

    provisioned(settings)
    with Publisher(settings, domains=[SILENT]) as publisher:
        with pytest.raises(
            NoOutcome, match=r"silent\.decider is away.*an-id.*stream s.*onefact status.*stays published"
        ):
            publisher.send(Ask(subject="s"), id="an-id", wait=True, timeout_s=0.3)
        assert not publisher._reader._domains["silent"].waiting  # type: ignore[union-attr]
        tally = Tally()
        publisher.send(Ask(subject="s"), tally=tally)
        with pytest.raises(NoOutcome, match="1 commands have no outcome"):
            publisher.wait(tally, 0.3)
