"""What the commands' topic is filled with; the same bytes every time but for the broker's timestamps."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta
from typing import Any

from eventlog.codec import Codec
from eventlog.discovery import catalog
from eventlog.envelope import command_headers, time_text
from eventlog.registry import Registry
from eventlog.settings import Settings
from eventlog.topics import Topic
from producers._producer import new_producer
from producers.trading import SAMPLE_START, sample

SEED = 1


def trading(count: int) -> Iterator[dict[str, Any]]:
    """The sample of trading, seed 1: a portfolio per 40 commands, 2 % refused."""
    return sample(count, SEED)


def portfolios(count: int) -> Iterator[dict[str, Any]]:
    """A stream per command: each opens a portfolio of its own."""
    for n in range(count):
        yield {
            "type": "OpenPortfolio",
            "id": f"open-{n:07d}",
            "source": "onefact/sample",
            "time": time_text(SAMPLE_START + timedelta(milliseconds=n)),
            "data": {"portfolio_id": f"portfolio-{n:07d}", "owner": "ada", "currency": "USD", "margin": False},
        }


def traced(count: int) -> Iterator[dict[str, Any]]:
    """The sample of trading, each command with a `traceparent`, of which one in a hundred asks to be recorded."""
    for n, event in enumerate(trading(count), 1):
        yield event | {"traceparent": f"00-{n:032x}-{n:016x}-{'01' if n % 100 == 0 else '00'}"}


FILLINGS: dict[str, Callable[[int], Iterator[dict[str, Any]]]] = {
    "trading": trading, "portfolios": portfolios, "traced": traced,
}  # fmt: skip


def fill(settings: Settings, events: Iterable[dict[str, Any]], topic: Topic) -> None:
    """Publish CloudEvents as the product's publisher does: the same headers, partitions and compression."""
    classes = {cls.__name__: cls for cls in topic.types}
    producer = new_producer(settings)
    with Registry(settings.registry) as registry:
        codec = Codec(registry, catalog().message_types)
        for batch in _in_batches(events, 1000):
            for event in batch:
                command: Any = classes[event["type"]](**event["data"])
                time = datetime.fromisoformat(event["time"])
                extra = [("traceparent", event["traceparent"].encode())] if "traceparent" in event else []
                headers = command_headers(
                    event["id"], event["source"], event["type"], command.stream, time, extra=extra
                )
                value = codec.encode(command)
                while True:
                    try:
                        producer.produce(topic.name, key=command.stream, value=value, headers=headers)  # type: ignore[arg-type]
                        break
                    except BufferError:
                        producer.poll(0.1)
            producer.poll(0)
    if left := producer.flush(60):
        raise RuntimeError(f"{left} commands were not taken by the broker")


def _in_batches(events: Iterable[Any], size: int) -> Iterator[list[Any]]:
    waiting = iter(events)
    while batch := list(itertools.islice(waiting, size)):
        yield batch
