"""Facts of an earlier release under the code of the next: what they mean is the same, or differs where it is said."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from eventlog.codec import Codec
from eventlog.discovery import _check
from eventlog.envelope import Record, command_headers, read_meta
from eventlog.errors import HandlerFailed, OnefactError, Poison, Superseded, UnknownSchema
from eventlog.memory import MemoryRows
from eventlog.models import Row
from eventlog.roles import Catalog
from eventlog.schema import record_name, schema_text
from eventlog.steps import DecideStep, EnrichStep, ProjectStep
from eventlog.topics import Upcaster
from tests.evolution.till import (
    NEW,
    OLD,
    Balanced,
    GoodsSold,
    Refunded,
    Returned,
    Sell,
    Sold,
    TaxDue,
    on_journal_without_parts,
)
from tests.laws.registry import MemorySchemas

NOON = datetime(2024, 1, 2, 12, tzinfo=UTC)
EVENTS = OLD.topic("till.events")
COMMANDS = (Sell(till_id="t", gross=Decimal(10)), Sell(till_id="t", gross=Decimal(4), back=True),
            Sell(till_id="t", gross=Decimal("0.05")))  # fmt: skip


@pytest.fixture
def schemas() -> MemorySchemas:
    """The registry of a cluster where the old release ran."""
    return MemorySchemas()


def codec_of(catalog: Catalog, schemas: MemorySchemas) -> Codec:
    return Codec(schemas, catalog.message_types, catalog.upcasters)


def patiently(codec: Codec, step: Any, records: list[Record]) -> Any:
    while True:
        try:
            return step.run(records)
        except UnknownSchema as unknown:
            codec.learn(unknown.schema_id)


def decided(catalog: Catalog, schemas: MemorySchemas, first: int = 0) -> list[Record]:
    """The facts that a release makes of the commands."""
    codec = codec_of(catalog, schemas)
    step = DecideStep(catalog.deciders[0], codec)
    topic = catalog.topic("till.commands").name
    commands = [
        Record(topic, 1, first + n, 0, b"t", codec.encode(c), command_headers(f"c{first + n}", "x", "Sell", "t", NOON))
        for n, c in enumerate(COMMANDS)
    ]
    done = patiently(codec, step, commands)
    assert done.counts["dead"] == 0, done.rows
    return [Record(EVENTS.name, 1, first + n, 0, *row) for n, row in enumerate(done.rows[EVENTS.name])]


def model(catalog: Catalog, schemas: MemorySchemas, name: str, records: list[Record]) -> list[Row]:
    projection = next(p for p in catalog.projections if p.model.name == name)
    codec = codec_of(catalog, schemas)
    done = patiently(codec, ProjectStep(projection, EVENTS_OF[id(catalog)], codec), records)
    assert done.counts["dead"] == 0, done.rows
    rows = MemoryRows(projection.model)
    rows.apply(done.changes)
    return list(rows.scan())


EVENTS_OF = {id(catalog): catalog.topic("till.events") for catalog in (OLD, NEW)}


def test_a_replay_under_new_code_gives_an_equal_model(schemas: MemorySchemas) -> None:
    facts = decided(OLD, schemas)
    before = model(OLD, schemas, "cash", facts)
    assert before == [{"till_id": "t", "cash": Decimal("6.05")}]
    assert model(NEW, schemas, "cash", facts) == before


def test_a_replay_under_new_code_gives_the_declared_difference(schemas: MemorySchemas) -> None:
    """A row for each part: same version, an id and a number of its own; what was not split is as it was."""
    facts = decided(OLD, schemas)
    rows = [(r["version"], r["part"], r["type"], r["id"], r["amount"]) for r in model(NEW, schemas, "journal", facts)]
    assert rows == [
        (1, 1, "GoodsSold", "t:1.1", Decimal(8)),
        (1, 2, "TaxDue", "t:1.2", Decimal(2)),
        (2, 0, "Returned", "t:2", Decimal(-4)),
        (3, 1, "GoodsSold", "t:3.1", Decimal("0.04")),
        (3, 2, "TaxDue", "t:3.2", Decimal("0.01")),
    ]


def test_facts_of_both_releases_in_one_log(schemas: MemorySchemas) -> None:
    facts = decided(OLD, schemas)
    mixed = facts + decided(NEW, schemas, len(facts))
    assert model(NEW, schemas, "cash", mixed) == [{"till_id": "t", "cash": Decimal("12.1")}]


def test_enrichers_see_each_part(schemas: MemorySchemas) -> None:
    facts = decided(OLD, schemas)
    codec = codec_of(NEW, schemas)
    done = patiently(codec, EnrichStep(NEW.enrichers[0], codec, {}), facts)
    topic = NEW.topic("till.enriched")
    made = [codec.decode(value, topic) for _, value, _ in done.rows[topic.name]]
    assert [(fact.after, fact.balance) for fact in made if isinstance(fact, Balanced)] == [
        ("GoodsSold", Decimal(8)), ("TaxDue", Decimal(10)), ("Returned", Decimal(6)),
        ("GoodsSold", Decimal("6.04")), ("TaxDue", Decimal("6.05")),
    ]  # fmt: skip
    metas = [read_meta(Record(topic.name, 1, n, 0, *row)) for n, row in enumerate(done.rows[topic.name])]
    assert [meta.version for meta in metas] == [1, 2, 3, 4, 5]
    # A cause is a record of the log, so it is named as it is there.
    assert [meta.causation for meta in metas] == ["t:1", "t:1", "t:2", "t:3", "t:3"]


def test_what_is_written_now_is_read_without_an_upcaster(schemas: MemorySchemas) -> None:
    decided(OLD, schemas)
    codec = codec_of(NEW, schemas)
    (fact, *_) = decided(NEW, schemas)
    assert codec.decode(fact.value, EVENTS_OF[id(NEW)]) == GoodsSold(till_id="t", net=Decimal(8))


def old_values(schemas: MemorySchemas) -> dict[str, bytes | None]:
    return {dict(r.headers)["ce_type"].decode(): r.value for r in decided(OLD, schemas)}  # type: ignore[union-attr]


def test_readers_of_a_few(schemas: MemorySchemas) -> None:
    values = old_values(schemas)
    codec, topic = codec_of(NEW, schemas), EVENTS_OF[id(NEW)]
    assert codec.messages(values["Refunded"], topic) == [Returned(till_id="t", gross=Decimal(4), cashier=None)]
    assert codec.messages(values["Sold"], topic) == [
        GoodsSold(till_id="t", net=Decimal("0.04")),
        TaxDue(till_id="t", tax=Decimal("0.01")),
    ]
    with pytest.raises(Superseded):
        codec.decoder(topic)(values["Sold"])
    with pytest.raises(Poison, match="does not carry"):
        codec.messages(values["Sold"], NEW.topic("till.commands"))


def test_upcasters_follow_one_another(schemas: MemorySchemas) -> None:
    values, topic = old_values(schemas), EVENTS_OF[id(NEW)]
    back = Upcaster(Refunded, lambda old: [Sold(till_id=old.till_id, gross=-old.amount)])
    types = [cls for cls in NEW.message_types if cls is not Returned]
    assert Codec(schemas, types, (*NEW.upcasters, back)).messages(values["Refunded"], topic) == [
        GoodsSold(till_id="t", net=Decimal("-3.2")),
        TaxDue(till_id="t", tax=Decimal("-0.8")),
    ]
    nothing = Upcaster(Refunded, lambda _: ())
    assert Codec(schemas, types, (nothing,)).messages(values["Refunded"], topic) == []
    elsewhere = Upcaster(Refunded, lambda _: [TaxDue(till_id="other", tax=Decimal(1))])
    endless = Upcaster(Refunded, lambda old: [old])
    for wrong, said in ((elsewhere, "into another stream"), (endless, "do not come to an end")):
        with pytest.raises(TypeError, match=said):
            Codec(schemas, types, (wrong,)).messages(values["Refunded"], topic)


def test_rows_of_parts_do_not_overwrite_each_other(schemas: MemorySchemas) -> None:
    facts = decided(OLD, schemas)
    codec = codec_of(NEW, schemas)
    careless = replace(NEW.projections[1], on=on_journal_without_parts)
    with pytest.raises(HandlerFailed, match=r"till\.events:1:0.*put `meta\.part` into it"):
        patiently(codec, ProjectStep(careless, EVENTS_OF[id(NEW)], codec), facts)


def test_what_an_upcaster_begins_with_is_not_written_any_more() -> None:
    wrong = replace(OLD.domains[0], upcasters=NEW.upcasters)
    with pytest.raises(OnefactError, match="begins with Sold, which is still written"):
        _check(Catalog(domains=(wrong,)))


def test_old_readers_beside_new_writers(schemas: MemorySchemas) -> None:
    """A class that only has a field more is read by the release before, which does not see the field.

    A class that it does not know is a dead letter to it: readers are replaced first.
    """
    later = codec_of(NEW, schemas)
    wider = schema_text(Refunded).replace(
        '"fields": [', '"fields": [{"name": "cashier", "type": ["null", "string"], "default": null},'
    )
    schema_id = schemas.register(record_name(Refunded), wider)
    earlier = codec_of(OLD, schemas)
    narrow = earlier.encode(Refunded(till_id="t", amount=Decimal(4)))
    value = b"\x00" + schema_id.to_bytes(4, "big") + b"\x02\x04cy" + narrow[5:]
    assert earlier.messages(value, EVENTS) == (Refunded(till_id="t", amount=Decimal(4)),)
    with pytest.raises(Poison, match="no domain here declares"):
        earlier.messages(later.encode(GoodsSold(till_id="t", net=Decimal(1))), EVENTS)
