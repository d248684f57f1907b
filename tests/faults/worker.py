"""A worker of the whole product with the campaign's points in it: `python -m tests.faults.worker [ROLE ...]`.

`--onefact WORDS` runs the command line in the same way, for replays. `ONEFACT_TEST_PLANT` names a module of
`tests.faults.plants` whose bug is planted first.
"""

from __future__ import annotations

import importlib
import os
import sys

from tests.faults import points


def prepare() -> None:
    if bug := os.environ.get("ONEFACT_TEST_PLANT"):
        importlib.import_module(f"tests.faults.plants.{bug}").plant()
    points.install()


if __name__ == "__main__":
    prepare()
    words = sys.argv[1:]
    if words[:1] == ["--onefact"]:
        from deploy.cli import main as onefact

        sys.argv = ["onefact", *words[1:]]
        sys.exit(onefact())
    import deploy.worker

    code = deploy.worker.main(words)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # as deploy.worker does: threads of native libraries may still be ending
