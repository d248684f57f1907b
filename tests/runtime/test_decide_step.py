"""What a step hands over once its events are in the log: outcomes with the offsets that the events were given."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from eventlog.codec import Codec
from eventlog.envelope import Record, command_headers
from eventlog.message import CommandAnswered
from eventlog.partition import partition_of
from eventlog.steps import DecideStep
from tests.laws.registry import MemorySchemas
from tests.runtime.counting import CATALOG, COUNTING, DECIDER, Count

NOW = datetime(2024, 1, 2, tzinfo=UTC)
COUNTER = "c1"
PARTITION = partition_of(COUNTER.encode(), COUNTING.topic("commands").partitions)


def record(codec: Codec, offset: int, command_id: str, times: int) -> Record:
    command = Count(counter_id=COUNTER, number=1, times=times)
    headers = command_headers(command_id, "test", "Count", COUNTER, NOW)
    topic = COUNTING.topic("commands").name
    return Record(topic, PARTITION, offset, 0, COUNTER.encode(), codec.encode(command), headers)


@pytest.mark.parametrize(
    ("placed", "expected"),
    [
        ([(0, 100)], [101, 103, 106]),
        ([(0, 100), (1, 200)], [101, 202, 205]),  # a part begins with an event of a command's own
        ([(0, 100), (2, 200)], [101, 201, 204]),  # one begins in the middle of a command's events
        ([(0, 100), (1, 200), (3, 300), (5, 400)], [101, 202, 401]),
    ],
)
def test_outcomes_name_the_offset_after_their_last_event(placed: list[tuple[int, int]], expected: list[int]) -> None:
    codec = Codec(MemorySchemas(), CATALOG.message_types)
    step = DecideStep(DECIDER, codec)
    commands = [record(codec, offset, f"id{offset}", times) for offset, times in enumerate((1, 2, 3))]
    done = step.run(commands)
    step.late(done, placed)
    step.commit(done)
    again: Any = step.run(commands)
    answers, _ = step.late(again, [])
    answered: list[Any] = [codec.decode(value, COUNTING.topic("outcomes")) for _, value, _ in answers]
    assert all(isinstance(answer, CommandAnswered) for answer in answered)
    assert [answer.offset for answer in answered] == expected
