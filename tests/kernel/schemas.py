"""Record schemas at random, and what somebody may do to one."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

DECIMAL = {"type": "bytes", "logicalType": "decimal", "precision": 38, "scale": 12}
TIME = {"type": "long", "logicalType": "timestamp-micros"}
Fields = list[dict[str, Any]]
Types = st.SearchStrategy[Any]

DEFAULTS: dict[str, Any] = {"string": "", "long": 0, "double": 0, "boolean": False, "array": [], "map": {}}


def record(of: Fields, name: str = "Changed") -> dict[str, Any]:
    return {"type": "record", "name": name, "namespace": "onefact.test", "fields": of}


def plain_types() -> Types:
    """Types whose bytes mean what Avro says."""
    simple = st.sampled_from(["string", "long", "double", "boolean", "bytes"])
    return st.one_of(
        simple,
        simple.map(lambda t: ["null", t]),
        simple.map(lambda t: {"type": "array", "items": t}),
        simple.map(lambda t: {"type": "map", "values": t}),
        fields(simple, "xy").map(lambda of: {"type": "array", "items": record(of, "Line")}),
    )


def all_types() -> Types:
    """Those, and decimals and times."""
    told = st.sampled_from([DECIMAL, {**DECIMAL, "scale": 2}, {**DECIMAL, "precision": 76}, TIME])
    return plain_types() | told | told.map(lambda t: ["null", t])


def fields(types: Types, names: str = "abc") -> st.SearchStrategy[Fields]:
    """Some of the names, each with a type, some with a default."""
    some = st.lists(st.sampled_from(names), unique=True, max_size=len(names))
    return some.flatmap(lambda chosen: st.tuples(*(field(name, types) for name in chosen))).map(list)


def field(name: str, types: Types) -> st.SearchStrategy[dict[str, Any]]:
    return st.tuples(types, st.booleans()).map(lambda drawn: with_default(name, *drawn))


def with_default(name: str, of: Any, wanted: bool) -> dict[str, Any]:
    if isinstance(of, dict) and isinstance(of.get("items"), dict):
        of = of | {"items": of["items"] | {"name": f"Line_{name}"}}  # a record's name is used once in a schema
    made = {"name": name, "type": of}
    kind = of["type"] if isinstance(of, dict) else of
    if wanted and isinstance(of, list):
        made["default"] = None
    elif wanted and isinstance(kind, str) and kind in DEFAULTS and "logicalType" not in str(of):
        made["default"] = DEFAULTS[kind]
    return made


@st.composite
def change(draw: st.DrawFn, before: Fields, types: Types) -> Fields:
    """A few of: take a field out, add one, give one another type or another name with an alias."""
    after = [dict(f) for f in before]
    for _ in range(draw(st.integers(1, 3))):
        place = draw(st.integers(0, len(after) - 1)) if after else None
        match draw(st.sampled_from(["remove", "add", "retype", "rename", "rename without alias"])):
            case "add":
                name = draw(st.sampled_from([n for n in "abcdef" if n not in {f["name"] for f in [*before, *after]}]))
                after.append(draw(field(name, types)))
            case "remove" if place is not None:
                del after[place]
            case "retype" if place is not None:
                after[place] = draw(field(after[place]["name"], types))
            case str(how) if place is not None and how.startswith("rename"):
                name = draw(st.sampled_from([n for n in "uvwxyz" if n not in {f["name"] for f in after}]))
                aliases = [after[place]["name"]] if how == "rename" else []
                after[place] = {**after[place], "name": name, "aliases": aliases}
    return after
