"""Stands in for a worker: ready after a moment; drains on SIGTERM."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

READY_AFTER_S = 0.3
began = time.monotonic()


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        ready = self.path == "/ready" and time.monotonic() - began > READY_AFTER_S
        self.send_response(200 if ready else 503)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name in the library
        pass


def main() -> None:
    name = os.environ["ONEFACT_WORKER_NAME"]
    home = Path(os.environ["ONEFACT_HOME"])
    if "broken" in sys.argv:
        sys.exit("no such role: broken")
    server = HTTPServer(("127.0.0.1", int(os.environ["ONEFACT_WORKER_PORT"])), Handler)
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    print(f"{name} serves {sys.argv[1:]}")
    server.serve_forever()
    (home / f"drained-{name}").write_text(" ".join(sys.argv[1:]))


main()
