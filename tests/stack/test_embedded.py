"""The embedded stack keeps its promises: it comes back, keeps to itself, and starts only once."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import psycopg
import pytest
import redis

from deploy.stack import NotUp, Status, WorkerSpec, down, status, up
from deploy.stack.embedded import SERVICES
from deploy.stack.home import Home
from deploy.stack.process import KeptProcess
from eventlog.errors import OnefactError
from eventlog.settings import Settings
from tests.backing import free_port_base, until

STAND_IN = [sys.executable, str(Path(__file__).with_name("stand_in.py"))]
WORKERS = [WorkerSpec("one", ("a", "b")), WorkerSpec("two", ("c",))]
SERVICE_NAMES = {service.name for service in SERVICES}


def start(settings: Settings) -> Status:
    return up(settings, kind="embedded", workers=WORKERS, worker_command=STAND_IN, provisioned=False)


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """A running stack with two stand-in workers."""
    home = tmp_path_factory.mktemp("stack") / "home"
    settings = Settings(home=home, port_base=free_port_base(), stack="embedded")
    try:
        start(settings)
        yield settings
    finally:
        down(settings)


def all_well(found: Status) -> bool:
    return (
        found["services"].keys() == SERVICE_NAMES
        and all(service["healthy"] for service in found["services"].values())
        and [worker["ready"] for worker in found["workers"]] == [True, True]
    )


def well(settings: Settings) -> None:
    """A service that a busy machine keeps from answering within the seconds that it is asked for is not ill."""
    until(lambda: all_well(status(settings)), "everything well")


def pids(found: Status) -> dict[str, int]:
    workers = {worker["name"]: worker["pid"] for worker in found["workers"]}
    services = {name: service["pid"] for name, service in found["services"].items()}
    return {name: pid for name, pid in (workers | services).items() if pid is not None}


def runs(pid: int) -> bool:
    """False also for one that ended and was not asked for its exit code, as its parent is gone."""
    try:
        return str(psutil.Process(pid).status()) != "zombie"
    except psutil.NoSuchProcess:
        return False


def test_everything_is_healthy_and_no_password_is_shown(settings: Settings) -> None:
    well(settings)
    found = status(settings)
    assert found["stack"] == "embedded"
    assert [worker["roles"] for worker in found["workers"]] == [["a", "b"], ["c"]]
    home = Home(settings.home)
    assert home.secret("postgres") not in str(found)
    assert home.secret("redis") not in str(found)
    assert home.secret("s3") not in str(found)


def test_the_settings_of_stack_json_reach_every_service(settings: Settings) -> None:
    known = Settings(home=settings.home)
    with psycopg.connect(known.postgres) as connection:
        assert connection.execute("SELECT upper('é')").fetchone() == ("É",)
    with redis.Redis.from_url(known.redis) as client:
        assert client.config_get("appendonly") == {"appendonly": "yes"}


def test_a_second_up_starts_nothing_and_is_quick(settings: Settings) -> None:
    before = pids(status(settings))
    began = time.monotonic()
    assert pids(start(settings)) == before
    assert time.monotonic() - began < 30, "as if everything had been started"


def test_a_stack_that_was_started_by_older_code_is_not_waited_for(settings: Settings) -> None:
    home = Home(settings.home)
    document = home.read_stack()
    older = {**document, "settings": {name: value for name, value in document["settings"].items() if name != "s3"}}
    home.write_stack(older)
    try:
        with pytest.raises(OnefactError, match="started without s3: run `onefact down` first"):
            start(settings)
    finally:
        home.write_stack(document)


@pytest.mark.parametrize("name", [*sorted(SERVICE_NAMES), "one"])
def test_what_is_killed_comes_back(settings: Settings, name: str) -> None:
    before = pids(status(settings))[name]
    os.kill(before, signal.SIGKILL)
    until(lambda: pids(status(settings)).get(name) not in (None, before), f"{name} again")
    well(settings)


def test_a_new_supervisor_keeps_what_the_killed_one_left(settings: Settings) -> None:
    before = pids(status(settings))
    supervisor = KeptProcess(Home(settings.home), "supervisor")
    killed = supervisor.pid()
    supervisor.signal(signal.SIGKILL)
    until(lambda: supervisor.pid() is None, "supervisor gone")
    well(settings)
    assert pids(start(settings)) == before
    assert supervisor.pid() not in (None, killed)
    os.kill(before["two"], signal.SIGKILL)  # and it keeps them as its own
    until(lambda: pids(status(settings)).get("two") not in (None, before["two"]), "two again")
    well(settings)


def test_a_second_supervisor_refuses_the_same_home(settings: Settings) -> None:
    second = subprocess.run(
        [sys.executable, "-m", "deploy.supervisor"],
        env=os.environ | {"ONEFACT_HOME": str(settings.home)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert second.returncode == 1
    assert "another process holds" in second.stderr
    assert "Traceback" not in second.stderr


def test_every_port_is_on_loopback(settings: Settings) -> None:
    found = pids(status(settings))
    listening = {
        (psutil.Process(pid).name(), connection.laddr.ip)
        for pid in found.values()
        for connection in psutil.Process(pid).net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    }
    assert len(listening) >= 4
    assert {ip for _, ip in listening} <= {"127.0.0.1", "::ffff:127.0.0.1", "::1"}


def test_the_home_is_closed_to_everybody_else(settings: Settings) -> None:
    assert stat.S_IMODE(settings.home.stat().st_mode) == 0o700
    for path in [*settings.home.glob("*.json"), *settings.home.glob("*/*.json")]:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path


def test_no_password_is_an_argument(settings: Settings) -> None:
    home = Home(settings.home)
    for pid in pids(status(settings)).values():
        arguments = " ".join(psutil.Process(pid).cmdline())
        assert home.secret("postgres") not in arguments
        assert home.secret("redis") not in arguments
        assert home.secret("s3") not in arguments


def test_a_worker_that_cannot_start_is_named_with_its_log(settings: Settings) -> None:
    broken = [WorkerSpec("one", ("broken",)), WORKERS[1]]
    with pytest.raises(NotUp, match=r"(?s)^one did not come up: it ended.*no such role: broken"):
        up(settings, workers=broken, worker_command=STAND_IN, provisioned=False)
    start(settings)
    well(settings)


def test_down_drains_stops_everything_and_keeps_the_data(settings: Settings) -> None:
    with psycopg.connect(Settings(home=settings.home).postgres) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 1 AS n")
    before = pids(status(settings))
    down(settings)
    assert (settings.home / "drained-one").read_text() == "a b"
    assert (settings.home / "drained-two").read_text() == "c"
    assert not [pid for pid in before.values() if runs(pid)]
    assert status(settings) == Status(stack="embedded", services={}, workers=[])
    assert Settings(home=settings.home).kafka == ""
    down(settings)  # nothing to do, no error
    start(settings)
    with psycopg.connect(Settings(home=settings.home).postgres) as connection:
        assert connection.execute("SELECT n FROM kept").fetchone() == (1,)


def test_down_without_a_supervisor_stops_what_is_left(settings: Settings) -> None:
    before = pids(start(settings))
    KeptProcess(Home(settings.home), "supervisor").signal(signal.SIGKILL)
    down(settings)
    assert not [pid for pid in before.values() if runs(pid)]
