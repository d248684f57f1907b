"""Decides the commands of trading with Faust as it comes; its arguments are those of `bench.peers.peer.Job`.

One event at a time and `processing_guarantee="exactly_once"`, as its documentation has it.
"""

from __future__ import annotations

import logging
import sys
from typing import Any

import faust
from faust.serializers import codecs

from bench.peers.deciding import Deciding, pack, unpack

PARTITIONS = 4


class PortfolioCodec(codecs.Codec):
    """A portfolio as msgpack, for the changelog."""

    def _loads(self, s: bytes) -> Any:
        return unpack(s)

    def _dumps(self, obj: Any) -> bytes:
        return pack(obj)


def main(
    job: str, brokers: str, registry: str, commands: str, events: str, rejections: str, folder: str, version: str
) -> None:
    for name in ("faust", "mode", "aiokafka"):
        logging.getLogger(name).setLevel(logging.ERROR)
    codecs.register("portfolio", PortfolioCodec())
    app = faust.App(
        job,
        broker=[f"kafka://{server}" for server in brokers.split(",")],
        store="memory://",
        processing_guarantee="exactly_once",
        topic_partitions=PARTITIONS,
        topic_replication_factor=1,
        topic_disable_leader=True,
        consumer_auto_offset_reset="earliest",
        web_enabled=False,
        stream_wait_empty=False,
        datadir=folder,
        # Tuned for throughput: larger fetches, and queues that do not make it wait.
        broker_max_poll_records=4000,
        stream_buffer_maxsize=16_384,
        producer_linger=0.02,
        producer_max_batch_size=1 << 20,
    )
    raw: dict[str, Any] = {"key_type": bytes, "value_type": bytes, "key_serializer": "raw", "value_serializer": "raw"}
    source = app.topic(commands, partitions=PARTITIONS, **raw)
    accepted, refused = (app.topic(name, partitions=PARTITIONS, **raw) for name in (events, rejections))
    portfolios: Any = app.Table("portfolios", partitions=PARTITIONS, key_type=bytes)
    portfolios.value_serializer = "portfolio"  # a table takes none as an argument, and JSON has no decimals
    deciding = Deciding(registry, version)

    @app.agent(source)
    async def decide(stream: Any) -> None:
        async for event in stream.events():
            key, message = event.key, event.message
            done, fact, out, after = deciding(key, event.value, dict(message.headers), portfolios.get(key))
            topic = refused
            if done:
                portfolios[key] = after
                topic = accepted
            await topic.send(key=key, value=fact, headers=dict(out), partition=message.partition)

    app.finalize()
    worker = faust.Worker(app, loglevel="ERROR", redirect_stdouts=False)
    worker.execute_from_commandline()


if __name__ == "__main__":
    main(*sys.argv[1:])
