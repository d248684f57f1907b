"""Where contestants run: the services, how many commands there are, and what a run may do with topics."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from confluent_kafka import ConsumerGroupTopicPartitions, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]  # re-exported without saying so

from bench.harness.filling import FILLINGS, fill
from eventlog.discovery import catalog
from eventlog.provision import ensure_topics, provision
from eventlog.reader import led
from eventlog.settings import Settings
from eventlog.topics import Topic

ROOT = Path(__file__).parents[2]
TIMEOUT_S = 30.0
GROUP_TIMEOUT_S = 60.0
STARTING = (
    KafkaError.NOT_COORDINATOR, KafkaError.COORDINATOR_NOT_AVAILABLE, KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
)  # fmt: skip
"""What a broker answers about groups for a moment after its start."""


class BenchError(Exception):
    """A run that did not do what it should have done."""


@dataclass
class Stand:
    """One stack with one topic of commands, which every contestant reads."""

    settings: Settings
    commands: int
    folder: Path
    """For logs, and for what contestants keep while they run."""
    kafka_pid: int | None = None
    profile: Path | None = None
    """Where the product's worker is to be profiled to; None to run it plainly."""
    shared: dict[str, object] = field(default_factory=dict)
    """What one run leaves for the next ones of this invocation, such as the outputs that all must agree on."""

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.admin = AdminClient({"bootstrap.servers": self.settings.kafka, "log_level": 0})

    def env(self, **more: str) -> dict[str, str]:
        """Environment of a program of the product's."""
        s = self.settings
        return os.environ | {
            "ONEFACT_STACK": "external", "ONEFACT_KAFKA": s.kafka, "ONEFACT_REGISTRY": s.registry,
            "ONEFACT_POSTGRES": s.postgres, "ONEFACT_REDIS": s.redis, "ONEFACT_HOME": str(self.folder / "home"),
        } | more  # fmt: skip

    # Topics and groups

    def fill(self, filling: str, topic: Topic) -> None:
        """Have exactly `commands` commands of a kind in the topic; kept from one invocation to the next."""
        manifest = self.folder / "filled.json"
        wanted = {"filling": filling, "commands": self.commands, "broker": self.settings.kafka}
        wanted["source"] = FILLINGS[filling].__doc__ or ""
        provision(self.settings, catalog())
        if manifest.exists() and json.loads(manifest.read_text()) == wanted and self.end(topic.name) == self.commands:
            return
        manifest.unlink(missing_ok=True)
        self.fresh([topic])
        fill(self.settings, FILLINGS[filling](self.commands), topic)
        if (found := self.end(topic.name)) != self.commands:
            raise BenchError(f"{topic.name} has {found} records instead of {self.commands}")
        manifest.write_text(json.dumps(wanted))

    def fresh(self, topics: Iterable[Topic], *groups: str) -> None:
        """Have the topics empty and the consumer groups unknown."""
        wanted = list(topics)
        self.drop([t.name for t in wanted], *groups)
        ensure_topics(self.settings, wanted)

    def drop(self, names: Iterable[str], *groups: str) -> None:
        """Delete topics and consumer groups, where they are there; gone on return."""
        wanted = set(names)
        if groups:
            until(lambda: self._forget(groups), f"groups {groups} empty and deleted", GROUP_TIMEOUT_S)
        if there := wanted & self.admin.list_topics(timeout=TIMEOUT_S).topics.keys():
            for future in self.admin.delete_topics(list(there)).values():
                _failed_but(future, KafkaError.UNKNOWN_TOPIC_OR_PART)
        until(lambda: not wanted & self.admin.list_topics(timeout=TIMEOUT_S).topics.keys(), "topics deleted")

    def _forget(self, groups: Iterable[str]) -> bool:
        """Whether the groups are gone; one whose members were killed has to wait for their sessions to end."""
        deleted = self.admin.delete_consumer_groups(list(groups)).values()
        codes = [_failed_but(f, KafkaError.GROUP_ID_NOT_FOUND, KafkaError.NON_EMPTY_GROUP, *STARTING) for f in deleted]
        return set(codes) <= {None, KafkaError.GROUP_ID_NOT_FOUND}

    def drop_with(self, part: str) -> None:
        """Delete the topics whose names hold this, such as those that a peer makes for itself."""
        self.drop(name for name in self.admin.list_topics(timeout=TIMEOUT_S).topics if part in name)

    def end(self, topic: str) -> int:
        """Sum of the end offsets of the topic's partitions."""
        return sum(self.ends(topic).values())

    def ends(self, topic: str) -> dict[int, int]:
        """End offset of each of the topic's partitions."""
        partitions = self.admin.list_topics(topic, timeout=TIMEOUT_S).topics[topic].partitions

        def ask() -> dict[int, int]:
            asked = self.admin.list_offsets(
                {TopicPartition(topic, p): OffsetSpec.latest() for p in partitions}  # type: ignore[no-untyped-call]
            )
            return {place.partition: future.result().offset for place, future in asked.items()}

        return led(ask)

    def committed(self, group: str, topic: Topic) -> dict[int, int]:
        """The group's committed positions in the topic, 0 where it has none."""
        places = [TopicPartition(topic.name, p) for p in range(topic.partitions)]
        (future,) = self.admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(group, places)]).values()
        try:
            found = future.result().topic_partitions
        except KafkaException as error:
            if error.args[0].code() in STARTING:
                return {}
            raise
        return {place.partition: max(0, place.offset) for place in found}

    # Processors' time

    def cpu(self, pids: Iterable[int]) -> dict[str, float]:
        """Seconds of processor time so far: of the broker, and of these processes and their children."""
        return {
            "broker": _cpu_s([self.kafka_pid]) if self.kafka_pid else 0.0,
            "contestant": _cpu_s(pids),
        }


def _cpu_s(pids: Iterable[int | None]) -> float:
    total = 0.0
    for pid in pids:
        try:
            process = psutil.Process(pid)
            family = [process, *process.children(recursive=True)]
            total += sum(sum(member.cpu_times()[:2]) for member in family)
        except psutil.NoSuchProcess:
            continue
    return total


def _failed_but(future: Future[None], *allowed: int) -> int | None:
    """Code of the error where it is an allowed one, None where there is none."""
    try:
        future.result()
    except KafkaException as error:
        code: int = error.args[0].code()
        if code not in allowed:
            raise
        return code
    return None


def until(done: Callable[[], bool], what: str, timeout_s: float = TIMEOUT_S) -> None:
    """Wait for a condition, or fail naming it."""
    deadline = time.monotonic() + timeout_s
    while not done():
        if time.monotonic() > deadline:
            raise BenchError(f"{what}: not after {timeout_s:.0f} s")
        time.sleep(0.02)
