"""Planting by the source: a bug is the few lines in which it differs; where those are gone, planting fails."""

from __future__ import annotations

import inspect
import sys
import textwrap
from typing import Any


def edit(owner: Any, name: str, *changes: tuple[str, str], **names: Any) -> None:
    """Have a function of a class or module read `new` for each `old`, which must be in it exactly once.

    Lines are dedented until the function itself begins them; `names` are what the new ones need besides. Not for
    functions with a `super()` of no arguments.
    """
    found = inspect.getattr_static(owner, name)
    function = getattr(found, "__func__", found)
    source = textwrap.dedent(inspect.getsource(function))
    for old, new in changes:
        source = replaced(source, old, new)
    made: dict[str, Any] = {}
    module = vars(sys.modules[function.__module__])
    named = f"<planted in {function.__module__}.{function.__qualname__}>"
    # Annotations stay text, as they are in the product: what they name may be there for mypy alone.
    code = compile(source, named, "exec", flags=annotations.compiler_flag, dont_inherit=True)
    exec(code, module | names if names else module, made)
    setattr(owner, name, made[name])


def replaced(text: str, old: str, new: str) -> str:
    """The text with the one place where `old` stands saying `new`."""
    assert text.count(old) == 1, f"{old!r} is there {text.count(old)} times: the product has changed, the plant has not"
    return text.replace(old, new)
