"""What a topic must be like for the log to keep what it acknowledged; and that what is not is said."""

from __future__ import annotations

import time
from datetime import timedelta

import pytest
from confluent_kafka.admin import ResourceType

from eventlog.discovery import catalog
from eventlog.provision import TopicDiffers, config_differences, ensure_topics, shape_differences
from eventlog.settings import Settings
from eventlog.topics import Topic
from tests.configs import config_of, configure

FOR_EVER = Topic("facts", partitions=2)
TWO_OF_THREE = {"min.insync.replicas": "2"}


def test_facts_are_kept_for_ever_by_age_and_by_size() -> None:
    kept = [t for t in catalog().topics if t.retention is None and not t.compacted]
    names = {topic.name for topic in kept}
    assert names >= {"trading.events", "trading.enriched", "trading.rejections"}
    for topic in kept:
        config = topic.config()
        assert (config["cleanup.policy"], config["retention.ms"], config["retention.bytes"]) == ("delete", "-1", "-1")
    changelogs = [role.changelog for role in (*catalog().deciders, *catalog().enrichers, *catalog().effects)]
    assert changelogs
    for topic in changelogs:
        assert (topic.config()["cleanup.policy"], topic.config()["retention.ms"]) == ("compact", "-1")


def test_a_topic_is_created_as_declared(settings: Settings) -> None:
    topic = Topic(f"declared-{time.time_ns()}", partitions=2, retention=timedelta(days=3))
    ensure_topics(settings, [topic])
    found = config_of(settings, ResourceType.TOPIC, topic.name)
    assert found.items() >= topic.config().items()
    assert found["unclean.leader.election.enable"] == "false"
    assert found["retention.ms"] == "259200000"
    ensure_topics(settings, [topic])


@pytest.mark.parametrize(
    "name, value",
    [
        ("retention.ms", "60000"),
        ("retention.bytes", "1000000"),
        ("cleanup.policy", "compact"),
        ("unclean.leader.election.enable", "true"),
    ],
)
def test_a_topic_that_may_lose_facts_is_refused(settings: Settings, name: str, value: str) -> None:
    topic = Topic(f"lossy-{time.time_ns()}", partitions=1)
    ensure_topics(settings, [topic])
    configure(settings, ResourceType.TOPIC, topic.name, {name: value})
    with pytest.raises(TopicDiffers, match=f"{topic.name} has {name}={value}"):
        ensure_topics(settings, [topic])


def test_fewer_copies_or_other_partitions_than_asked_for_are_refused(settings: Settings) -> None:
    topic = Topic(f"single-{time.time_ns()}", partitions=2)
    ensure_topics(settings, [topic])
    with pytest.raises(TopicDiffers, match="has 1 copies of a partition, ONEFACT_REPLICATION_FACTOR asks for 3"):
        ensure_topics(settings.model_copy(update={"replication_factor": 3}), [topic])
    with pytest.raises(TopicDiffers, match="has 2 partitions, declared are 3"):
        ensure_topics(settings, [Topic(topic.name, partitions=3)])


def test_three_copies_of_which_one_acknowledges_are_refused() -> None:
    # One broker cannot have three copies; what is asked of a cluster is asked here.
    config = FOR_EVER.config()
    assert config_differences(FOR_EVER, config | {"min.insync.replicas": "1"}, TWO_OF_THREE) == [
        "facts has min.insync.replicas=1, wanted is 2 at least"
    ]
    assert not config_differences(FOR_EVER, config | {"min.insync.replicas": "3"}, TWO_OF_THREE)
    assert not shape_differences(FOR_EVER, [3, 3], 3)
    assert len(shape_differences(FOR_EVER, [3, 2], 3)) == 1
