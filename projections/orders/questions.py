"""Questions to the graph of purchases, in Cypher; whatever is asked for is a parameter.

Each looks at a bounded part of the graph, however many bought a product: of a product's customers those whose edge is
newest, which is where Neo4j's chain of edges begins.
"""

from __future__ import annotations

BOUGHT_TOGETHER = """
MATCH (p:Product {graph: $graph, sku: $sku})
WITH p, COUNT { MATCH (c:Customer) WHERE c.graph = $graph AND c.customer_id IS NOT NULL RETURN c } AS customers
CALL (p) { MATCH (p)<-[:ORDERED]-(c:Customer) RETURN c LIMIT 2000 }
WITH p, customers, collect(c) AS buyers
UNWIND buyers AS c
CALL (c, p) { MATCH (c)-[:ORDERED]->(o:Product) WHERE o <> p RETURN o LIMIT 500 }
WITH customers, size(buyers) AS buyers, o, count(*) AS together
WHERE together >= $support
WITH customers, buyers, o, together, COUNT { (o)<-[:ORDERED]-() } AS bought
RETURN o.sku AS sku, round(1.0 * together * customers / (buyers * bought), 4) AS lift, together,
  round(1.0 * together / buyers, 4) AS confidence
ORDER BY lift DESC, together DESC, sku LIMIT $limit
"""
"""Products by lift: how much likelier somebody buys both than if one had nothing to do with the other.

`lift` = P(both) / (P(one) P(other)) over customers; 1 is chance. `together` customers bought both, at least `$support`
of them: lift is large for what hardly anybody buys. `confidence` is the share of the product's customers who bought
the other, too. Of a product with over 2,000 customers those are looked at.
"""

_LIKE_ME = """
MATCH (me:Customer {graph: $graph, customer_id: $customer})
WITH me, COUNT { (me)-[:ORDERED]->() } AS mine
CALL (me) { MATCH (me)-[o:ORDERED]->(p:Product) RETURN p ORDER BY o.last DESC, p.sku LIMIT 50 }
CALL (me, p) { MATCH (p)<-[:ORDERED]-(c:Customer) WHERE c <> me RETURN c LIMIT 100 }
WITH me, mine, c, count(*) AS shared
WITH me, c, shared, 1.0 * shared / (mine + COUNT { (c)-[:ORDERED]->() } - shared) AS similarity
ORDER BY similarity DESC, c.customer_id
"""
"""Customers with products in common, of the last 50 that I bought: by Jaccard's index, products shared / of either."""

RECOMMEND = (
    _LIKE_ME
    + """
LIMIT 50
CALL (c) { MATCH (c)-[:ORDERED]->(x:Product) RETURN x LIMIT 100 }
WITH me, x, sum(similarity) AS score, count(*) AS customers
WHERE ($any_stock OR x.available > 0) AND NOT EXISTS { (me)-[:ORDERED]->(x) }
RETURN x.sku AS sku, round(score, 4) AS score, customers, x.available AS available
ORDER BY score DESC, customers DESC, sku LIMIT $limit
"""
)
"""What the 50 customers most like me bought and I have not: `score` is the sum of their similarities."""

SIMILAR = (
    _LIKE_ME
    + """
LIMIT $candidates
WITH me, c, COUNT { (me)-[:ORDERED]->()<-[:ORDERED]-(c) } AS shared,
  COUNT { (me)-[:ORDERED]->() } AS mine, COUNT { (c)-[:ORDERED]->() } AS theirs
RETURN c.customer_id AS customer_id, round(1.0 * shared / (mine + theirs - shared), 4) AS similarity, shared
ORDER BY similarity DESC, shared DESC, customer_id LIMIT $limit
"""
)
"""Customers by Jaccard's index; that of the candidates is exact."""
