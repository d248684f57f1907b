"""What it takes beside records to bring a cluster back: the schemas that values name, and how topics were made."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from eventlog.archive.objects import Objects
from eventlog.errors import NotFound, OnefactError

ROOT = "archive/meta"

LookUp = Callable[[int], str | None]
"""Text of a schema by its id; None where the registry does not know it."""


class Schemas:
    """Schemas by the ids that values carry. A file is committed only after the schemas of its records."""

    def __init__(self, objects: Objects, look_up: LookUp) -> None:
        self._objects = objects
        self._look_up = look_up
        self._kept: set[int] = set()
        self._lock = threading.Lock()

    def have(self, ids: Iterable[int]) -> None:
        """Archive those that are not yet there; an id that nobody knows is a dead letter's, and stays unknown."""
        with self._lock:
            for schema_id in sorted(set(ids) - self._kept):
                if (text := self._look_up(schema_id)) is None:
                    continue  # asked again for the next record that names it: a registry may come to know it
                self._objects.have_bucket()
                self._objects.put(f"{ROOT}/schemas/{schema_id}.avsc", text.encode())
                self._kept.add(schema_id)


def schemas_of(objects: Objects) -> dict[int, str]:
    """Every archived schema by its id."""
    found = {}
    for key, _ in objects.keys(f"{ROOT}/schemas/"):
        name = key.rpartition("/")[2].removesuffix(".avsc")
        if name.isdigit():
            found[int(name)] = objects.get(key).decode()
    return found


def schema_of(objects: Objects, schema_id: int) -> str | None:
    """One schema's text; None where it is not archived."""
    try:
        return objects.get(f"{ROOT}/schemas/{schema_id}.avsc").decode()
    except NotFound:
        return None


class AnotherTopic(OnefactError):
    """The topic of that name is not the one that was archived."""


def have_topic(objects: Objects, name: str, topic_id: str, made: Mapping[str, Any]) -> None:
    """Archive how a topic was made; raises `AnotherTopic` where its name was archived from another one."""
    try:
        before = topic_of(objects, name)
    except NotFound:
        objects.have_bucket()
        before = None
    document = {"name": name, "topic_id": topic_id, "earlier": before["earlier"] if before else [], **made}
    if before == document:
        return
    if before is not None and before["topic_id"] != topic_id:
        raise AnotherTopic(
            f"{name} is not the topic that was archived (its id is {topic_id}, archived is {before['topic_id']}): it "
            "was made again, and offsets mean other records. Give the archive another bucket, or bootstrap from it"
        )
    objects.put(_topic_key(name), json.dumps(document, indent=1, sort_keys=True).encode())


def succeed_topic(objects: Objects, name: str, topic_id: str) -> None:
    """A topic holds from now on what the archive has of its name, at the same offsets: the archive goes on with it."""
    document = topic_of(objects, name)
    earlier = [*document["earlier"], document["topic_id"]]
    document |= {"topic_id": topic_id, "earlier": earlier}
    objects.put(_topic_key(name), json.dumps(document, indent=1, sort_keys=True).encode())


def topic_of(objects: Objects, name: str) -> dict[str, Any]:
    """How an archived topic was made; raises `NotFound`."""
    return _topic(objects, _topic_key(name))


def expires(made: Mapping[str, Any]) -> bool:
    """Whether a topic that was made so keeps its records for a time only: some may go before they are archived."""
    return str(made["config"].get("retention.ms", "-1")) != "-1"


def _topic(objects: Objects, key: str) -> dict[str, Any]:
    """`earlier` are the ids of the topics before it, the oldest first, whose records it was given."""
    found: dict[str, Any] = json.loads(objects.get(key))
    return {"earlier": []} | found


def _topic_key(name: str) -> str:
    return f"{ROOT}/topics/{name}.json"


def topics_of(objects: Objects) -> dict[str, dict[str, Any]]:
    """How every archived topic was made, by name."""
    found = (_topic(objects, key) for key, _ in objects.keys(f"{ROOT}/topics/"))
    return {each["name"]: each for each in found}
