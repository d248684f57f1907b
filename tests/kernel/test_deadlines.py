"""How long a saga waits can be set, and a mistake in it is said."""

from __future__ import annotations

from datetime import timedelta

import pytest

from eventlog.deadlines import allowed
from eventlog.errors import BadInput
from processors.fulfilment import SAGA


def test_what_is_not_set_is_as_declared() -> None:
    assert allowed(SAGA, "") == SAGA.deadlines
    found = allowed(SAGA, " fulfilment.payment=2.5, other.payment=9 ,")
    assert found == dict(SAGA.deadlines) | {"payment": timedelta(seconds=2.5)}


@pytest.mark.parametrize(
    "override", ["payment=3", "fulfilment.payment", "fulfilment.payment=soon", "fulfilment.payment=0", "=", "a.b=1e99"]
)
def test_what_cannot_be_read_is_said(override: str) -> None:
    with pytest.raises(BadInput, match=r"ONEFACT_DEADLINES is SAGA.NAME=SECONDS"):
        allowed(SAGA, override)


def test_a_name_that_the_saga_does_not_have_is_said() -> None:
    with pytest.raises(BadInput, match=r"names fulfilment.paiment; fulfilment.saga has reservation, payment, retry"):
        allowed(SAGA, "fulfilment.paiment=3")
