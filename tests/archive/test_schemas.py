"""The schemas of what is archived are archived, as soon as somebody knows them."""

from __future__ import annotations

from eventlog.archive.meta import Schemas, schema_of
from eventlog.archive.objects import Objects


def test_a_schema_that_nobody_knew_at_first_is_archived_later(objects: Objects) -> None:
    known: dict[int, str] = {}
    asked: list[int] = []
    schemas = Schemas(objects, lambda number: asked.append(number) or known.get(number))
    schemas.have([901, 902])
    assert schema_of(objects, 901) is None
    known[901] = '"string"'
    schemas.have([901, 902])
    assert (schema_of(objects, 901), schema_of(objects, 902)) == ('"string"', None)
    schemas.have([901])
    assert asked == [901, 902, 901, 902], "what is kept is not asked for again"
