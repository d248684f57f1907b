"""`onefact bootstrap`: an empty cluster brought to where the archive says that another one was."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from deploy.cli.output import Json, print_json
from eventlog.errors import BadInput, OnefactError

if TYPE_CHECKING:
    from eventlog.settings import Settings


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command("bootstrap")(bootstrap)


def bootstrap(
    *,
    from_archive: Annotated[
        bool, typer.Option("--from-archive", help="From the archive in ONEFACT_S3: there is no other way yet.")
    ] = False,
    at_cut: Annotated[
        bool,
        typer.Option("--at-cut", help="Put aside what came after the newest cut; it is worked out again."),
    ] = False,
    as_json: Json = False,
) -> None:
    """Bring an empty Kafka and an empty registry to where the archive's were: every record at its offset.

    No worker may run meanwhile. Stores are filled by their workers afterwards, as ever. Ended anywhere, it is done
    again and goes on. Example: onefact bootstrap --from-archive
    """
    from deploy.cli.archive._tiers import teller
    from eventlog.archive.objects import Objects
    from eventlog.bootstrap import whole
    from eventlog.discovery import catalog
    from eventlog.provision import provision
    from eventlog.runtime.groups import commit_positions
    from eventlog.settings import Settings
    from eventlog.upkeep.rewind import moves_aside
    from producers import Publisher

    if not from_archive:
        raise BadInput("say where from: --from-archive")
    settings = Settings().required("kafka", "registry", "s3")
    wanted = whole.wanted_topics(settings, catalog().published, at_cut=at_cut)
    _require_behind(settings, {(topic.name, number): end for topic in wanted for number, end in topic.ends.items()})
    names = whole.begin(settings, wanted)
    found: list[Any] = []

    def told(restored: whole.Restored) -> None:
        found.append(restored)
        if not as_json and restored.records:
            print(f"{restored.topic}: {restored.records:,} records in {restored.seconds:.1f} s", flush=True)

    whole.bootstrap(settings, wanted, told)
    provision(settings)
    if names:
        commit_positions(settings, catalog().processors)
        with Publisher(settings) as publisher:
            for move in moves_aside(Objects(settings), names):
                teller(publisher)(move)
        whole.finish(settings)
    left_out, aside = (sum(getattr(each, name) for each in found) for name in ("left_out", "aside"))
    if as_json:
        from dataclasses import asdict

        print_json({"topics": [asdict(each) for each in found], "left_out": left_out})
        return
    print(f"{len(found)} topics, {sum(each.records for each in found):,} records, each held against the archive")
    if aside:
        print(f"{aside:,} records after the newest cut were put aside in the bucket, under archive/aside")
    if left_out:
        print(f"{left_out:,} records have headers that no client can write, and are in the archive alone")


def _require_behind(settings: Settings, ends: dict[tuple[str, int], int]) -> None:
    """Raise where a store has applied what is not archived: it would never apply what takes its place."""
    from eventlog.discovery import catalog
    from projections.stores import left_out, open_store

    kept = [each for each in catalog().projections if not left_out(each.model.store, settings)]
    stores = {name: open_store(name, settings) for name in dict.fromkeys(each.model.store for each in kept)}
    try:
        for projection in kept:
            store = stores[projection.model.store]
            store.prepare([each.model for each in kept if each.model.store == projection.model.store])
            for (topic, partition), offset in store.progress(projection.model).items():
                if offset > ends.get((topic, partition), offset):
                    raise OnefactError(
                        f"the model {projection.model.name} has applied {topic}:{partition} up to {offset}, and the "
                        f"archive's cut is at {ends[topic, partition]}: empty its store first"
                    )
    finally:
        for store in stores.values():
            store.close()
