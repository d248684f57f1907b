"""Brings a cluster to what the code declares: topics created and checked, schemas registered."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # re-exported without saying so
    AdminClient,
    ConfigResource,
    ConfigSource,
    NewTopic,
    ResourceType,
)

from eventlog import discovery
from eventlog.errors import OnefactError, ServiceAway
from eventlog.registry import Registry
from eventlog.roles import Catalog
from eventlog.schema import record_name, schema_text
from eventlog.settings import Settings
from eventlog.topics import Topic

TIMEOUT_S = 15


class TopicDiffers(OnefactError):
    """A topic exists with another shape than the one that is declared."""


def provision(settings: Settings, catalog: Catalog | None = None) -> None:
    """Create missing topics, check the others, register every schema. Idempotent, safe from several processes.

    Of every domain that discovery finds, where no catalog is given.

    Raises `TopicDiffers` saying what differs, `SchemaRefused`, `ServiceAway`.
    """
    settings.required("kafka", "registry")
    catalog = catalog or discovery.catalog()
    ensure_topics(settings, catalog.topics)
    with Registry(settings.registry) as registry:
        for cls in catalog.message_types:
            registry.register(record_name(cls), schema_text(cls))


def ensure_topics(settings: Settings, topics: Iterable[Topic]) -> None:
    """Create the topics that are missing and check the shape of all."""
    admin = AdminClient({"bootstrap.servers": settings.kafka, "log_level": 0})
    wanted = {topic.name: topic for topic in topics}
    try:
        existing = admin.list_topics(timeout=TIMEOUT_S).topics
    except KafkaException as error:
        raise ServiceAway("kafka", f"{settings.kafka} does not answer: {error.args[0].str()}") from None
    # With three copies a fact is kept once two have it, and one broker may be away.
    safety = {"min.insync.replicas": "2"} if settings.replication_factor >= 3 else {}
    missing = [
        NewTopic(t.name, t.partitions, settings.replication_factor, config=t.config() | safety)
        for name, t in wanted.items()
        if name not in existing
    ]
    if missing:
        for name, future in admin.create_topics(missing, operation_timeout=TIMEOUT_S).items():
            try:
                future.result()
            except KafkaException as error:
                if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                    raise OnefactError(f"topic {name} cannot be created: {error.args[0].str()}") from None
        existing = admin.list_topics(timeout=TIMEOUT_S).topics
    copies = {
        name: [len(partition.replicas) for partition in existing[name].partitions.values()]
        for name in wanted
        if name in existing
    }
    factor = settings.replication_factor
    differences = [d for name in wanted for d in shape_differences(wanted[name], copies.get(name), factor)]
    differences += _config_differences(admin, wanted, safety, time.monotonic() + TIMEOUT_S)
    if differences:
        raise TopicDiffers("topics differ from what is declared: " + "; ".join(differences))


def shape_differences(topic: Topic, copies: Sequence[int] | None, factor: int) -> list[str]:
    """What is wrong with a topic whose partitions have so many copies each; `factor` are asked for at the least."""
    # A topic that was only just created may not be in the answering broker's metadata yet.
    if copies is None:
        return []
    differences = []
    if len(copies) != topic.partitions:
        differences.append(
            f"{topic.name} has {len(copies)} partitions, declared are {topic.partitions} "
            "(make a new topic: keys would move)"
        )
    if copies and min(copies) < factor:
        differences.append(
            f"{topic.name} has {min(copies)} copies of a partition, ONEFACT_REPLICATION_FACTOR asks for {factor} "
            "(kafka-reassign-partitions)"
        )
    return differences


def config_differences(topic: Topic, actual: Mapping[str, str], safety: Mapping[str, str]) -> list[str]:
    """What differs in a topic's configuration; more in-sync copies than asked for are fine."""
    differences = [
        f"{topic.name} has {name}={actual[name]}, declared is {value}"
        for name, value in topic.config().items()
        if actual[name] != value
    ]
    differences += [
        f"{topic.name} has {name}={actual[name]}, wanted is {value} at least"
        for name, value in safety.items()
        if int(actual[name]) < int(value)
    ]
    return differences


def described(settings: Settings, topic: str) -> dict[str, Any]:
    """How a topic is made: `partitions`, and of its `config` what is set on it."""
    admin = AdminClient({"bootstrap.servers": settings.kafka, "log_level": 0})
    resource = ConfigResource(ResourceType.TOPIC, topic)
    try:
        found = admin.describe_configs([resource], request_timeout=TIMEOUT_S)[resource].result()
        partitions = len(admin.list_topics(topic, timeout=TIMEOUT_S).topics[topic].partitions)
    except KafkaException as error:
        raise ServiceAway("kafka", f"topic {topic} cannot be described: {error.args[0].str()}") from None
    own = {
        name: entry.value for name, entry in found.items() if entry.source == ConfigSource.DYNAMIC_TOPIC_CONFIG.value
    }
    return {"partitions": partitions, "config": own}


def _config_differences(
    admin: AdminClient, wanted: dict[str, Topic], safety: dict[str, str], deadline: float
) -> list[str]:
    resources = [ConfigResource(ResourceType.TOPIC, name) for name in wanted]
    differences = []
    for resource, future in admin.describe_configs(resources, request_timeout=TIMEOUT_S).items():
        try:
            actual = future.result()
        except KafkaException as error:
            if error.args[0].code() == KafkaError.UNKNOWN_TOPIC_OR_PART and time.monotonic() < deadline:
                time.sleep(0.2)  # a topic that was only just created; the broker is still hearing of it
                return _config_differences(admin, wanted, safety, deadline)
            raise ServiceAway("kafka", f"topic {resource.name} cannot be described: {error.args[0].str()}") from None
        found = {name: entry.value for name, entry in actual.items()}
        differences += config_differences(wanted[resource.name], found, safety)
    return differences
