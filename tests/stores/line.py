"""A line to a server that can be cut at a chosen word, after the server has acted on it and before anybody hears."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from urllib.parse import urlsplit, urlunsplit


class Line:
    """Forwards TCP to the server of a URL; `url` is the same server through this line."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        assert parts.hostname is not None and parts.port is not None
        self._server = (parts.hostname, parts.port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        port = self._listener.getsockname()[1]
        credentials = parts.netloc.rpartition("@")[0]
        self.url = urlunsplit(parts._replace(netloc=f"{credentials}@127.0.0.1:{port}"))
        self._cut = threading.Event()
        self._answered = threading.Event()
        self.cut_after: bytes | None = None
        """The next bytes to the server that hold this word pass; their answer does not, and the line is cut."""

    def __enter__(self) -> Line:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(self._server)
                threading.Thread(target=self._forward, args=(client, server), daemon=True).start()
                threading.Thread(target=self._back, args=(server, client), daemon=True).start()

    def _forward(self, client: socket.socket, server: socket.socket) -> None:
        with suppress(OSError), client, server:
            while data := client.recv(1 << 16):
                if self.cut_after is not None and self.cut_after in data:
                    self._cut.set()
                    client.shutdown(socket.SHUT_WR)  # from here on nothing comes back
                    self._rest(client, server, data)
                    return
                server.sendall(data)

    def _rest(self, client: socket.socket, server: socket.socket, data: bytes) -> None:
        """Let the whole request through, and wait until the server has answered it."""
        while data and not self._answered.is_set():
            server.sendall(data)
            data = client.recv(1 << 16)
        self._answered.wait(10)
        self.cut_after = None

    def _back(self, server: socket.socket, client: socket.socket) -> None:
        with suppress(OSError):
            while data := server.recv(1 << 16):
                if self.cut_after is not None and self._cut.is_set():
                    self._answered.set()
                client.sendall(data)
