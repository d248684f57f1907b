"""Progress on a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from projections.progress import ReplayProgress

PARTITIONS_SHOWN_MAX = 24
"""Of more than these a terminal shows the sum alone."""


class ProgressBar:
    """Shows a replay on a terminal: offsets, rate, time left, and where each partition is."""

    def __init__(self, *, quiet: bool) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskProgressColumn, TextColumn

        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[speed]}"),
        )
        self._bar = Progress(*columns, console=Console(stderr=True), disable=quiet, transient=False)
        self._task = self._bar.add_task("building", total=None, speed="")
        self._partitions: dict[tuple[str, int], Any] = {}

    def __enter__(self) -> ProgressBar:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def hidden(self, ask: Any) -> Any:
        """Run something that talks on the terminal itself."""
        self._bar.stop()
        try:
            return ask()
        finally:
            self._bar.start()

    def count(self, what: str, done: int, total: int) -> None:
        """So much of a whole."""
        self._bar.update(self._task, description=what, completed=done, total=total)

    def show(self, progress: ReplayProgress) -> None:
        """Where a replay is."""
        speed = f"{progress.rate:,.0f}/s, {progress.seconds_left:.0f} s left" if progress.phase == "building" else ""
        self.count(progress.phase, progress.done, progress.total)
        self._bar.update(self._task, speed=speed)
        if len(progress.partitions) > PARTITIONS_SHOWN_MAX:
            return
        for place, (at, end) in sorted(progress.partitions.items()):
            if place not in self._partitions:
                self._partitions[place] = self._bar.add_task(f"  {place[0]}:{place[1]}", total=end, speed="")
            self._bar.update(self._partitions[place], completed=at, total=end)
