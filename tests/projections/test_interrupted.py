"""Replays that are killed or paused: live is untouched, and the next one goes on where the last commit was."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from eventlog.errors import OnefactError
from eventlog.position import Position
from projections.marks import alone
from projections.progress import ReplayProgress
from projections.replay import Paused
from tests.backing import settings_as_env, until
from tests.projections.conftest import Shop
from tests.projections.shop import SHELF, STOCK
from tests.projections.test_replay import fill, live, rebuild

ROOT = Path(__file__).parents[2]
PROGRAM = """
import sys, time
from projections.replay import replay
from tests.projections.shop import CATALOG

def told(progress):
    # Of some partition a whole commit's worth has been read by then, and it goes no further.
    if progress.done > 8_000:
        print(progress.done, flush=True)
        time.sleep(600)

replay("shop_shelf", catalog=CATALOG, workers=int(sys.argv[1]), on_progress=told)
"""


def killed_while_building(shop: Shop, workers: int) -> None:
    """A replay of the shelf in a process of its own, killed once it has built something."""
    env = os.environ | settings_as_env(shop.settings)
    command = [sys.executable, "-c", PROGRAM, str(workers)]
    killed = subprocess.Popen(command, cwd=ROOT, env=env, stdout=subprocess.PIPE, text=True)
    assert killed.stdout is not None
    assert killed.stdout.readline(), "it ended without having come so far"
    store = shop.reader.store("shop_shelf")
    begun = max(store.versions(SHELF.model))
    until(lambda: any(store.progress(SHELF.model, begun).values()), "something is committed")
    with pytest.raises(OnefactError, match="another replay of shop_shelf runs"):
        rebuild(shop, SHELF)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    killed.stdout.close()


@pytest.mark.parametrize("workers", [1, 2])
def test_killed_in_the_middle_the_live_one_is_untouched_and_the_next_replay_goes_on(shop: Shop, workers: int) -> None:
    fill(shop, 15_000)
    shop.apply(SHELF, batch=2000)
    before = live(shop, SHELF.model)
    killed_while_building(shop, workers)
    store = shop.reader.store("shop_shelf")
    begun = max(store.versions(SHELF.model))
    assert begun > before[0], "it was killed before it began"
    assert live(shop, SHELF.model) == before
    # Processes that it had started hold its lock until they have noticed.
    until(lambda: _free(shop), "its processes have ended")
    stood = sum(store.progress(SHELF.model, begun).values())
    assert stood, "nothing was committed before it was killed"
    seen: list[ReplayProgress] = []
    result = rebuild(shop, SHELF, on_progress=seen.append, workers=workers)
    assert (result.identical, result.version) == (True, begun)
    assert sum(Position.parse(result.began_at).offsets.values()) == stood
    total = sum(store.progress(SHELF.model).values())
    assert result.records <= total - stood, "it folded again what was folded"
    assert store.versions(SHELF.model) == [before[0], result.version]
    reached = {place for place, offset in store.progress(SHELF.model).items() if offset}
    assert {place for p in seen for place in p.partitions} == reached
    assert all(at == end for at, end in seen[-1].partitions.values())


def test_a_process_of_a_replay_is_killed_and_the_next_replay_goes_on(shop: Shop) -> None:
    fill(shop, 30_000)
    shop.apply(SHELF, batch=2000)
    before, store = live(shop, SHELF.model), shop.reader.store("shop_shelf")
    killed: list[int] = []

    def kill(progress: ReplayProgress) -> None:
        begun = max(store.versions(SHELF.model))
        if not killed and begun > before[0] and any(store.progress(SHELF.model, begun).values()):
            killed.append(_children()[0])
            os.kill(killed[0], signal.SIGKILL)

    with pytest.raises(Paused, match=r"a process that built shop_shelf was ended by signal 9; paused: version \d+ of"):
        rebuild(shop, SHELF, workers=2, on_progress=kill)
    begun = max(store.versions(SHELF.model))
    stood = sum(store.progress(SHELF.model, begun).values())
    assert killed
    assert live(shop, SHELF.model) == before
    result = rebuild(shop, SHELF, workers=2)
    assert (result.identical, result.version) == (True, begun)
    assert sum(Position.parse(result.began_at).offsets.values()) == stood > 0
    assert result.records <= sum(store.progress(SHELF.model).values()) - stood, "it folded again what was folded"


def _children() -> list[int]:
    """Processes that build for this one."""
    running = [child for child in psutil.Process().children() if child.status() != psutil.STATUS_ZOMBIE]
    return [child.pid for child in running if "projections.building" in child.cmdline()]


def _free(shop: Shop) -> bool:
    try:
        with alone(shop.settings, SHELF.model):
            return True
    except OnefactError:
        return False


def test_interrupted_from_the_keyboard_it_stays_and_goes_on(shop: Shop) -> None:
    fill(shop)
    shop.apply(STOCK)
    before = live(shop, STOCK.model)

    def interrupt(progress: ReplayProgress) -> None:
        if progress.phase == "comparing":
            raise KeyboardInterrupt

    with pytest.raises(Paused):
        rebuild(shop, STOCK, on_progress=interrupt)
    assert live(shop, STOCK.model) == before
    result = rebuild(shop, STOCK)
    assert (result.identical, result.switched, result.records) == (True, True, 0)
