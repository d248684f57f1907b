"""Facts and refusals to a saga's inbox: each as it is, under the key of the instance that it is for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from eventlog.codec import Codec
from eventlog.envelope import RawRecord, read_meta
from eventlog.errors import HandlerFailed, Poison, Superseded
from eventlog.rows import Outputs
from eventlog.sagas import Relay
from eventlog.topics import Topic


class Relayed(Outputs):
    """What of a batch is for the saga."""

    __slots__ = ("counts", "next_offset")

    def __init__(self) -> None:
        super().__init__()
        self.counts = {"relayed": 0, "passed_over": 0, "dead": 0}
        self.next_offset = 0


class RelayStep:
    """The relay of one partition of one source; it remembers nothing."""

    def __init__(self, relay: Relay, source: Topic, codec: Codec) -> None:
        self.relay = relay
        self.source = source
        self._key = relay.saga.key
        self._inbox = relay.saga.source.name
        self._decode = codec.decoder(source)

    def run(self, records: Sequence[RawRecord]) -> Relayed:
        """Look at the records, which follow one another.

        Raises `UnknownSchema`, and `HandlerFailed` when the saga's `key` raises.
        """
        done = Relayed()
        for record in records:
            try:
                meta = read_meta(record)
                messages: Sequence[Any] = (self._decode(record.value),)
            except Superseded as old:
                messages = old.messages
            except Poison as poison:
                done.counts["dead"] += 1
                done.dead(record, self.source, self.relay.name, poison)
                continue
            try:
                keys = dict.fromkeys(key for message in messages if (key := self._key(message, meta)))
            except Exception as error:
                raise HandlerFailed(self.relay.name, record.topic, record.partition, record.offset, error) from error
            done.counts["relayed" if keys else "passed_over"] += 1
            for key in keys:
                done.spread.setdefault(self._inbox, []).append((key.encode(), record.value, list(record.headers)))  # type: ignore[arg-type]
        done.next_offset = records[-1].offset + 1
        return done
