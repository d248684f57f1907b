"""What is sent is in the log, as it was sent; what is not is an error."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone
from uuid import UUID, uuid4

import pytest
from aiokafka.partitioner import murmur2
from hypothesis import given, strategies

from eventlog import partition as partitions
from eventlog.envelope import HEADER_BYTES_MAX, command_headers
from eventlog.errors import BadInput, NotFound, OnefactError, ServiceAway
from eventlog.message import Message
from eventlog.position import Position
from eventlog.settings import Settings
from eventlog.topics import RECORD_BYTES_MAX, Domain, Topic
from producers import Accepted, DeliveryFailed, Publisher, Tally, _producer
from tests.producers.silent import SIGHTINGS, SILENT, Ask, Elsewhere, Seen, provisioned
from tests.runtime.harness import codec_of, header, read_all

AT = datetime(2024, 1, 2, 3, 4, 5, 678900, UTC)


@pytest.fixture(scope="module")
def silent(settings: Settings) -> Settings:
    provisioned(settings)
    return settings


def kept(settings: Settings, topic: Topic, key: str) -> list:
    return [record for record in read_all(settings, topic) if record.key == key.encode()]


def test_a_record_is_what_the_envelope_and_the_codec_say(silent: Settings) -> None:
    from eventlog.roles import Catalog

    name = uuid4().hex
    message = Ask(subject=name, text="why")
    extra = [("ce_tenant", b"t"), ("traceparent", b"00-1-2-3")]
    with Publisher(silent, source="me", domains=[SILENT]) as publisher:
        receipt = publisher.send(message, id="one", time=AT, extensions=extra)
        position = receipt.delivered()
        east = timezone(timedelta(hours=2))
        publisher.send(message, id="two", time=AT.astimezone(east), source="other").delivered()
    first, second = kept(silent, SILENT.topic("commands"), name)
    expected = command_headers("one", "me", "Ask", name, AT, extra=extra)
    assert sorted(first.headers) == sorted(expected)
    assert sorted(second.headers) == sorted(command_headers("two", "other", "Ask", name, AT))
    assert position == Position.of(first.topic, first.partition, first.offset + 1)
    with codec_of(silent, Catalog(domains=(SILENT,))) as codec:
        assert first.value == codec.encode(message)


def test_a_correlation_of_the_client_is_kept(silent: Settings) -> None:
    name = uuid4().hex
    with Publisher(silent, domains=[SILENT]) as publisher:
        publisher.send(Ask(subject=name), extensions=[("ce_correlationid", b"mine")])
    (record,) = kept(silent, SILENT.topic("commands"), name)
    assert [v for n, v in record.headers if n == "ce_correlationid"] == [b"mine"]


def test_id_and_time_are_filled_in(silent: Settings) -> None:
    name = uuid4().hex
    before = datetime.now(UTC)
    with Publisher(silent, domains=[SILENT]) as publisher:
        receipts = [publisher.send(Ask(subject=name)) for _ in range(600)]
    records = kept(silent, SILENT.topic("commands"), name)
    ids = [header(record, "ce_id") for record in records]
    assert ids == [receipt.id for receipt in receipts]
    assert len(set(ids)) == 600
    assert all(UUID(each).version == 4 and str(UUID(each)) == each and UUID(each).variant for each in ids)
    times = [header(record, "ce_time") for record in records]
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", each) for each in times)
    assert before <= datetime.fromisoformat(times[0]) <= datetime.fromisoformat(times[-1]) <= datetime.now(UTC)


def test_a_full_queue_makes_the_sender_wait_and_loses_nothing(
    silent: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_producer, "QUEUE_RECORDS", 10)
    name = uuid4().hex
    with Publisher(silent, domains=[SILENT]) as publisher:
        for number in range(2000):
            publisher.send(Ask(subject=name, text=str(number)))
    assert len(kept(silent, SILENT.topic("commands"), name)) == 2000


def test_a_fact_that_nobody_decides_is_accepted_once_it_is_delivered(silent: Settings) -> None:
    name, tally = uuid4().hex, Tally()
    with Publisher(silent, domains=[SILENT]) as publisher:
        outcome = publisher.send(Seen(subject=name), wait=True)
        for _ in range(10):
            publisher.send(Seen(subject=name), tally=tally)
        publisher.wait(tally)
        assert publisher._reader is None
    record = kept(silent, SIGHTINGS, name)[0]
    assert outcome == Accepted(name, 0, str(Position.of(record.topic, record.partition, record.offset + 1)))
    assert (tally.published, tally.accepted) == (10, 10)


def test_keys_go_where_every_client_puts_them(silent: Settings) -> None:
    names = [f"{'x' * (n % 9)}{uuid4().hex[:n]}" or "x" for n in range(32)]
    with Publisher(silent, domains=[SILENT]) as publisher:
        for name in names:
            publisher.send(Seen(subject=name or "-"))
    for record in read_all(silent, SIGHTINGS):
        assert record.key
        assert partitions.partition_of(record.key, SIGHTINGS.partitions) == record.partition


@given(strategies.binary(max_size=64))
def test_murmur2_is_the_one_of_other_clients(data: bytes) -> None:
    assert partitions.murmur2(data) == murmur2(data) & 0xFFFFFFFF


@pytest.mark.usefixtures("unhurried")
def test_what_is_not_delivered_is_raised_by_whoever_asks_next(silent: Settings) -> None:
    publisher = Publisher(silent, domains=[SILENT])
    publisher.sender.route(Ask)
    receipt = publisher.send(Ask(subject="gone"), id="lost")
    publisher.sender._producer.purge()  # as if the broker had not answered in time
    with pytest.raises(
        DeliveryFailed, match="1 of the records sent were not delivered, among them lost of stream gone"
    ):
        publisher.flush()
    with pytest.raises(DeliveryFailed, match="lost of stream gone was not delivered"):
        receipt.delivered()
    publisher.send(Ask(subject="gone"), id="lost too")
    publisher.sender._producer.purge()
    publisher.sender.poll(1)
    with pytest.raises(DeliveryFailed, match="lost too"):
        publisher.send(Ask(subject="gone"))
    publisher.send(Ask(subject="gone"), id="lost at last")
    publisher.sender._producer.purge()
    with pytest.raises(DeliveryFailed, match="lost at last"):
        publisher.close()
    publisher.close()


@pytest.mark.parametrize(
    "message, options, said",
    [
        (Ask(subject=""), {}, "subject of a Ask needs 1 to 4096 bytes, not 0"),
        (Ask(subject="s" * (HEADER_BYTES_MAX + 1)), {}, "not 4097"),
        (Ask(subject="s", text="x" * RECORD_BYTES_MAX), {}, f"over the limit of {RECORD_BYTES_MAX}"),
        (Ask(subject="s", text="\ud800"), {}, "not a Ask that can be written"),
        (Ask(subject="s", text=5), {}, "not a Ask that can be written"),  # type: ignore[arg-type]
        (Ask(subject="s"), {"id": ""}, "the id of a Ask needs 1 to"),
        (Ask(subject="s"), {"id": "i" * (HEADER_BYTES_MAX + 1)}, "the id of a Ask needs 1 to"),
        (Ask(subject="s"), {"time": AT.replace(tzinfo=None)}, "has no zone"),
        (Elsewhere(subject="s"), {}, "what can be: Ask, Seen"),
    ],
)
def test_what_cannot_be_published_is_refused_before_it_is_sent(
    silent: Settings, message: Message, options: dict, said: str
) -> None:
    with Publisher(silent, domains=[SILENT]) as publisher, pytest.raises(BadInput, match=re.escape(said)):
        publisher.send(message, **options)


def test_a_topic_that_is_missing_or_of_another_shape_is_said(silent: Settings) -> None:
    elsewhere = Domain("elsewhere", commands=(Elsewhere,))
    wider = Domain("silent", facts=(Topic("silent.sightings", (Seen,), partitions=7),))
    with (
        Publisher(silent, domains=[elsewhere]) as publisher,
        pytest.raises(NotFound, match=r"no topic elsewhere\.commands; `onefact up`"),
    ):
        publisher.send(Elsewhere(subject="s"))
    with (
        Publisher(silent, domains=[wider]) as publisher,
        pytest.raises(OnefactError, match=r"silent\.sightings has 4 partitions, declared are 7"),
    ):
        publisher.send(Seen(subject="s"))


def test_services_that_are_away_are_named(silent: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ServiceAway, match="kafka is away: its address is not known"):
        Publisher(Settings(home=silent.home / "none", registry=silent.registry, kafka=""))
    nobody = silent.model_copy(update={"kafka": "127.0.0.1:1"})
    with monkeypatch.context() as patch, Publisher(nobody, domains=[SILENT]) as publisher:
        patch.setattr(_producer, "METADATA_TIMEOUT_S", 1)
        with pytest.raises(ServiceAway, match="kafka is away"):
            publisher.send(Ask(subject="s"))
    nobody = silent.model_copy(update={"registry": "http://127.0.0.1:1"})
    with Publisher(nobody, domains=[SILENT]) as publisher, pytest.raises(ServiceAway, match="registry is away"):
        publisher.send(Ask(subject="s"))
