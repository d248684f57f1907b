"""What comes altered from a broker is never taken: the worker ends, and the next one reads it as it was written."""

from __future__ import annotations

import uuid
from pathlib import Path

from eventlog.codec import Codec
from eventlog.settings import Settings
from tests.backing import Backing
from tests.runtime.altering import SPOILT
from tests.runtime.counting import COUNTING, DECIDER, Count
from tests.runtime.harness import Workers, consumed, header, publish, read_all, wait_until

COMMANDS = 20


def test_a_bit_that_was_turned_on_the_way_is_never_decided(
    settings: Settings, codec: Codec, backing: Backing, tmp_path: Path
) -> None:
    mark = tmp_path / "altered"
    counter = f"{SPOILT.decode()}-{uuid.uuid4().hex}"
    workers = Workers(backing.env | {"ALTERED": str(mark)}, tmp_path, module="tests.runtime.altering")
    commands = [(f"{counter}:{n}", Count(counter_id=counter, number=n + 20)) for n in range(COMMANDS)]
    try:
        workers.start("a", DECIDER.name)
        workers.wait_ready()
        publish(settings, codec, DECIDER.source, commands)
        wait_until(lambda: workers.processes["a"].poll() is not None, 120, "the worker ends", workers.logs)
        assert mark.exists()
        assert workers.processes["a"].returncode != 0
        assert "Invalid CRC" in workers.logs()
        workers.start("a")
        wait_until(lambda: consumed(settings, DECIDER.name, DECIDER.source), 120, "decided", workers.logs)
        found = [record for record in read_all(settings, COUNTING.topic("events")) if SPOILT[1:] in (record.key or b"")]
        assert [header(record, "ce_causationid") for record in found] == [command_id for command_id, _ in commands]
        assert {record.key for record in found} == {counter.encode()}
    finally:
        workers.stop()
