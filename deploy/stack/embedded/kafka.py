"""Kafka 4 in KRaft mode: one node that is broker and controller, and forgets nothing by itself."""

from __future__ import annotations

import base64
import shutil
import subprocess
import uuid

from deploy.stack.cache import fetched, program_folder
from deploy.stack.embedded.base import HOST, EmbeddedService, plain_environment
from deploy.stack.home import write_private
from deploy.stack.java import java, java_home
from deploy.stack.model import NotUp, Progress
from deploy.stack.process import Launch

RECORD_BYTES_MAX = 16 * 1024 * 1024
FOREVER_MINUTES = 2**31 - 1

OPTIONS = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "controller.listener.names": "CONTROLLER",
    "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
    # Topics are declared in code: a misspelt name must be an error.
    "auto.create.topics.enable": "false",
    # One node: its own topics can have one copy only, and few partitions are opened faster.
    "offsets.topic.replication.factor": "1",
    "offsets.topic.num.partitions": "8",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "transaction.state.log.num.partitions": "8",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    # The log is the only truth: nothing goes by age unless a topic says so, and neither do the
    # positions of processors, which are consumer offsets.
    "log.retention.ms": "-1",
    "offsets.retention.minutes": str(FOREVER_MINUTES),
    # Workers come back at once, and leave a group soon after they were killed.
    "group.initial.rebalance.delay.ms": "0",
    "group.min.session.timeout.ms": "6000",
    # A killed worker's open transaction hides later records from read_committed until it is aborted.
    "transaction.abort.timed.out.transaction.cleanup.interval.ms": "1000",
    # After a kill the controller refuses the broker until the old one's session has ended. Both are
    # one process, which is never away from itself, so that wait can be short.
    "broker.session.timeout.ms": "2500",
    "broker.heartbeat.interval.ms": "500",
    # The upper limit; a topic chooses its own.
    "message.max.bytes": str(RECORD_BYTES_MAX),
    "replica.fetch.max.bytes": str(RECORD_BYTES_MAX),
}


class Kafka(EmbeddedService):
    """The log. Acknowledged records survive `kill -9`: they are in the page cache of the machine."""

    name = "kafka"
    slots = (0, 1)  # clients, controller
    stop_timeout_s = 30.0

    @property
    def address(self) -> str:
        return f"{HOST}:{self.port}"

    def fetch(self, progress: Progress) -> None:
        java_home()
        fetched("kafka", progress)

    def prepare(self) -> Launch:
        self.folder.mkdir(mode=0o700, exist_ok=True)
        properties = self.folder / "server.properties"
        write_private(properties, "".join(f"{k}={v}\n" for k, v in self._options().items()))
        write_private(self.folder / "log4j2.properties", _LOGGING)
        classes = f"{program_folder('kafka')}/*"
        if not (self.folder / "log" / "meta.properties").is_file():
            self._format(classes, str(properties))
        return Launch(
            argv=[
                java(),
                *("-Xms512m", "-Xmx1g", "-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20"),
                f"-Dlog4j2.configurationFile={self.folder}/log4j2.properties",
                *("-cp", classes, "kafka.Kafka", str(properties)),
            ],
            cwd=self.folder,
            env=plain_environment(),
        )

    def _options(self) -> dict[str, str]:
        clients, controller = (f"{HOST}:{port}" for port in self.ports)
        return OPTIONS | {
            "controller.quorum.voters": f"1@{controller}",
            "listeners": f"PLAINTEXT://{clients},CONTROLLER://{controller}",
            "advertised.listeners": f"PLAINTEXT://{clients}",
            "log.dirs": str(self.folder / "log"),
        }

    def _format(self, classes: str, properties: str) -> None:
        # What an interrupted format left has no meta.properties: it is written last.
        shutil.rmtree(self.folder / "log", ignore_errors=True)
        tool = [java(), "-Xmx256m", "-XX:TieredStopAtLevel=1", "-cp", classes]
        done = subprocess.run(
            [*tool, "kafka.tools.StorageTool", "format", "-t", new_cluster_id(), "-c", properties],
            env=plain_environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        if done.returncode != 0:
            raise NotUp(f"kafka could not format its storage: {(done.stderr or done.stdout)[-300:]}")


def new_cluster_id() -> str:
    """Random bytes as Kafka writes them; without a dash, which in front would be an option."""
    return base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=").replace("-", "_")


_LOGGING = """\
rootLogger.level = WARN
rootLogger.appenderRef.out.ref = OUT
appender.out.type = Console
appender.out.name = OUT
appender.out.layout.type = PatternLayout
appender.out.layout.pattern = %d{ISO8601} %p %c{1}: %m%n
logger.server.name = kafka.server.KafkaRaftServer
logger.server.level = INFO
"""
