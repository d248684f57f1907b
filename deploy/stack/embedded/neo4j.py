"""Neo4j, community edition, with a password and in little memory: the store of graphs."""

from __future__ import annotations

import hashlib
import secrets

from deploy.stack.cache import fetched, program_folder
from deploy.stack.embedded.base import HOST, EmbeddedService, plain_environment
from deploy.stack.home import write_private
from deploy.stack.java import java, java_home
from deploy.stack.model import Progress
from deploy.stack.process import Launch

USER = "neo4j"
HASHINGS = 1024
OPTIONS = {
    "server.http.enabled": "false",
    "server.https.enabled": "false",
    "server.memory.pagecache.size": "128m",
    # It reports to nobody, and looks for no others: that would be a broadcast.
    "dbms.usage_report.enabled": "false",
    "server.fleet_discovery.enabled": "false",
    # A quarter of a gigabyte for each of its two databases otherwise.
    "db.tx_log.preallocate": "false",
    # So that a client notices within half a minute when it hangs.
    "server.bolt.connection_keep_alive": "10s",
    "server.bolt.connection_keep_alive_for_requests": "ALL",
    # Once its databases are closed nobody waits for anything: it would take ten seconds to end.
    "internal.server.bolt.thread_pool_shutdown_wait_time": "0s",
    "internal.server.bolt.connection_shutdown_wait_time": "0s",
}
MEMORY = ("-Xms256m", "-Xmx512m")
JAVA = (
    *("--add-opens=java.base/java.nio=ALL-UNNAMED", "--add-opens=java.base/java.io=ALL-UNNAMED"),
    *("--add-opens=java.base/sun.nio.ch=ALL-UNNAMED", "--enable-native-access=ALL-UNNAMED"),
)
"""What it reaches for within Java, as its own start script says."""


class Neo4j(EmbeddedService):
    """A committed transaction is on disk."""

    name = "neo4j"
    slots = (6,)

    @property
    def address(self) -> str:
        return f"bolt://{USER}:{self.home.secret(self.name)}@{HOST}:{self.port}"

    def fetch(self, progress: Progress) -> None:
        java_home()
        fetched("neo4j", progress)

    def prepare(self) -> Launch:
        for folder in ("conf", "data", "data/dbms"):
            (self.folder / folder).mkdir(mode=0o700, parents=True, exist_ok=True)
        options = {
            "server.default_listen_address": HOST,
            "server.bolt.listen_address": f"{HOST}:{self.port}",
            **OPTIONS,
        }
        write_private(self.folder / "conf" / "neo4j.conf", "".join(f"{k}={v}\n" for k, v in options.items()))
        # Read at the first start only. Its own tool for this takes seconds, and the password as an argument.
        write_private(self.folder / "data" / "dbms" / "auth.ini", first_user(self.home.secret(self.name)))
        classes = f"{program_folder('neo4j')}/*"
        places = (f"--home-dir={self.folder}", f"--config-dir={self.folder}/conf", "--console-mode")
        return Launch(
            argv=[java(), *MEMORY, *JAVA, "-cp", classes, "org.neo4j.server.Neo4jCommunity", *places],
            cwd=self.folder,
            env=plain_environment(),
        )


def first_user(password: str) -> str:
    """The line that makes the server's first user, as `neo4j-admin dbms set-initial-password` writes it."""
    salt = secrets.token_bytes(32)
    digest = salt + password.encode()
    for _ in range(HASHINGS):
        digest = hashlib.sha256(digest).digest()
    return f"{USER}:SHA-256,{digest.hex()},{salt.hex()},{HASHINGS}:\n"
