"""Facts of trading in their topics, without the workers that would make them."""

from __future__ import annotations

import json

from bench.harness.stand import BenchError, Stand
from eventlog.codec import Codec
from eventlog.discovery import catalog
from eventlog.envelope import Headers, time_text
from eventlog.provision import provision
from eventlog.registry import Registry
from eventlog.testing import run_samples
from producers._producer import new_producer
from schemas.trading import TRADING

SEED = 1
TOPICS = (TRADING.topic("events"), TRADING.topic("enriched"))


def fill_facts(stand: Stand) -> None:
    """Have the facts that `commands` commands lead to in the topics; kept from one invocation to the next."""
    manifest = stand.folder / "facts.json"
    provision(stand.settings, catalog())
    counts = json.loads(manifest.read_text()) if manifest.exists() else {}
    now = {topic.name: stand.end(topic.name) for topic in TOPICS}
    if counts == now | {"commands": stand.commands}:
        return
    stand.fresh(TOPICS)
    facts = run_samples(catalog(), stand.commands, SEED).of(TOPICS)
    producer = new_producer(stand.settings)
    with Registry(stand.settings.registry) as registry:
        codec = Codec(registry, catalog().message_types)
        for number, (topic, event, meta) in enumerate(facts):
            role = "decider" if topic.name == "trading.events" else "enricher"
            key, version, cause = meta.stream.encode(), b"%d" % meta.version, b"sample-%d-%07d" % (SEED, number)
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
    found = {topic.name: stand.end(topic.name) for topic in TOPICS}
    manifest.write_text(json.dumps(found | {"commands": stand.commands}))
