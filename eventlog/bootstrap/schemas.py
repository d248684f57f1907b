"""Has a registry give each schema the id that values name."""

from __future__ import annotations

import json
from collections.abc import Mapping

from eventlog.errors import OnefactError
from eventlog.registry import Registry

FILLER = "onefact.bootstrap.Unused"
"""Subject of schemas that take the ids between: of those, no record is archived."""


class IdsTaken(OnefactError):
    """The registry has other schemas under ids that archived values name, or gives ids that are past them."""


def place_schemas(registry: Registry, wanted: Mapping[int, str]) -> int:
    """Have every schema under its id; the number that were placed.

    A registry counts its ids up: schemas are registered in their order, and the ids between are taken by schemas that
    nobody uses. Raises `IdsTaken` where that cannot be: then the registry was not empty.
    """
    placed, taken = 0, 0
    for schema_id, text in sorted(wanted.items()):
        known = registry.lookup(schema_id)
        if known is not None:
            if json.loads(known) != json.loads(text):
                raise IdsTaken(f"the registry has another schema under the id {schema_id}: give it an empty one")
            taken = max(taken, schema_id)
            continue
        while taken < schema_id - 1:
            before, taken = taken, registry.place(f"{FILLER}{taken}", _unused(taken))
            if taken <= before:
                break
        if taken < schema_id:
            taken = registry.place(_subject(text), text)
        if taken != schema_id:
            raise IdsTaken(f"the registry gives the id {taken} where {schema_id} is needed: give it an empty one")
        placed += 1
    return placed


def _subject(text: str) -> str:
    """The subject of a schema: the full name of its record."""
    schema = json.loads(text)
    return ".".join(filter(None, (schema.get("namespace"), schema["name"])))


def _unused(number: int) -> str:
    return json.dumps({"type": "record", "name": f"Unused{number}", "namespace": "onefact.bootstrap", "fields": []})
