"""The counting domain's next release: its decider adds a bonus to every number."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime

from eventlog.message import Event
from tests.runtime.counting import CATALOG, DECIDER, ENRICHER, Count, Total, decide

BONUS = 1000


def decide_with_bonus(command: Count, state: Total | None, time: datetime) -> Iterable[Event]:
    return decide(Count(counter_id=command.counter_id, number=command.number + BONUS), state, time)


NEXT = replace(
    CATALOG,
    deciders=(replace(DECIDER, decide=decide_with_bonus, version="2"),),
    enrichers=(replace(ENRICHER, version="2"),),
)
