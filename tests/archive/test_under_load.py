"""A cluster that is lost in the middle of a load comes back: there are moments to go back to, whatever the load."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Iterator

import pytest
from confluent_kafka.admin import AdminClient

from eventlog.archive.cuts import Cut, newest_cut
from eventlog.archive.objects import Objects
from eventlog.bootstrap.whole import Torn, bootstrap, wanted_topics
from eventlog.codec import Codec
from eventlog.envelope import Record
from eventlog.provision import provision
from eventlog.runtime.groups import commit_positions
from eventlog.settings import CUT_EVERY_S_MIN, Settings
from tests.archive.loaded import CATALOG, LOADED
from tests.backing import Backing
from tests.runtime.counting import Count
from tests.runtime.harness import Workers, codec_of, header, publish, read_all, wait_until
from tests.runtime.test_exactly_once import all_decided, check_invariants

COMMANDS, EVENTS, ENRICHED = (LOADED.topic(kind) for kind in ("commands", "events", "enriched"))
STREAMS = 400
AT_ONCE = 500
WAIT_S = 90


class Load(threading.Thread):
    """Publishes without a pause until it is told to stop."""

    def __init__(self, settings: Settings, codec: Codec) -> None:
        super().__init__(name="load")
        self.commands: list[tuple[str, Count]] = []
        self.stopped = threading.Event()
        self._settings = settings
        self._codec = codec

    def run(self) -> None:
        while not self.stopped.is_set():
            at = len(self.commands)
            more = [(f"load:{n}", Count(counter_id=f"load-{n % STREAMS}", number=1)) for n in range(at, at + AT_ONCE)]
            self.commands += more  # whether they were kept is not known before the answer: they are sent again
            publish(self._settings, self._codec, COMMANDS, more)


@pytest.fixture
def own(settings: Settings) -> Settings:
    place = settings.s3.rpartition("/")[0]
    return settings.model_copy(update={"s3": f"{place}/load-{secrets.token_hex(4)}"})


@pytest.fixture
def workers(backing: Backing, own: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workers]:
    provision(own, CATALOG)
    often = {"ONEFACT_ARCHIVE_AGE_S": "0.5", "ONEFACT_CUT_EVERY_S": f"{CUT_EVERY_S_MIN}"}
    environment = backing.env | {"ONEFACT_S3": own.s3} | often
    started = Workers(environment, tmp_path_factory.mktemp("workers"), module="tests.archive.loaded")
    yield started
    started.stop()


def test_a_cluster_that_is_lost_under_load_comes_back(own: Settings, workers: Workers) -> None:
    objects, names = Objects(own), [role.name for role in CATALOG.processors]
    for name in names:
        workers.start(name, name)
    workers.start("archiver", "archiver")
    workers.wait_ready()
    with codec_of(own, CATALOG) as codec:
        load = Load(own, codec)
        load.start()
        try:
            cuts = cuts_within(objects, workers)
        finally:
            for name in workers.processes:
                workers.kill(name)
            load.stopped.set()
            load.join()
        published = read_all(own, COMMANDS)
        assert {header(record, "ce_id") for record in published} >= {name for name, _ in load.commands}
        assert all(cut.ends[place] < end for cut in cuts for place, end in ends(published).items()), "under the load"
        made = {topic.name: read_all(own, topic) for topic in (EVENTS, ENRICHED)}
        lose(own)
        with pytest.raises(Torn, match="--at-cut"):
            wanted_topics(own, CATALOG.published)
        bootstrap(own, wanted_topics(own, CATALOG.published, at_cut=True))
        cut = newest_cut(objects)
        assert cut
        for topic in (EVENTS, ENRICHED):
            back = read_all(own, topic)
            assert back == [r for r in made[topic.name] if r.offset < cut.ends[r.topic, r.partition]]
            assert 0 < len(back) < len(made[topic.name]), "some of it is worked out again"
        provision(own, CATALOG)
        commit_positions(own, CATALOG.processors)
        publish(own, codec, COMMANDS, load.commands)  # whoever had no answer sends again
        for name in names:
            workers.start(name)
        workers.wait_ready(*names)
        wait_until(lambda: all_decided(own, LOADED), WAIT_S, "all of it decided and enriched", workers.logs)
        check_invariants(own, codec, "load", load.commands, LOADED)


def cuts_within(objects: Objects, workers: Workers) -> list[Cut]:
    """Two cuts with facts before them."""
    found: dict[int, Cut] = {}

    def look() -> bool:
        cut = newest_cut(objects)
        if cut and all(sum(cut.ends[t.name, p] for p in range(t.partitions)) > AT_ONCE for t in (EVENTS, ENRICHED)):
            found[cut.taken_ms] = cut
        return len(found) == 2

    wait_until(look, WAIT_S, "two cuts under load", workers.logs)
    return list(found.values())


def ends(records: list[Record]) -> dict[tuple[str, int], int]:
    return {(record.topic, record.partition): record.offset + 1 for record in records}


def lose(settings: Settings) -> None:
    admin = AdminClient({"bootstrap.servers": settings.kafka, "log_level": 0})
    for future in admin.delete_topics([topic.name for topic in CATALOG.archiver.sources]).values():
        future.result(30)
