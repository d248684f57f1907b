"""Cases of the campaign, each step of one in a process of its own, forked from this one, which opens no client."""

from __future__ import annotations

import importlib
import json
import os
import pickle
import random
import secrets
import shutil
import signal
import time
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from eventlog.errors import OnefactError
from eventlog.settings import Settings
from tests.archive import points
from tests.archive.faults import proxy
from tests.archive.faults.checks import Violation
from tests.archive.faults.guards import OPERATIONS
from tests.archive.faults.place import Place, clear, schemas
from tests.archive.faults.plants._table import Planted
from tests.archive.faults.work import CAMPAIGN, hurry, install_points
from tests.archive.faulty import FAULTS

KINDS = (*FAULTS, "slow")
WAIT_S = 120.0
"""For one step of a case."""
KILLS_SHARE = 0.5
DONE, RAISED, BROKEN = 0, 3, 4


@dataclass
class Case:
    """An operation, and what goes wrong in the middle of it."""

    number: int
    operation: str
    seed: int
    kill: tuple[str, int] | None = None
    store: dict[str, Any] | None = None
    injected: Counter[str] = field(default_factory=Counter)
    recovered_s: float | None = None
    """What it took when it was done again, to its end."""

    @property
    def row(self) -> dict[str, Any]:
        """What is kept of it."""
        kill = self.kill[0] if self.kill else None
        found = {"number": self.number, "operation": self.operation, "fault": self.said, "kill": kill}
        return found | {"injected": dict(self.injected), "recovered_s": self.recovered_s}

    @property
    def said(self) -> str:
        if self.kill:
            return f"killed {self.kill[0]}, {self.kill[1]}"
        return f"store: {self.store}" if self.store else "nothing"


class Campaign:
    """Runs cases one after the other."""

    def __init__(self, proxied: str, folder: Path, seed: int, *, known: Path) -> None:
        _load()
        self._known = known
        """Points that operations pass, kept for the next run of the seed: learning them takes as long as cases do."""
        self._ids: tuple[int, ...] = ()
        self.seconds: Counter[str] = Counter()
        """What steps took, all together."""
        self.seed = seed
        self._proxied = proxied
        self._folder = folder
        self._passed: dict[str, Counter[str]] = {}

    def _points(self, operation: str) -> Counter[str]:
        """Which points an operation passes, and how often, when nothing goes wrong."""
        if operation not in self._passed:
            self._recall()
        if operation not in self._passed:
            place = self._place(operation, "learn")
            try:
                self._prepare(place, operation, self.seed)
                status, found, error = self._child(place, lambda: _counted(operation, place))
                assert status == DONE, f"{operation} goes wrong without a fault: {error}"
                self._passed[operation] = found
            finally:
                self._leave(place)
            self._recall()  # another process may have learned of others
            beside = self._known.with_suffix(f".{os.getpid()}")
            beside.write_text(json.dumps(self._passed))
            beside.replace(self._known)
        return self._passed[operation]

    def _recall(self) -> None:
        if self._known.exists():
            found = json.loads(self._known.read_text())
            self._passed = {name: Counter(passed) for name, passed in found.items()} | self._passed

    def case(self, number: int, fault: str | None = None) -> Case:
        """The same for the same seed, number and kind of fault: `kill`, `store`, or either."""
        draw = random.Random(self.seed * 1_000_003 + number)
        operation = list(CAMPAIGN)[number % len(CAMPAIGN)]
        made = Case(number, operation, draw.randrange(1 << 31))
        if draw.random() < {"kill": 1.0, "store": 0.0}.get(fault or "", KILLS_SHARE):
            passed = self._points(operation)
            point = draw.choice(sorted(passed))
            made.kill = point, draw.randrange(1, passed[point] + 1)
        else:
            kinds = draw.sample(KINDS, draw.choice((1, 1, 2)))
            share = 0.04 if "slow" in kinds else draw.choice((0.1, 0.3))
            made.store = {"kinds": kinds, "share": share, "seed": made.seed}
        return made

    def run(self, case: Case, plant: str | None = None) -> str | None:
        """What does not hold; None where all does."""
        place = self._place(case.operation, str(case.number))
        try:
            self._prepare(place, case.operation, case.seed)
            return self._faulted(place, case, plant)
        except Violation as violation:
            return str(violation)
        finally:
            proxy.tell(self._proxied, [])
            self._leave(place)

    def _leave(self, place: Place) -> None:
        self._child(place, lambda: clear(place), "clear")
        shutil.rmtree(place.folder)

    def search(self, name: str, planted: Planted) -> str | None:
        """The first violation that a planted bug leads to."""
        for number, (kill, store) in enumerate(planted.faults):
            case = Case(number, planted.operation, self.seed + number, kill, store)
            if violation := self.run(case, plant=name):
                return violation
        return None

    def _prepare(self, place: Place, operation: str, seed: int) -> None:
        if not self._ids:
            self._ids = self._child(place, lambda: schemas(place.settings))[1]

        def prepare() -> None:
            OPERATIONS[operation].fill(place, seed, self._ids)
            for step in OPERATIONS[operation].before:
                step(place)

        status, _, error = self._child(place, prepare, "prepare")
        assert status == DONE, f"{operation} cannot even be prepared: {error}"

    def _faulted(self, place: Place, case: Case, plant: str | None) -> str | None:
        operation = OPERATIONS[case.operation].run
        through = replace(place, settings=place.settings.model_copy(update={"s3": self._proxied_bucket(place)}))
        if case.store:
            proxy.tell(self._proxied, **case.store)

        def faulted() -> None:
            _plant(plant)
            install_points()
            hurry()
            if case.kill:
                points.arm(*case.kill)
            operation(through if case.store else place)

        status, _, error = self._child(place, faulted, f"fault: {'kill' if case.kill else 'store'}")
        if case.store:
            case.injected.update(proxy.done(self._proxied))
            proxy.tell(self._proxied, [])
        elif status == -signal.SIGKILL:
            case.injected["kill"] += 1
        if status == BROKEN or (status == RAISED and not case.kill and not case.store):
            raise Violation("A6", f"{case.said}: {error}")
        self._check(place, case.operation, ended=status == DONE)

        def recover() -> None:
            _plant(plant)
            operation(place)

        began = time.monotonic()
        status, _, error = self._child(place, recover, "again")
        if status != DONE:
            raise Violation("A6", f"done again: {error}")
        case.recovered_s = round(time.monotonic() - began, 3)
        self._check(place, case.operation, ended=True)
        return None

    def _check(self, place: Place, operation: str, *, ended: bool) -> None:
        status, found, error = self._child(place, lambda: _checked(place, operation, ended=ended), "check")
        if status != DONE:
            raise Violation("A2", f"nothing can be read: {error}")
        if found is not None:
            raise Violation(*found)

    def _place(self, operation: str, name: str) -> Place:
        own = secrets.token_hex(4)
        folder = self._folder / f"{name}-{own}"
        folder.mkdir()
        settings = Settings()
        bucket = f"{settings.s3.rpartition('/')[0]}/faults-{own}"
        return Place(settings.model_copy(update={"s3": bucket, "home": folder}), f"{operation}.{own}", folder)

    def _proxied_bucket(self, place: Place) -> str:
        return f"{self._proxied.rpartition('/')[0]}/{place.settings.s3.rpartition('/')[2]}"

    def _child(self, place: Place, work: Callable[[], Any], step: str = "learn") -> tuple[int, Any, str]:
        """(exit code or minus the signal, what it returned, what it raised) of work in a process of its own."""
        answer = place.folder / "answer"
        answer.unlink(missing_ok=True)
        child = os.fork()
        if child == 0:
            _work(work, answer)
        began = time.monotonic()
        deadline = began + WAIT_S
        while True:
            pid, status = os.waitpid(child, os.WNOHANG)
            if pid:
                break
            if time.monotonic() > deadline:
                os.kill(child, signal.SIGABRT)
                os.waitpid(child, 0)
                return BROKEN, None, f"it had not ended after {WAIT_S:.0f} s"
            time.sleep(0.005)
        self.seconds[step] += time.monotonic() - began
        found, error = pickle.loads(answer.read_bytes()) if answer.exists() else (None, "")
        return os.waitstatus_to_exitcode(status), found, error


def _load() -> None:
    """Have what every child needs in memory: libraries that are imported late, and S3's description of itself."""
    for name in ("boto3", "deltalake.transaction", "psycopg", "pyarrow.compute", "pyarrow.parquet", "redis"):
        importlib.import_module(name)
    import boto3

    boto3.client("s3", region_name="us-east-1", aws_access_key_id="none", aws_secret_access_key="none")


def _work(work: Callable[[], Any], answer: Path) -> None:
    code, found, error = DONE, None, ""
    try:
        found = work()
    except OnefactError as raised:
        code, error = RAISED, f"{type(raised).__name__}: {raised}"
    except BaseException:
        code, error = BROKEN, traceback.format_exc()
    answer.write_bytes(pickle.dumps((found, error)))
    os._exit(code)


def _plant(name: str | None) -> None:
    if name:
        importlib.import_module(f"tests.archive.faults.plants.{name}").plant()


def _counted(operation: str, place: Place) -> Counter[str]:
    install_points()
    OPERATIONS[operation].run(place)
    return points.passed


def _checked(place: Place, operation: str, *, ended: bool) -> tuple[str, str] | None:
    try:
        OPERATIONS[operation].check(place, operation, ended=ended)
    except Violation as violation:
        return violation.invariant, str(violation).partition(": ")[2]
    return None
