"""Configurations of Kafka's topics and brokers, as a test has them for a while."""

from __future__ import annotations

from collections.abc import Mapping

from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ResourceType,
)

from eventlog.settings import Settings
from tests.backing import RECOVERY_TIMEOUT_S, until

ANSWER_S = 30


def config_of(settings: Settings, kind: ResourceType, name: str) -> dict[str, str]:
    """What the broker shows of a topic, or of itself, whose name is its number."""
    return _shown(_admin(settings), kind, name)


def configure(
    settings: Settings, kind: ResourceType, name: str, wanted: Mapping[str, str], timeout_s: float = RECOVERY_TIMEOUT_S
) -> None:
    """Set these until the broker shows them: the controller answers before the broker has heard of them."""
    admin = _admin(settings)
    entries = [ConfigEntry(key, value, incremental_operation=AlterConfigOpType.SET) for key, value in wanted.items()]
    resource = ConfigResource(kind, name, incremental_configs=entries)
    admin.incremental_alter_configs([resource])[resource].result(ANSWER_S)
    until(lambda: wanted.items() <= _shown(admin, kind, name).items(), f"{name} has {wanted}", timeout_s)


def _admin(settings: Settings) -> AdminClient:
    return AdminClient({"bootstrap.servers": settings.kafka, "log_level": 0})


def _shown(admin: AdminClient, kind: ResourceType, name: str) -> dict[str, str]:
    resource = ConfigResource(kind, name)
    found = admin.describe_configs([resource])[resource].result(ANSWER_S)
    return {key: entry.value for key, entry in found.items()}
