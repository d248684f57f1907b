"""The counting domain under another name, for a load of its own: its topics are lost and come back."""

from __future__ import annotations

import sys

from eventlog.roles import Catalog, Decider, Enricher
from eventlog.topics import Domain
from tests.runtime.counting import Count, Counted, Doubled, Total, decide, enrich, evolve

LOADED = Domain("loaded", (Count,), (Counted,), (Doubled,))
CATALOG = Catalog(
    domains=(LOADED,),
    deciders=(Decider(LOADED, decide, evolve, Total),),
    enrichers=(Enricher(LOADED, enrich, Total),),
)

if __name__ == "__main__":
    import deploy.worker
    from eventlog.runtime.kafka_task import KafkaTask

    # So few of one transaction that some is always under way.
    KafkaTask.batch_records_max = 20
    deploy.worker.catalog = lambda: CATALOG  # type: ignore[attr-defined]
    sys.exit(deploy.worker.main(sys.argv[1:]))
