"""A repeated command is decided again."""

from __future__ import annotations

from typing import Any

from eventlog.steps import decide


def plant() -> None:
    class Forgetful(dict[Any, Any]):
        """Takes outcomes, and has none when asked."""

        def get(self, *_: Any) -> None:
            return None

    stream_init, draft_init = decide.Stream.__init__, decide.Draft.__init__

    def new_stream(self: Any, state: Any) -> None:
        stream_init(self, state)
        self.outcomes = Forgetful()

    def new_draft(self: Any, base: Any) -> None:
        draft_init(self, base)
        self.fresh = Forgetful()

    decide.Stream.__init__ = new_stream  # type: ignore[method-assign]
    decide.Draft.__init__ = new_draft  # type: ignore[method-assign]
