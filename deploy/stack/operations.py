"""`up`, `down` and `status`, without printing: what the command line and the tests call."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from deploy.stack.home import Home
from deploy.stack.model import (
    NotUp,
    Progress,
    Service,
    ServiceStatus,
    Stack,
    Status,
    WorkerSpec,
    silent,
)
from deploy.stack.plan import (
    WORKER_COMMAND,
    add_workers,
    child_environment,
    make_plan,
    stack_of,
    wanted_workers,
    without_addresses,
    workers_of,
)
from deploy.stack.process import KeptProcess, Launch
from deploy.stack.worker import Worker
from eventlog.errors import OnefactError
from eventlog.settings import Settings, StackKind

SERVICES_TIMEOUT_S = 180.0
WORKERS_TIMEOUT_S = 90.0
FAILURES_MAX = 4
"""So many deaths before it was ever well: waiting longer would only delay the message."""
LOOK_S = 0.05
TOPICS = "topics and schemas"
T = TypeVar("T")
R = TypeVar("R")


def up(
    settings: Settings,
    *,
    kind: StackKind | None = None,
    without: Collection[str] = (),
    workers: bool | Sequence[WorkerSpec] = True,
    worker_command: Sequence[str] = WORKER_COMMAND,
    provisioned: bool = True,
    on_progress: Progress = silent,
) -> Status:
    """Have the stack running: services healthy, topics and schemas there, workers ready.

    Starts only what is missing; `without` leaves out services.
    Raises `Missing`, `ServiceAway` or `NotUp`, each in plain words.
    """
    wanted = wanted_workers() if workers is True else list(workers or [])
    home = Home(settings.home)
    home.make()
    with home.lock("up"):
        document = _plan(home, settings, kind, without)
        stack = stack_of(home, document)
        for service in stack.services:
            service.require(on_progress)
        if not _supervisor(home).alive():
            home.write_stack(document)
        _start_supervisor(home, document)
        _await_services(home, stack, on_progress)
        if wanted and provisioned:
            _provision(home, on_progress)
        if wanted:
            _have_workers(home, document, wanted, worker_command, on_progress)
    return status(settings)


def down(settings: Settings, on_progress: Progress = silent) -> None:
    """Stop everything that `up` started, even when its supervisor is gone; data stays."""
    home = Home(settings.home)
    document = home.read_stack()
    if not document:
        return
    with home.lock("up"):
        on_progress("supervisor", "stopping")
        _supervisor(home).stop()
        # Without a supervisor, or where it was killed, the rest still runs.
        workers = [Worker(home, document, spec) for spec in workers_of(document)]
        groups: list[Sequence[Service | Worker]] = [workers, stack_of(home, document).services]
        for group in groups:
            _each(group, lambda kept: _stop(kept, on_progress))
        home.write_stack(without_addresses(document))
        on_progress("supervisor", "stopped")


def status(settings: Settings) -> Status:
    """What runs, as the services themselves answer; nothing at all is no error."""
    home = Home(settings.home)
    document = home.read_stack()
    if not document or not _anything_lives(home, document):
        kind = document.get("stack", settings.stack)
        return {"stack": kind, "services": {}, "workers": []}
    services = stack_of(home, document).services
    workers = [Worker(home, document, spec) for spec in workers_of(document)]
    everything: list[Service | Worker] = [*services, *workers]
    asked = _each(everything, _status_of)
    return {
        "stack": document["stack"],
        "services": {s.name: found for s, found in zip(services, asked, strict=False)},
        "workers": asked[len(services) :],
    }


def _status_of(kept: Service | Worker) -> Any:
    if isinstance(kept, Worker):
        return kept.status()
    return ServiceStatus(url=kept.url, pid=kept.pid(), healthy=kept.healthy())


def _plan(home: Home, settings: Settings, kind: StackKind | None, without: Collection[str]) -> dict[str, Any]:
    """The plan that runs already, or a new one."""
    document = home.read_stack()
    if document and _anything_lives(home, document):
        if kind not in (None, document["stack"]):
            raise OnefactError(f"the stack in {home.path} runs as {document['stack']}: run `onefact down` first")
        if unknown := stack_of(home, document).addresses().keys() - document["settings"].keys():
            # What started it knew no such service, and what keeps it up would never start one.
            names = ", ".join(sorted(unknown))
            raise OnefactError(f"the stack in {home.path} was started without {names}: run `onefact down` first")
        if without and set(without) != set(document.get("without", ())):
            raise OnefactError(f"the stack in {home.path} runs with other services: run `onefact down` first")
        return document
    return make_plan(home, settings, kind or settings.stack, without)


def _anything_lives(home: Home, document: dict[str, Any]) -> bool:
    if _supervisor(home).alive():
        return True
    if document["stack"] == "compose":
        return any(service.alive() for service in stack_of(home, document).services)
    records = (path for path in home.run.glob("*.json") if path.stem != "state")
    return any(KeptProcess(home, path.stem).alive() for path in records)


def _supervisor(home: Home) -> KeptProcess:
    # Longer than the drain of a worker and the stop of a service together.
    return KeptProcess(home, "supervisor", stop_timeout_s=75.0)


def _start_supervisor(home: Home, document: dict[str, Any]) -> None:
    if not _supervisor(home).alive():
        (home.run / "state.json").unlink(missing_ok=True)  # what the one before said
    _supervisor(home).start(
        Launch(
            argv=[sys.executable, "-m", "deploy.supervisor"],
            cwd=home.path,
            env=child_environment(home, document),
        )
    )


def _await_services(home: Home, stack: Stack, on_progress: Progress) -> None:
    waiting = {service.name: service.healthy for service in stack.services}
    _await(home, waiting, SERVICES_TIMEOUT_S, "healthy", on_progress)
    for service in stack.services:
        service.settle()


def _provision(home: Home, on_progress: Progress) -> None:
    """Topics and schemas, by the code of today rather than by the supervisor's of yesterday."""
    from eventlog.discovery import catalog  # imports every domain: only where that is wanted
    from eventlog.provision import provision

    on_progress(TOPICS, "checking")
    provision(Settings(home=home.path, **home.read_stack()["settings"]), catalog())
    on_progress(TOPICS, "ready")


def _have_workers(
    home: Home,
    document: dict[str, Any],
    wanted: Sequence[WorkerSpec],
    command: Sequence[str],
    on_progress: Progress,
) -> None:
    before = home.read_stack()
    document = dict(before)
    add_workers(document, wanted, command)
    if document != before:
        document["revision"] = before.get("revision", 0) + 1
        home.write_stack(document)
    workers = [Worker(home, document, spec) for spec in workers_of(document)]
    ready = {worker.name: worker.ready for worker in workers}
    _await(home, ready, WORKERS_TIMEOUT_S, "ready", on_progress, revision=document.get("revision", 0))


def _await(
    home: Home,
    waiting: dict[str, Callable[[], bool]],
    timeout_s: float,
    goal: str,
    on_progress: Progress,
    *,
    revision: int = -1,
) -> None:
    """Wait for all; `NotUp` names the one that failed or is late, with the end of its log."""
    waiting = dict(waiting)
    deadline = time.monotonic() + timeout_s
    for name in waiting:
        on_progress(name, "starting")
    while True:
        # The supervisor asks already; a second opinion is had once, when it is content.
        reports = _reports(home, revision)
        for name, done in list(waiting.items()):
            if reports.get(name, {}).get("healthy") and done():
                del waiting[name]
                on_progress(name, goal)
        if not waiting:
            return
        late = time.monotonic() >= deadline
        for name in waiting:
            report = reports.get(name, {})
            failures, problem = report.get("failures", 0), report.get("problem", "")
            if late or failures >= FAILURES_MAX:
                why = f"not {goal} after {timeout_s:.0f} s" if late else f"it ended {failures} times"
                raise NotUp(
                    f"{name} did not come up: {why}{problem and f' ({problem})'}; "
                    f"the end of {home.log(name)}:\n{home.log_tail(name)}"
                )
        if not _supervisor(home).alive():
            raise NotUp(f"the supervisor ended:\n{home.log_tail('supervisor')}")
        time.sleep(LOOK_S)


def _reports(home: Home, revision: int) -> dict[str, dict[str, Any]]:
    """What the supervisor says of each process, once it follows this revision of stack.json."""
    try:
        state = json.loads((home.run / "state.json").read_text())
    except FileNotFoundError:
        return {}
    kept: dict[str, dict[str, Any]] = state["kept"]
    return kept if state["revision"] >= revision else {}


def _stop(kept: Service | Worker, on_progress: Progress) -> None:
    if kept.alive():
        on_progress(kept.name, "stopping")
        kept.stop()
        on_progress(kept.name, "stopped")


def _each(items: Sequence[T], do: Callable[[T], R]) -> list[R]:
    """Side by side, since each may have to wait for an answer."""
    with ThreadPoolExecutor(max(1, len(items))) as pool:
        return list(pool.map(do, items))
