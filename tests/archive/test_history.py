"""A stream's history: whole, an error where archive and log do not meet, and a word where old facts were let go."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from confluent_kafka import Producer

from deploy.cli import facts as module
from deploy.cli import main
from deploy.cli.facts import facts_of
from eventlog.archive.meta import have_topic
from eventlog.codec import Codec
from eventlog.envelope import command_headers, event_id
from eventlog.errors import Hole
from eventlog.provision import described, ensure_topics
from eventlog.reader import LogReader
from eventlog.registry import Registry
from eventlog.topics import Domain, Topic
from tests.archive.conftest import Archive
from tests.archive.live import cut
from tests.runtime.counting import Counted

STREAM = "c1"
"""In the only partition, with every record of it."""
FACTS = 50


def begun(archive: Archive, *, archived: int = 0, retention: timedelta | None = None) -> Domain:
    """A domain with facts of one stream, some of them archived."""
    topic = Topic(archive.topic, (Counted,), 1, retention=retention, dead_letters=False)
    ensure_topics(archive.settings, [topic])
    producer = Producer({"bootstrap.servers": archive.settings.kafka, "log_level": 0})
    with Registry(archive.settings.registry) as registry:
        codec = Codec(registry, (Counted,))
        for number in range(FACTS):
            fact = Counted(counter_id=STREAM, number=number, total=0)
            headers = command_headers(event_id(STREAM, number), "test", "Counted", STREAM, datetime.now(UTC))
            producer.produce(topic.name, key=STREAM, value=codec.encode(fact), headers=headers)
    assert producer.flush(30) == 0
    if archived:
        with LogReader(archive.settings) as log:
            have_topic(archive.objects, topic.name, log.topic_id(topic.name), described(archive.settings, topic.name))
        archive.write(archive.log()[:archived], files=2)
    return Domain(archive.topic.replace(".", "-"), facts=(topic,))


def history(archive: Archive, domain: Domain) -> tuple[list[int], list[str]]:
    """Numbers of the facts that are shown, and what is said to be gone."""
    gone: list[str] = []
    found = facts_of(STREAM, [domain], archive.settings, everything=False, on_gone=gone.append)
    return [fact["data"]["number"] for fact in found], gone


def test_a_hole_between_archive_and_log_is_an_error(archive: Archive) -> None:
    domain = begun(archive, archived=30)
    cut(archive, 30)
    assert history(archive, domain) == (list(range(FACTS)), []), "they meet"
    cut(archive, 40)
    with pytest.raises(Hole, match=f"{archive.topic}:0: offsets 30 to 39 are neither in the log nor in the archive"):
        history(archive, domain)


def test_the_program_says_which_offsets_and_ends_with_1(
    archive: Archive, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    domain = begun(archive, archived=30)
    cut(archive, 40)
    assert run(archive, domain, monkeypatch) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == f"error: {archive.topic}:0: offsets 30 to 39 are neither in the log nor in the archive\n"


def test_what_nobody_archived_is_said_to_be_gone(
    archive: Archive, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    domain = begun(archive)
    assert history(archive, domain) == (list(range(FACTS)), [])
    cut(archive, 40)
    gone = f"{archive.topic}:0: offsets 0 to 39 are gone, neither the log nor an archive has them"
    assert history(archive, domain) == (list(range(40, FACTS)), [gone])
    assert run(archive, domain, monkeypatch) == 0
    said = capsys.readouterr()
    assert said.out.count("Counted") == FACTS - 40
    assert said.err == f"note: {gone}\n"


def test_of_a_topic_with_a_retention_what_is_there_is_shown(archive: Archive) -> None:
    """The archiver was away for longer than Kafka keeps the topic's records."""
    domain = begun(archive, archived=30, retention=timedelta(days=30))
    cut(archive, 40)
    shown, gone = history(archive, domain)
    assert shown == [*range(30), *range(40, FACTS)]
    assert gone == [f"{archive.topic}:0: offsets 30 to 39 are gone, neither the log nor an archive has them"]


def run(archive: Archive, domain: Domain, monkeypatch: pytest.MonkeyPatch) -> int:
    """The exit code of `onefact history`."""
    own = facts_of

    def of_domain(stream: str, _: Sequence[Domain], __: object, **named: object) -> object:
        return own(stream, [domain], archive.settings, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "facts_of", of_domain)
    monkeypatch.setattr(sys, "argv", ["onefact", "history", STREAM])
    try:
        main()
    except SystemExit as ended:
        return int(ended.code or 0)
    return 0
