"""What a version is, its store says: to two hosts, and to one whose home folder was lost. On the store in memory."""

from __future__ import annotations

from copy import copy
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from eventlog.errors import NotFound, OnefactError
from projections.progress import ReplayProgress
from projections.replay import Paused
from tests.projections.kinds import SHELF
from tests.projections.test_versions import START, replayed, rolled_back, rows, world
from tests.projections.world import World

__all__ = ["world"]


@pytest.mark.parametrize("notes", ["kept", "lost", "of another home"])
def test_a_part_of_the_log_never_goes_live(world: World, notes: str, tmp_path: Path) -> None:
    def part() -> int:
        begin, end = START + timedelta(minutes=60), START + timedelta(minutes=180)
        made = replayed(world, SHELF, since=begin, until=end).version
        if notes == "lost":
            (world.settings.home / "replays" / "shop_shelf.json").unlink()
        if notes == "of another home":
            world.settings = world.settings.model_copy(update={"home": tmp_path / f"after {made}"})
        return made

    world.apply(SHELF)
    whole = rows(world, SHELF)
    part()
    with pytest.raises(NotFound, match="no version of shop_shelf beside 1"):
        rolled_back(world, SHELF)
    assert (world.store.live_version(SHELF.model), rows(world, SHELF)) == (1, whole)
    second = replayed(world, SHELF, fresh=True)
    assert (second.identical, world.store.versions(SHELF.model)) == (True, [1, second.version])
    third = part()
    assert [rolled_back(world, SHELF).version for _ in range(3)] == [1, second.version, 1]
    assert (world.store.versions(SHELF.model), rows(world, SHELF)) == ([1, second.version, third], whole)
    replayed(world, SHELF, fresh=True)
    assert third not in world.store.versions(SHELF.model)


@pytest.mark.parametrize("what", ["rebuild", "part"])
def test_what_another_home_folder_began_is_left_to_it(world: World, tmp_path: Path, what: str) -> None:
    world.apply(SHELF)
    here = world.settings
    there = here.model_copy(update={"home": tmp_path / "there"})
    points = {"until": START + timedelta(minutes=100)} if what == "part" else {}

    def stop(progress: ReplayProgress) -> None:
        raise KeyboardInterrupt

    with pytest.raises(Paused):
        replayed(world, SHELF, on_progress=stop, **points)
    world.settings = there
    said = r"another host .* of shop_shelf: version 2 \((a rebuild|part .*), by .*--fresh"
    for options in ({}, {"until": START}):
        with pytest.raises(OnefactError, match=said):
            replayed(world, SHELF, **options)
    world.settings = here
    assert replayed(world, SHELF, **points).version == 2
    # And where somebody says so it goes, and what was here is not taken for it.
    with pytest.raises(Paused):
        replayed(world, SHELF, on_progress=stop, until=START + timedelta(minutes=50))
    world.settings = there
    assert replayed(world, SHELF, fresh=True, until=START + timedelta(minutes=50)).version == 4
    world.settings = here
    with pytest.raises(OnefactError, match="--fresh"):
        replayed(world, SHELF)


@pytest.mark.parametrize("run", [replayed, rolled_back])
def test_of_two_hosts_that_switch_at_once_one_does(world: World, tmp_path: Path, run: Any) -> None:
    world.apply(SHELF)
    replayed(world, SHELF)
    seen = []

    def meanwhile(progress: ReplayProgress) -> None:
        if progress.phase == "switching" and not seen:
            seen.append(rolled_back(elsewhere, SHELF).version)

    elsewhere = copy(world)
    elsewhere.settings = world.settings.model_copy(update={"home": tmp_path / "there"})
    with pytest.raises(OnefactError, match="shop_shelf was switched by another"):
        run(world, SHELF, on_progress=meanwhile)
    assert (seen, world.store.live_version(SHELF.model)) == ([1], 1)
    assert (world.store.versions(SHELF.model), rolled_back(world, SHELF).version) == ([1, 2], 2)
