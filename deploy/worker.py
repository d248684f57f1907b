"""Composes a worker process: finds the roles, chooses those that were named, runs them."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import Iterable, Iterator, Sequence

from deploy.memory import lean
from eventlog.discovery import catalog
from eventlog.errors import BadInput, OnefactError
from eventlog.roles import Archiver, Catalog, Projection, Role
from eventlog.settings import Settings

GROUPS = ("processors", "projections", "all")


def roles_of(found: Catalog) -> dict[str, list[Role]]:
    """What can be named on the command line: every role, every domain, and the `GROUPS`."""
    processors: list[Role] = [*found.processors]
    everything: list[Role] = [*processors, *found.projections]
    named: dict[str, list[Role]] = {"all": everything, "processors": processors, "projections": [*found.projections]}
    for role in everything:
        named.setdefault(role.domain.name, []).append(role)
        named[role.name] = [role]
    return named


def choose(names: Iterable[str], found: Catalog, settings: Settings) -> Sequence[Role | Archiver]:
    """The roles behind the names, each once, in the order of the catalog; all but the archiver when nothing is named.

    Those whose store this installation does without are chosen by their own name only.

    Raises `BadInput` listing what there is.
    """
    named = roles_of(found)
    chosen: dict[str, Role] = {}
    archivers: list[Role | Archiver] = []
    for name in list(names) or ["all"]:
        if name == Archiver.name:
            archivers = [found.archiver]
            continue
        if name not in named:
            raise BadInput(f"there is no role {name!r}; there are {', '.join([*named, Archiver.name])}")
        chosen.update({role.name: role for role in named[name] if role.name == name or not _left_out(role, settings)})
    return [role for role in named["all"] if role.name in chosen] + archivers


def _left_out(role: Role, settings: Settings) -> bool:
    from projections.stores import left_out

    return isinstance(role, Projection) and left_out(role.model.store, settings)


def main(names: Sequence[str]) -> int:
    """Run a worker until SIGTERM; exit code for the process manager."""
    import uvloop

    from eventlog.runtime.logs import configure
    from eventlog.runtime.worker import Worker
    from projections.stores import open_store

    settings = Settings().required("kafka", "registry")
    configure(settings)
    found = catalog()
    roles = choose(names, found, settings)
    if any(isinstance(role, Archiver) for role in roles):
        lean()
    checkpointing = _checkpointing(roles, settings)
    settings.home.mkdir(parents=True, exist_ok=True)

    async def run() -> int:
        return await Worker(roles, found, settings, open_store).run()

    with checkpointing, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(run())


@contextlib.contextmanager
def _checkpointing(roles: Sequence[Role | Archiver], settings: Settings) -> Iterator[None]:
    """Where the archive is kept, checkpoints of the read models are, too."""
    if not settings.checkpoint_every_s or not any(isinstance(role, Archiver) for role in roles):
        yield
        return
    from deploy.checkpointing import Checkpointing

    started = Checkpointing(settings.checkpoint_every_s)
    started.start()
    try:
        yield
    finally:
        started.stop()


if __name__ == "__main__":
    try:
        code = main(sys.argv[1:])
    except OnefactError as error:
        print(f"error: {error}", file=sys.stderr)
        code = 2
    sys.stdout.flush()
    sys.stderr.flush()
    # Client threads of native libraries may still be ending; everything of ours has been closed.
    os._exit(code)
