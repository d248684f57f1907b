"""Facts of trading in their topics, without the workers that would make them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import replace

from bench.harness.stand import BenchError, Stand
from eventlog.codec import Codec
from eventlog.discovery import catalog
from eventlog.envelope import Headers, time_text
from eventlog.provision import provision
from eventlog.registry import Registry
from eventlog.testing import Fact, sample_facts
from producers._producer import new_producer
from schemas.market import MARKET
from schemas.trading import TRADING

SEED = 1
COMMANDS_MAX = 200_000
"""Commands that facts are made from, at most: a rebuild of what they lead to takes some ten seconds a round."""
TOPICS = (TRADING.topic("events"), TRADING.topic("enriched"))


def load_of_facts(commands: int) -> str:
    """What a contest works on, that reads these facts."""
    return f"the facts of {min(commands, COMMANDS_MAX):,} commands"


def fill_facts(stand: Stand) -> None:
    """Have the facts that `commands` commands of trading lead to, or `COMMANDS_MAX`; kept from one time to the next."""
    commands = min(stand.commands, COMMANDS_MAX)
    manifest = stand.folder / "facts.json"
    provision(stand.settings, catalog())
    counts = json.loads(manifest.read_text()) if manifest.exists() else {}
    now = {topic.name: stand.end(topic.name) for topic in TOPICS}
    if counts == now | {"commands": commands}:
        return
    stand.fresh(TOPICS)
    produce_facts(stand, facts_of(commands))
    ends = {topic.name: stand.end(topic.name) for topic in TOPICS}
    manifest.write_text(json.dumps(ends | {"commands": commands}))


def facts_of(commands: int) -> Iterator[Fact]:
    """Facts of a sample of trading, as deciders and enrichers make them."""
    found = catalog()
    trading = replace(found, sources=tuple(s for s in found.sources if s.domain in (TRADING, MARKET)))
    return (fact for fact in sample_facts(trading, commands, SEED) if fact[0] in TOPICS)


def produce_facts(stand: Stand, facts: Iterable[Fact]) -> None:
    """Append facts with the headers that a decider, or an enricher, gives them."""
    producer = new_producer(stand.settings)
    with Registry(stand.settings.registry) as registry:
        codec = Codec(registry, catalog().message_types)
        for number, (topic, event, meta) in enumerate(facts):
            role = "decider" if topic.name == "trading.events" else "enricher"
            key, version = meta.stream.encode(), b"%d" % meta.version
            cause = meta.causation.encode() or b"sample-%d-%07d" % (SEED, number)
            headers: Headers = [
                ("ce_specversion", b"1.0"),
                ("ce_id", b"%s:%s" % (key, version)),
                ("ce_source", f"onefact/trading.{role}".encode()),
                ("ce_type", meta.type.encode()),
                ("ce_subject", key),
                ("ce_time", time_text(meta.time).encode()),
                ("ce_sequence", version),
                ("ce_causationid", cause),
                ("ce_correlationid", cause),
            ]
            value = codec.encode(event)
            while True:
                try:
                    producer.produce(topic.name, key=key, value=value, headers=headers)  # type: ignore[arg-type]
                    break
                except BufferError:
                    producer.poll(0.1)
            if number % 1000 == 0:
                producer.poll(0)
    if left := producer.flush(60):
        raise BenchError(f"{left} facts were not taken by the broker")
