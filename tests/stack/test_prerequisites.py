"""Whatever is missing is said in one line that tells what to do."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from deploy.cli.stack import up as up_command
from deploy.stack import Missing, Status, WorkerSpec, cache, down, java, status, up
from deploy.stack.embedded.base import HOST
from deploy.stack.external import ExternalStack
from deploy.stack.home import Home
from deploy.stack.model import silent
from deploy.stack.plan import make_plan, parse_workers, stack_of
from deploy.stack.process import KeptProcess, Launch
from deploy.worker import choose
from eventlog.discovery import catalog
from eventlog.errors import BadInput, OnefactError, ServiceAway
from eventlog.settings import Settings
from projections.stores import open_store
from tests.backing import free_port_base


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path / "home")
    home.make()
    return home


def test_nothing_up_is_no_error(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "none", stack="embedded")
    assert status(settings) == Status(stack="embedded", services={}, workers=[])
    down(settings)
    assert not (tmp_path / "none").exists()


def test_no_maven(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONEFACT_CACHE", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Missing, match="apt-get install maven"):
        cache.fetched("kafka", silent)
    assert not list(tmp_path.glob("*kafka-*")), "an interrupted fetch leaves nothing"


def test_no_java(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(java, "_candidates", list)
    java.java_home.cache_clear()
    try:
        with pytest.raises(Missing, match="Java 21 or newer is missing"):
            java.java_home()
    finally:
        java.java_home.cache_clear()


def test_a_port_that_is_taken(tmp_path: Path) -> None:
    base = free_port_base()
    with socket.create_server((HOST, base)):
        says = f"port {base}, which kafka needs, is taken by .* \\(pid {os.getpid()}\\)"
        with pytest.raises(Missing, match=says):
            up(Settings(home=tmp_path / "home", port_base=base), kind="embedded")


def test_external_service_unknown_or_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("KAFKA", "REGISTRY", "POSTGRES", "REDIS"):
        monkeypatch.delenv(f"ONEFACT_{name}", raising=False)
    settings = Settings(home=tmp_path, stack="external")
    with pytest.raises(ServiceAway, match="set ONEFACT_KAFKA"):
        up(settings)
    settings = Settings(home=tmp_path, stack="external", kafka=f"{HOST}:{free_port_base()}")
    with pytest.raises(ServiceAway, match="kafka is away: no answer at 127"):
        up(settings)


def test_workers_are_named_in_one_line() -> None:
    assert parse_workers("p-1=a,b; q= c ") == [
        WorkerSpec("p-1", ("a", "b")),
        WorkerSpec("q", ("c",)),
    ]
    for wrong in ("kafka=a", "=a", "a/b=c", "a=b;a=c"):
        with pytest.raises(OnefactError, match="ONEFACT_WORKERS"):
            parse_workers(wrong)


def test_a_stranger_with_a_recorded_pid_is_left_alone(home: Home) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as stranger:
        created = psutil.Process(stranger.pid).create_time()
        process = KeptProcess(home, "kafka", stop_timeout_s=1)
        process.record.write_text(json.dumps({"pid": stranger.pid, "created": created - 60}))
        assert not process.alive()
        process.stop()
        assert stranger.poll() is None
        # A record that the process wrote itself, before a stranger got its pid.
        process.record.write_text(f"{stranger.pid}\n")
        os.utime(process.record, (created - 60, created - 60))
        assert not process.alive()
        process.stop()
        assert stranger.poll() is None
        stranger.communicate(b"\n")


def test_a_process_is_found_although_its_parent_died_before_recording_it(home: Home) -> None:
    process = KeptProcess(home, "kafka", stop_timeout_s=60)
    process.start(Launch(["sleep", "60"], cwd=home.path, env={"PATH": os.defpath}))
    pid = process.pid()
    process.record.write_text(f"{pid}\n")  # all that its shell wrote
    assert KeptProcess(home, "kafka").pid() == pid
    assert process.stop()
    assert not psutil.pid_exists(pid or 0)


def test_a_process_that_will_not_end_is_killed(home: Home) -> None:
    process = KeptProcess(home, "stubborn", stop_timeout_s=0.3)
    process.start(
        Launch(["sh", "-c", "trap '' TERM; echo up; while :; do sleep 0.1; done"], cwd=home.path,
               env={"PATH": os.defpath})
    )  # fmt: skip
    while "up" not in home.log_tail("stubborn"):
        pass
    assert not process.stop()
    assert not process.alive()


def test_logs_stay_small(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deploy.stack.home.LOG_BYTES_MAX", 100)
    home.log("kafka").write_text("x" * 101)
    home.trim_logs()
    assert home.log("kafka").stat().st_size == 0
    assert (home.logs / "kafka.log.1").stat().st_size == 101


def test_object_storage_of_somebody_else_may_be_left_out() -> None:
    given = {"kafka": "k:1", "registry": "http://r", "postgres": "postgresql://p", "redis": "redis://r", "s3": ""}
    assert "s3" not in ExternalStack(given).addresses()
    assert ExternalStack(given | {"s3": "http://a:b@s/c"}).addresses()["s3"] == "http://a:b@s/c"


def test_graphs_are_left_out_where_there_is_no_neo4j(tmp_path: Path) -> None:
    def chosen(name: str, neo4j: str) -> set[str]:
        return {role.name for role in choose([name], catalog(), Settings(home=tmp_path, neo4j=neo4j))}

    graph = "orders.purchases"
    assert graph not in chosen("projections", "") | chosen("all", "") | chosen("orders", "")
    assert chosen("projections", "bolt://n") - chosen("projections", "") == {graph}
    assert chosen(graph, "") == {graph}, "whoever names it wants it, and is told that there is no address"
    with pytest.raises(ServiceAway, match="set ONEFACT_NEO4J"):
        open_store("neo4j", Settings(home=tmp_path, neo4j=""))


def test_only_what_may_be_left_out_can_be(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONEFACT_HOME", str(home.path))
    with pytest.raises(BadInput, match="kafka cannot be left out; neo4j, s3 can"):
        up_command(without=["kafka"])
    plan = make_plan(home, Settings(home=home.path), "embedded", ["neo4j"])
    started = {service.name for service in stack_of(home, plan).services}
    assert started >= {"kafka", "redis"}
    assert "neo4j" not in started | plan["settings"].keys()
