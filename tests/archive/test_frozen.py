"""The frozen tier: against a store that refuses reads until they were restored, and simulated where there is none."""

from __future__ import annotations

import secrets
import subprocess
import sys
import time
from collections.abc import Iterator

import httpx
import pytest

from eventlog.archive import frozen
from eventlog.archive.frozen import NotFrozen, RangeFrozen
from eventlog.archive.objects import ArchiveClass, Objects, StorageClass
from eventlog.archive.past import Past
from eventlog.archive.table import Table
from eventlog.errors import Fenced
from eventlog.reader import to_record
from eventlog.settings import Settings
from eventlog.upkeep.compact import NotTheSame, compact, sweep
from eventlog.upkeep.freeze import freeze
from eventlog.upkeep.policy import Policy, TopicPolicy
from eventlog.upkeep.tiers import _within
from eventlog.upkeep.verify import verify
from tests.archive.conftest import Archive
from tests.archive.test_sink import contents, drawn, of
from tests.backing import free_port_base
from tests.runtime.harness import wait_until

RESTORE_S = 1


@pytest.fixture(scope="module")
def glacier() -> Iterator[Settings]:
    """Moto's S3, whose restores take a second; a process of its own."""
    url = f"http://127.0.0.1:{free_port_base()}"
    program = [sys.executable, "-m", "tests.archive.glacier", "-H", "127.0.0.1", "-p", url.rpartition(":")[2]]
    server = subprocess.Popen(program, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    transition = {"model_name": "s3::keyrestore", "transition": {"progression": "time", "seconds": RESTORE_S}}
    try:
        wait_until(lambda: answers(f"{url}/moto-api/state-manager/set-transition", transition), 60, "moto's server")
        yield Settings(s3=f"{url.replace('//', '//a:b@')}/frozen-tests")
    finally:
        server.terminate()
        server.wait(30)


def answers(url: str, body: object) -> bool:
    try:
        return httpx.post(url, json=body, timeout=5).is_success
    except httpx.HTTPError:
        return False


@pytest.fixture(params=["GLACIER", "SIMULATED"])
def kind(request: pytest.FixtureRequest) -> ArchiveClass:
    return request.param


@pytest.fixture
def cold(kind: ArchiveClass, request: pytest.FixtureRequest) -> Archive:
    """Six files, of which pairs become one."""
    settings: Settings = request.getfixturevalue("glacier" if kind == "GLACIER" else "settings")
    archive = Archive(Objects(settings), settings, f"cold.{secrets.token_hex(4)}")
    archive.write(of(archive.topic, drawn(120)), files=6)
    made = archive.segments()
    for start in (0, 2, 4):
        compact(archive.objects, archive.table, made[start : start + 2])
    sweep(archive.objects, archive.table)
    return archive


def read_all(settings: Settings, archive: Archive, begin: int = 0) -> list:
    end = archive.segments()[-1].end
    batches = Past(settings).batches(archive.topic, 0, begin, end)
    return [to_record(message) for messages, _ in batches for message in messages]  # type: ignore[arg-type]


def frozen_first(archive: Archive, kind: ArchiveClass, count: int = 2) -> None:
    for segment in archive.segments()[:count]:
        freeze(archive.objects, archive.table, segment, kind)
    sweep(archive.objects, archive.table)


def test_what_is_frozen_is_asked_for_and_read_on(cold: Archive, kind: ArchiveClass) -> None:
    records = read_all(cold.settings, cold)
    frozen_first(cold, kind)
    assert [segment.tier for segment in cold.segments()] == ["frozen", "frozen", "cold"]
    reading = Past(cold.settings).batches(cold.topic, 0, 0, cold.segments()[-1].end)
    with pytest.raises(RangeFrozen, match="onefact archive restore") as met:
        next(reading)
    asked = met.value.request
    assert [(each.begin, each.end) for each in asked.segments] == [(s.begin, s.end) for s in cold.segments()[:2]]
    assert asked.states() == {"frozen": 2}
    assert read_all(cold.settings, cold, cold.segments()[1].end) == records[-40:], "what is not frozen is read"
    asked.ask("Expedited", days=1)
    asked.ask("Expedited", days=1)
    assert asked.states()["frozen"] == 0
    asked.wait(look_s=0.1)
    assert asked.states() == {"readable": 2}
    assert contents(read_all(cold.settings, cold)) == contents(records)


def test_a_reader_that_may_asks_itself_and_goes_on(cold: Archive, kind: ArchiveClass) -> None:
    records = read_all(cold.settings, cold)
    frozen_first(cold, kind, 3)
    patient = cold.settings.model_copy(update={"archive_restore": "Expedited", "archive_look_s": 0.1})
    reading = Past(patient).batches(cold.topic, 0, 0, cold.segments()[-1].end)
    first, _ = next(reading)
    states = [frozen.state_of(cold.objects, segment.key) for segment in cold.segments()]
    assert states == ["readable"] * 3, "all of the range was asked for at once"
    got = [*first, *(message for messages, _ in reading for message in messages)]
    assert contents([to_record(message) for message in got]) == contents(records)  # type: ignore[arg-type]


def test_frozen_files_are_proved_as_far_as_they_can_be(cold: Archive, kind: ArchiveClass) -> None:
    frozen_first(cold, kind)
    proof = verify(cold.objects, None, cold.topic, 0)
    assert (proof.frozen, proof.faults, len(proof.unread)) == (2, [], 2)
    first = cold.segments()[0]
    cold.objects.delete(first.key)
    (fault,) = verify(cold.objects, None, cold.topic, 0).faults
    assert (fault.begin, fault.end) == (first.begin, first.end)
    assert "missing" in fault.what


def test_what_the_store_gives_back_otherwise_is_not_frozen(
    cold: Archive, kind: ArchiveClass, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = cold.segments()
    get, copy = Objects.get, Objects.copy

    def other(self: Objects, key: str) -> bytes:
        return get(self, key)[:-1] + b"?" if key.endswith(".parquet") else get(self, key)

    def ignored(self: Objects, source: str, target: str, storage_class: StorageClass = "STANDARD") -> None:
        if source != target:
            copy(self, source, target, storage_class)

    with monkeypatch.context() as patch:
        patch.setattr(Objects, "get", other)
        with pytest.raises(NotTheSame):
            freeze(cold.objects, cold.table, before[0], kind)
    with monkeypatch.context() as patch:
        patch.setattr(Objects, "copy", ignored)
        if kind == "GLACIER":
            with pytest.raises(NotFrozen):
                freeze(cold.objects, cold.table, before[0], kind)
    assert cold.segments() == before
    freeze(cold.objects, cold.table, before[0], kind)
    with pytest.raises(Fenced):
        freeze(cold.objects, Table(cold.objects, cold.topic), before[0], kind)


def test_compacted_files_are_in_the_class_that_the_policy_says(glacier: Settings) -> None:
    archive = Archive(Objects(glacier), glacier, f"cold.{secrets.token_hex(4)}")
    records = of(archive.topic, drawn(60))
    archive.write(records, files=3)
    policy = Policy(default=TopicPolicy(compact_after="0h"), cold_class="STANDARD_IA")
    assert {archive.objects.head(segment.key).storage_class for segment in archive.segments()} == {"STANDARD"}
    (move,) = _within(archive.objects, archive.table, 0, policy, int(time.time() * 1000) + 1000, lambda _: None)
    (made,) = archive.segments()
    assert (move.target, made.tier) == ("cold", "cold")
    assert archive.objects.head(made.key).storage_class == "STANDARD_IA"
    assert contents(read_all(glacier, archive)) == contents(records), "and read as any other"
    freeze(archive.objects, archive.table, made, "GLACIER")
    assert archive.objects.head(archive.segments()[0].key).storage_class == "GLACIER"
