"""Decides the commands of trading with Quix Streams; its arguments are those of `bench.peers.peer.Job`."""

from __future__ import annotations

import sys
from typing import Any

from quixstreams import Application
from quixstreams.models import Serializer

from bench.peers.deciding import Deciding, Headers, pack, unpack

Fact = tuple[bool, bytes, Headers]
STATE = "portfolio"


class FactValue(Serializer):  # type: ignore[misc]  # checked without Quix Streams, which is elsewhere
    """The bytes of a fact: it was encoded when it was decided."""

    def __call__(self, value: Fact, ctx: Any) -> bytes:
        return value[1]


def main(
    job: str, brokers: str, registry: str, commands: str, events: str, rejections: str, folder: str, version: str
) -> None:
    app = Application(
        broker_address=brokers,
        consumer_group=job,
        processing_guarantee="exactly-once",
        auto_offset_reset="earliest",
        state_dir=folder,
        auto_create_topics=True,  # the changelog's, of the state
        loglevel="WARNING",
        # Tuned for throughput. A transaction costs some 50 ms here: one a second costs little, and is as far as
        # one would go with what others wait for.
        commit_interval=1.0,
        max_partition_buffer_size=50_000,
        consumer_extra_config={"fetch.wait.max.ms": 50, "queued.min.messages": 100_000},
        producer_extra_config={
            "linger.ms": 20, "batch.num.messages": 10_000, "batch.size": 1 << 20,
            "queue.buffering.max.messages": 500_000,
        },
    )  # fmt: skip
    source = app.topic(commands, key_deserializer="bytes", value_deserializer="bytes")
    accepted = app.topic(events, key_serializer="bytes", value_serializer=FactValue())
    refused = app.topic(rejections, key_serializer="bytes", value_serializer=FactValue())
    deciding = Deciding(registry, version)

    def decide(value: bytes, key: bytes, timestamp: int, headers: Any, state: Any) -> Fact:
        kept = state.get_bytes(STATE)
        done, fact, out, after = deciding(key, value, dict(headers), unpack(kept) if kept else None)
        if done:
            state.set_bytes(STATE, pack(after))
        return done, fact, out

    frame = app.dataframe(source)
    frame = frame.apply(decide, stateful=True, metadata=True)
    frame = frame.set_headers(lambda fact, key, timestamp, headers: fact[2])
    frame.to_topic(lambda fact, key, timestamp, headers: accepted if fact[0] else refused)
    app.run()


if __name__ == "__main__":
    main(*sys.argv[1:])
