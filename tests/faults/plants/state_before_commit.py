"""State is taken over before its transaction is committed, and kept by a task that opens again: it has it already."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from eventlog.runtime.kafka_task import DecideTask, EnrichTask
from tests.faults.plants._edit import edit

TAKEN_OVER = "    step.commit(done)  # only now: an aborted batch leaves no trace\n"
COMMITS = {
    DecideTask: "    await self._commit(changelog, done.next_offset)\n",
    EnrichTask: "    await self._commit(step.changelog(done), done.next_offset)\n",
}


class Remembered:
    """Stands for a step whose state is there."""

    def restore(self, rows: Iterable[Any]) -> None:
        """It knows them."""


def plant() -> None:
    for task, commit in COMMITS.items():
        early = "    step.commit(done)\n"
        if task is EnrichTask:
            commit_early = f"    changelog = step.changelog(done)\n{early}{COMMITS[DecideTask]}"
        else:
            commit_early = early + commit
        edit(task, "process", (TAKEN_OVER, ""), (commit, commit_early))
        keep_step(task)


def keep_step(task: Any) -> None:
    new_step = task._new_step

    def _new_step(self: Any) -> Any:
        return Remembered() if hasattr(self, "_step") else new_step(self)

    task._new_step = _new_step
