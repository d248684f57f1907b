"""Objects that must not be there yet: of several that write one at a time, one does."""

from __future__ import annotations

import secrets
from concurrent.futures import ThreadPoolExecutor

from eventlog.archive.objects import Objects

WRITERS = 8
ROUNDS = 20


def test_of_several_that_write_a_new_object_one_is_told_that_it_did(objects: Objects) -> None:
    objects.have_bucket()
    with ThreadPoolExecutor(WRITERS) as writers:
        for number in range(ROUNDS):
            key, bodies = f"new/{number}", [secrets.token_bytes(2_000) for _ in range(WRITERS)]
            done = list(writers.map(lambda body, key=key: objects.put_new(key, body), bodies))
            assert done.count(True) == 1
            assert objects.get(key) == bodies[done.index(True)]


def test_who_writes_the_same_again_has_written_it(objects: Objects) -> None:
    objects.have_bucket()
    assert objects.put_new("again", b"one")
    assert objects.put_new("again", b"one"), "the answer to the first attempt was lost"
    assert not objects.put_new("again", b"other")
    assert objects.get("again") == b"one"
