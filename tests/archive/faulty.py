"""An object store that misbehaves: a proxy before the real one, which does to chosen requests what it is told."""

from __future__ import annotations

import http.client
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

FAULTS = ("429", "500", "reset", "truncated", "answer lost")
SLOW_S = 4.0
"""So long a request of the kind `slow` waits, after which it is done; `not kept` is acknowledged and thrown away."""

COPIED = b"<CopyObjectResult><ETag>0</ETag><LastModified>2026-01-01T00:00:00.000Z</LastModified></CopyObjectResult>"

Choose = Callable[[str, str, int], str | None]
"""`choose(method, path, number of requests before)`: one of `FAULTS`, or None."""


class FaultyStore:
    """Listens while the block runs; `url` is what takes the place of the store's."""

    def __init__(self, url: str, choose: Choose) -> None:
        parts = urlsplit(url)
        self.choose = choose
        self.host, self.port = parts.hostname or "", parts.port or 80
        self.done: Counter[str] = Counter()
        self.control: tuple[str, Callable[[bytes], bytes]] | None = None
        """A path of its own, and what answers there."""
        self._number = 0
        self._lock = threading.Lock()
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.store = self
        self._server.daemon_threads = True
        own = f"127.0.0.1:{self._server.server_port}"
        self.url = parts._replace(netloc=f"{parts.netloc.rpartition('@')[0]}@{own}").geturl()

    def __enter__(self) -> FaultyStore:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def fault_of(self, method: str, path: str) -> str | None:
        with self._lock:
            fault = self.choose(method, path, self._number)
            self._number += 1
            if fault:
                self.done[fault] += 1
        return fault


class _Server(ThreadingHTTPServer):
    store: FaultyStore


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def handle_any(self) -> None:
        try:
            self.handle_one()
        except ConnectionError:  # a client that has given up
            self.close_connection = True

    def handle_one(self) -> None:
        store = self.server.store
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if store.control is not None and self.path == store.control[0]:
            self.answer(store.control[1](body))
            return
        fault = store.fault_of(self.command, self.path)
        if fault == "not kept":
            self.answer(COPIED if self.headers.get("x-amz-copy-source") else b"")
            return
        if fault == "slow":
            time.sleep(SLOW_S)
        if fault in ("429", "500"):
            self.send_response(int(fault))
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        if fault == "reset":
            self.hang_up()
            return
        status, headers, answer = self.forward(body)
        if fault == "answer lost":
            self.hang_up()
            return
        self.send_response(status)
        for name, value in headers:
            if name.lower() not in ("transfer-encoding", "connection", "content-length", "server", "date"):
                self.send_header(name, value)
        length = next((value for name, value in headers if name.lower() == "content-length"), len(answer))
        self.send_header("Content-Length", str(length if self.command == "HEAD" else len(answer)))
        self.end_headers()
        if fault == "truncated" and answer:
            self.wfile.write(answer[: len(answer) // 2])
            self.hang_up()
        elif self.command != "HEAD":
            self.wfile.write(answer)

    def answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("ETag", '"0"')
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def forward(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        store = self.server.store
        connection = http.client.HTTPConnection(store.host, store.port, timeout=30)
        connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
        for name, value in self.headers.items():  # the host too: it is part of what was signed
            if name.lower() != "expect":
                connection.putheader(name, value)
        connection.endheaders(body)
        answer = connection.getresponse()
        found = answer.status, answer.getheaders(), answer.read()
        connection.close()
        return found

    def hang_up(self) -> None:
        self.wfile.flush()
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()
        self.close_connection = True

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = handle_any  # noqa: N815 - the library's names

    def log_message(self, *_: Any) -> None: ...
