"""How long a saga waits: as it declares, or as the settings say."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

from eventlog.errors import BadInput
from eventlog.sagas import Saga


def allowed(saga: Saga, override: str) -> Mapping[str, timedelta]:
    """The saga's deadlines by name; `override` is `DOMAIN.NAME=SECONDS[,DOMAIN.NAME=SECONDS...]`.

    Raises `BadInput` for what cannot be read, and for a name that the saga does not have.
    """
    found = dict(saga.deadlines)
    for part in filter(None, (part.strip() for part in override.split(","))):
        name, _, seconds = part.partition("=")
        domain, _, deadline = name.rpartition(".")
        try:
            length = timedelta(seconds=float(seconds))
            if not domain or length <= timedelta():
                raise ValueError
        except (ValueError, OverflowError):
            raise BadInput(f"ONEFACT_DEADLINES is SAGA.NAME=SECONDS[,...], not {override!r}") from None
        if domain != saga.domain.name:
            continue
        if deadline not in found:
            raise BadInput(f"ONEFACT_DEADLINES names {name}; {saga.name} has {', '.join(found)}")
        found[deadline] = length
    return found
