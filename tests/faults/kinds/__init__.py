"""The faults: what is done to workers, services, clients and disks while commands come in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tests.faults.case import Kind
from tests.faults.kinds.clients import twice
from tests.faults.kinds.disks import disk
from tests.faults.kinds.services import broker, registry, stores
from tests.faults.kinds.workers import kill, storm, zombie


@dataclass(frozen=True)
class Planned:
    """A kind as the campaign runs it."""

    run: Kind
    cases: int
    chunk: int
    """Cases that one set of services serves."""
    what: str


KINDS: Mapping[str, Planned] = {
    "kill": Planned(kill, 300, 50, "kill -9 of a worker at named points and at random moments"),
    "broker": Planned(broker, 40, 10, "kill -9 and restart of the broker; pause of the broker 20 s"),
    "zombie": Planned(zombie, 40, 10, "a worker stopped past its session and its transaction, then woken"),
    "stores": Planned(stores, 60, 20, "Postgres, Redis restarted mid-batch and mid-rebuild; Redis emptied"),
    "storm": Planned(storm, 10, 5, "workers join and leave every 2 s for 2 minutes"),
    "twice": Planned(twice, 20, 20, "the same commands twice, by two clients at once, and 10 % again later"),
    "registry": Planned(registry, 10, 5, "the registry away for 60 s"),
    "disk": Planned(disk, 10, 5, "disk of a worker's state full"),
}


def state_of(kind: str, number: int) -> str:
    """Where the processors of a case keep their state: every second set of services has it on disk."""
    return "rocksdb" if kind == "disk" or number // KINDS[kind].chunk % 2 else "memory"
