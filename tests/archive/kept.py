"""The counting domain under another name, so that its topics can be cut: nobody else reads them."""

from __future__ import annotations

import sys
from dataclasses import replace

from eventlog.models import Hash, Table
from eventlog.roles import Catalog, Decider, Enricher, Projection
from eventlog.topics import Domain
from tests.runtime.counting import Count, Counted, Doubled, Total, decide, enrich, evolve, log_row, sums

KEPT = Domain("kept", (Count,), (Counted,), (Doubled,))
FACTS = (KEPT.topic("events"), KEPT.topic("enriched"))
NUMBERS = {"counter_id": "text", "version": "integer"}
JOURNAL = Projection(
    KEPT,
    Table("kept_counts", ("counter_id", "version"), {**NUMBERS, "number": "integer", "command": "text"}),
    FACTS[:1],
    log_row,
)
SUMS = Projection(
    KEPT, Hash("kept_sums", ("counter_id",), {**NUMBERS, "total": "integer", "doubled": "integer"}), FACTS, sums
)
LATER = replace(JOURNAL, model=replace(JOURNAL.model, name="kept_later"))
"""A model that begins when the log has forgotten."""
CATALOG = Catalog(
    domains=(KEPT,),
    deciders=(Decider(KEPT, decide, evolve, Total),),
    enrichers=(Enricher(KEPT, enrich, Total),),
    projections=(JOURNAL, SUMS, LATER),
)

if __name__ == "__main__":
    import deploy.worker

    deploy.worker.catalog = lambda: CATALOG  # type: ignore[attr-defined]
    sys.exit(deploy.worker.main(sys.argv[1:]))
