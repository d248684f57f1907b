"""stack.json: which stack, at which addresses, with which workers; the supervisor follows it."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from deploy.stack.compose import ComposeStack
from deploy.stack.embedded import EmbeddedStack
from deploy.stack.embedded.provider import Provider
from deploy.stack.external import ExternalStack
from deploy.stack.health import CHECKS
from deploy.stack.home import Home
from deploy.stack.model import Stack, WorkerSpec
from eventlog.errors import OnefactError
from eventlog.settings import Settings, StackKind

DEFAULT_WORKERS = "processors-1=processors;projections-1=projections"
WORKER_COMMAND = (sys.executable, "-m", "deploy.worker")
WORKER_SLOT = 20
"""The first worker's port, counted from the port base; services have the ones below."""


def parse_workers(text: str) -> list[WorkerSpec]:
    """`name=role,role;name=role` as worker processes."""
    found: list[WorkerSpec] = []
    for part in filter(None, (part.strip() for part in text.split(";"))):
        name, _, roles = part.partition("=")
        named = tuple(filter(None, (role.strip() for role in roles.split(","))))
        if not re.fullmatch(r"[A-Za-z0-9._-]+", name.strip()) or name.strip() in _RESERVED:
            raise OnefactError(f"ONEFACT_WORKERS: {part!r} is not NAME=ROLE[,ROLE] with a free name")
        found.append(WorkerSpec(name.strip(), named))
    if len({worker.name for worker in found}) < len(found):
        raise OnefactError("ONEFACT_WORKERS: two workers have the same name")
    return found


_RESERVED = {*CHECKS, "provider", "supervisor"}
_ADDRESSES = {*CHECKS, Provider.setting}


def wanted_workers() -> list[WorkerSpec]:
    """Those of `$ONEFACT_WORKERS`, else one for the processors and one for the projections."""
    return parse_workers(os.environ.get("ONEFACT_WORKERS", DEFAULT_WORKERS))


def make_plan(home: Home, settings: Settings, kind: StackKind, without: Collection[str] = ()) -> dict[str, Any]:
    """A new stack.json, without workers as yet, and without some of the services."""
    document: dict[str, Any] = {
        "stack": kind,
        "port_base": settings.port_base,
        "settings": {"stack": kind, "port_base": settings.port_base},
        "without": sorted(without),
        "workers": [],
    }
    if kind == "external":
        document["settings"] |= {name: getattr(settings, name) for name in CHECKS if name not in without}
    document["settings"] |= stack_of(home, document).addresses()
    return document


def stack_of(home: Home, document: Mapping[str, Any]) -> Stack:
    """The stack that a stack.json describes."""
    match document["stack"]:
        case "embedded":
            return EmbeddedStack(home, document["port_base"], document.get("without", ()))
        case "compose":
            return ComposeStack(home, document["port_base"], document.get("without", ()))
        case "external":
            return ExternalStack(document["settings"])
        case other:
            raise OnefactError(f"{home.stack_file}: no such stack: {other}")


def add_workers(document: dict[str, Any], workers: Sequence[WorkerSpec], command: Sequence[str]) -> None:
    """Have these workers and no others; each gets a port."""
    first = document["port_base"] + WORKER_SLOT
    document["worker_command"] = list(command)
    document["workers"] = [
        asdict(worker) | {"port": worker.port or first + index} for index, worker in enumerate(workers)
    ]


def workers_of(document: Mapping[str, Any]) -> list[WorkerSpec]:
    return [
        WorkerSpec(worker["name"], tuple(worker["roles"]), worker["port"]) for worker in document.get("workers", [])
    ]


def without_addresses(document: Mapping[str, Any]) -> dict[str, Any]:
    """The plan of a stack that is down: whoever looks for a service learns at once that it is."""
    settings = {name: v for name, v in document["settings"].items() if name not in _ADDRESSES}
    return {**document, "settings": settings, "workers": []}


def child_environment(home: Home, document: Mapping[str, Any]) -> dict[str, str]:
    """For the supervisor and the workers: this home, and no address but those of its stack.json."""
    replaced = {"ONEFACT_" + name.upper() for name in (*CHECKS, "stack", "port_base")}
    kept = {name: value for name, value in os.environ.items() if name not in replaced}
    return kept | {
        "ONEFACT_HOME": str(home.path),
        "ONEFACT_STACK": document["stack"],
        "ONEFACT_PORT_BASE": str(document["port_base"]),
    }
