"""A cluster that is lost in the middle of a load comes back: there are moments to go back to, whatever the load."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import pytest

from eventlog.archive.cuts import newest_cut
from eventlog.archive.objects import Objects
from eventlog.bootstrap.whole import Torn, bootstrap, wanted_topics
from eventlog.provision import provision
from eventlog.runtime.groups import commit_positions
from eventlog.settings import CUT_EVERY_S_MIN, Settings
from eventlog.upkeep.quiet import Quiet
from tests.archive.conftest import delete_topic
from tests.archive.loaded import CATALOG, LOADED
from tests.archive.test_whole import in_order
from tests.backing import Backing
from tests.runtime.counting import Count
from tests.runtime.harness import Workers, codec_of, publish, read_all, wait_until
from tests.runtime.test_exactly_once import all_decided, check_invariants

COMMANDS, EVENTS, ENRICHED = (LOADED.topic(kind) for kind in ("commands", "events", "enriched"))
FACTS = (EVENTS, ENRICHED)
STREAMS = 400
LOAD = 20_000
"""Commands; more than are decided before there is a cut."""
WAIT_S = 120


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
    objects.have_bucket()
    for name in names:
        workers.start(name, name)
    workers.start("archiver", "archiver")
    commands = [(f"load:{n}", Count(counter_id=f"load-{n % STREAMS}", number=1)) for n in range(LOAD)]
    with codec_of(own, CATALOG) as codec:
        publish(own, codec, COMMANDS, commands)
        try:
            cut_within(objects, workers)
        finally:
            for name in workers.processes:
                workers.kill(name)
        # Their markers would come into the new topics: this is the same cluster.
        quiet = Quiet(own, {topic.name: topic.partitions for topic in CATALOG.archiver.sources})
        wait_until(lambda: quiet.ends() is not None, WAIT_S, "transactions of the dead have ended")
        made = {topic.name: read_all(own, topic) for topic in FACTS}
        assert len(made[EVENTS.name]) < LOAD, "it was lost under the load"
        delete_topic(own, *(topic.name for topic in CATALOG.archiver.sources))
        with pytest.raises(Torn, match="--at-cut"):
            wanted_topics(own, CATALOG.published)
        bootstrap(own, wanted_topics(own, CATALOG.published, at_cut=True))
        cut = newest_cut(objects)
        assert cut
        for topic in FACTS:
            before = [r for r in made[topic.name] if r.offset < cut.ends[r.topic, r.partition]]
            assert in_order(read_all(own, topic)) == in_order(before)
            assert 0 < len(before) < len(made[topic.name]), "some of it is worked out again"
        provision(own, CATALOG)
        commit_positions(own, CATALOG.processors)
        publish(own, codec, COMMANDS, commands)  # whoever had no answer sends again
        for name in names:
            workers.start(name)
        workers.wait_ready(*names)
        wait_until(lambda: all_decided(own, LOADED), WAIT_S, "all of it decided and enriched", workers.logs)
        check_invariants(own, codec, "load", commands, LOADED)


def cut_within(objects: Objects, workers: Workers) -> None:
    """Wait for a cut with facts before it and after it."""

    def look() -> bool:
        cut = newest_cut(objects)
        return cut is not None and all(sum(cut.ends[t.name, p] for p in range(t.partitions)) > STREAMS for t in FACTS)

    wait_until(look, WAIT_S, "a cut under load", workers.logs)
