"""Graphs in Neo4j: nodes and edges with their version, rows and position in one transaction."""

from projections.stores.neo4j._sink import Neo4jSink
from projections.stores.neo4j._store import Neo4jStore

__all__ = ["Neo4jSink", "Neo4jStore"]
