"""What must be in the database before rows can be: constraints, models, versions, progress.

`(:OnefactModel {name, live, last, previous})` says which version readers see, and which they saw before;
`(:OnefactVersion {id, model, version, declared, note})` that there is one, what its columns mean, and what was noted of
it (none once it was live); `(:OnefactProgress {id, model, version, topic, partition, next, fence})`
how far it is. A label belongs to one model: `(:OnefactLabel {name, model})`. Whoever changes anything about a model
sets `lock` on its node first, so that they take turns; for a partition's rows the same goes for its progress.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import neo4j

from eventlog.errors import BadInput, OnefactError
from eventlog.models import Graph, Model
from projections.stores._versions import FIRST_VERSION
from projections.stores.neo4j import _cypher

CONSTRAINTS = {
    "onefact_models": "FOR (x:OnefactModel) REQUIRE x.name IS UNIQUE",
    "onefact_versions": "FOR (x:OnefactVersion) REQUIRE x.id IS UNIQUE",
    "onefact_progress": "FOR (x:OnefactProgress) REQUIRE x.id IS UNIQUE",
    "onefact_labels": "FOR (x:OnefactLabel) REQUIRE x.name IS UNIQUE",
}
LOCK = "MATCH (m:OnefactModel {name: $model}) SET m.lock = $fence RETURN m.live, m.last"
"""Take the model's lock until the transaction ends."""
LIVE = "MATCH (m:OnefactModel {name: $model}) RETURN m.live"
VERSION = "MATCH (v:OnefactVersion {id: $id}) RETURN v.declared"
NOTES = "MATCH (v:OnefactVersion {model: $model}) WHERE v.note <> '' RETURN v.version, v.note"
PREVIOUS = (
    "MATCH (m:OnefactModel {name: $model}) MATCH (v:OnefactVersion {model: $model, version: m.previous}) "
    "RETURN v.version"
)
VERSIONS = "MATCH (v:OnefactVersion {model: $model}) RETURN v.version ORDER BY v.version"
CREATE = (
    "MATCH (m:OnefactModel {name: $model}) SET m.last = $version "
    "CREATE (:OnefactVersion {id: $id, model: $model, version: $version, declared: $declared, note: $note})"
)
SHOW = "MATCH (m:OnefactModel {name: $model}) SET m.live = $version"
REPLACED = (
    "MATCH (m:OnefactModel {name: $model}) SET m.previous = $old WITH m "
    "MATCH (v:OnefactVersion {id: $id}) SET v.note = ''"
)
"""Note which version was live before the one that is now."""
MADE = (
    "MERGE (m:OnefactModel {name: $model}) ON CREATE SET m.live = $version, m.last = $version, m.new = true "
    "SET m.lock = $fence WITH m, m.new AS new REMOVE m.new RETURN m.live, new"
)
PROGRESS = "MATCH (p:OnefactProgress {model: $model, version: $version}) RETURN p.topic, p.partition, p.next"
PROGRESS_LOCKED = (
    "MATCH (p:OnefactProgress {model: $model, version: $version}) WITH p ORDER BY p.id SET p.lock = $fence "
    "RETURN p.topic, p.partition, p.next"
)
REFENCE = "MATCH (p:OnefactProgress {model: $model, version: $version}) SET p.fence = $fence"
FORGET = "MATCH (x:OnefactProgress|OnefactVersion {model: $model, version: $version}) DELETE x"

Run = neo4j.Transaction
Records = list[list[Any]]


def checked(model: Model) -> Graph:
    """The model as a graph; raises `BadInput` where it is none."""
    if not isinstance(model, Graph):
        raise BadInput(f"read model {model.name} is not a Graph; Neo4j keeps only those")
    return model


def version_id(model: Model, version: int) -> str:
    return json.dumps([model.name, version])


def place_id(model: Model, version: int, topic: str, partition: int) -> str:
    return json.dumps([model.name, version, topic, partition])


def declared(model: Graph) -> list[str]:
    """What rows of the model mean: rows written under another meaning are not its."""
    said = [f"{label} by {node.key}" for label, node in model.nodes.items()]
    said += [f"{name} from {edge.source} to {edge.target}" for name, edge in model.edges.items()]
    for element in (*model.nodes, *model.edges):
        said += [f"{element}.{column} {kind}" for column, kind in model.columns_of(element).items()]
    return said


def contradictions(was: Iterable[str], now: Iterable[str]) -> list[str]:
    """Where the meaning of something differs; what is new contradicts nothing."""
    before = {line.partition(" ")[0]: line for line in was}
    return [
        f"{before[name]}, not {line.partition(' ')[2]}"
        for line in now
        for name in [line.partition(" ")[0]]
        if before.get(name, line) != line
    ]


def records(run: neo4j.Transaction | neo4j.Session, statement: str, **parameters: Any) -> Records:
    """All rows that a statement returns."""
    return run.run(statement, parameters).values()


def make_constraints(session: neo4j.Session, model: Graph) -> None:
    """Constraints come first: without them two partitions could make a node twice. Each is a transaction of its own."""
    there = {name: (label, keys) for name, label, keys in records(
        session, "SHOW CONSTRAINTS YIELD name, labelsOrTypes, properties RETURN name, labelsOrTypes[0], properties"
    )}  # fmt: skip
    for name, what in CONSTRAINTS.items():
        if name not in there:
            session.run(f"CREATE CONSTRAINT {name} IF NOT EXISTS {what}").consume()
    for label, node in model.nodes.items():
        found = there.get(_cypher.constraint_name(label))
        if found is None:
            session.run(_cypher.constraint_of(label, node)).consume()
        elif found != (label, ["graph", node.key]):
            raise OnefactError(
                f"{label} is told apart by {found[1][-1]} in Neo4j, not by {node.key}; give it a new label"
            )


def prepare(run: neo4j.Transaction, model: Graph, fence: str) -> None:
    """Make the model, its first version and its labels its own; raises `OnefactError` where they contradict it."""
    for label in sorted(model.nodes):
        claim = "MERGE (l:OnefactLabel {name: $label}) ON CREATE SET l.model = $model RETURN l.model"
        ((owner,),) = records(run, claim, label=label, model=model.name)
        if owner != model.name:
            raise OnefactError(f"label {label} belongs to read model {owner}; {model.name} needs one of its own")
    ((live, new),) = records(run, MADE, model=model.name, version=FIRST_VERSION, fence=fence)
    if new:
        # Rows of a lost past, or none: the first sink that opens looks.
        add_version(run, model, live)
    found = records(run, VERSION, id=version_id(model, live))
    if not found:
        add_version(run, model, live)
        return
    meant = declared(model)
    differences = contradictions(found[0][0], meant)
    if differences:
        raise OnefactError(
            f"read model {model.name} in Neo4j: {'; '.join(differences)}; rebuild it: onefact replay {model.name}"
        )
    run.run("MATCH (v:OnefactVersion {id: $id}) SET v.declared = $declared",
            id=version_id(model, live), declared=meant).consume()  # fmt: skip


def add_version(run: neo4j.Transaction, model: Graph, version: int, note: str = "") -> None:
    """A version without rows; the model's lock is held."""
    run.run(CREATE, model=model.name, version=version, id=version_id(model, version),
            declared=declared(model), note=note).consume()  # fmt: skip


def next_version(run: neo4j.Transaction, model: Graph, last: int, note: str = "") -> int:
    """The next number under which there are no rows either, of which bookkeeping was lost."""
    version = last + 1
    while records(run, _cypher.any_of(model), graph=version):
        version += 1
    add_version(run, model, version, note)
    return version
