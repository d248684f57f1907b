"""A worker process: the apps of its roles, what it tells about itself, and an orderly end."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import structlog
from aiohttp import web
from aiokafka import AIOKafkaProducer
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from eventlog import collector
from eventlog.codec import Codec
from eventlog.deadlines import allowed
from eventlog.errors import OnefactError, ServiceAway
from eventlog.provision import provision
from eventlog.registry import Registry
from eventlog.roles import Archiver, Catalog, Decider, Effect, Enricher, Projection, Role, read_by
from eventlog.rows import OutRow
from eventlog.runtime import metrics
from eventlog.runtime.app import FETCH_BYTES_MAX, RoleApp
from eventlog.runtime.archive_task import FETCH_BYTES_MAX as ARCHIVED_BYTES_MAX
from eventlog.runtime.archive_task import Archive, ArchiveTask
from eventlog.runtime.effect_task import EffectTask
from eventlog.runtime.kafka_task import DecideTask, EnrichTask
from eventlog.runtime.outside import Outside, Terms
from eventlog.runtime.references import ReferenceReader
from eventlog.runtime.saga_task import RelayTask, SagaTask
from eventlog.runtime.store_task import StoreTask
from eventlog.runtime.task import PartitionTask
from eventlog.runtime.tracing import TracedTask
from eventlog.sagas import Relay, Saga
from eventlog.settings import Settings
from eventlog.sink import Store
from eventlog.state import chosen
from eventlog.tracing import Tracing

RETRY_S = 1.0
DRAIN_S = 15.0
"""For the batches in hand when the worker is asked to stop."""
WATCH_S = 0.5
THREADS_MAX = 128
"""For calls of stores, registry and recovery; one per partition that this worker may own."""

log = structlog.get_logger()

OpenStore = Callable[[str, Settings], Store]


class Worker:
    """Runs roles until it is told to stop, or one of them breaks in a way that a new process mends best."""

    def __init__(
        self, roles: Sequence[Role | Archiver], catalog: Catalog, settings: Settings, open_store: OpenStore
    ) -> None:
        self._roles = roles
        self._catalog = catalog
        self._settings = settings
        self._open_store = open_store
        for role in roles:
            # A mistake is said now, not per partition.
            if isinstance(role, Decider | Enricher):
                chosen(role.name, role.state_store, settings.state_store)
            elif isinstance(role, Saga):
                allowed(role, settings.deadlines)
        self._apps: list[RoleApp] = []
        self._stores: dict[str, Store] = {}
        self._outsides: dict[str, Outside] = {}
        self._stop = asyncio.Event()
        self._producer: AIOKafkaProducer | None = None
        self._references: ReferenceReader | None = None
        self._registry: Registry | None = None
        self._archive: Archive | None = None
        self._tracing = Tracing(settings) if settings.tracing else None

    async def run(self) -> int:
        """Exit code: 0 after a signal, 1 when a role's app broke."""
        loop = asyncio.get_running_loop()
        # Every task may wait for its store at once: with the few threads of the default, tasks whose store is
        # away would keep those of another store waiting.
        loop.set_default_executor(ThreadPoolExecutor(THREADS_MAX, thread_name_prefix="store"))
        collector.seldom()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        site = await self._serve()
        try:
            if not await self._start():
                return 0
            return await self._watch()
        finally:
            await self._shut_down()
            await site.cleanup()

    async def _start(self) -> bool:
        codec = await self._patiently(self._prepare)
        if codec is None:
            return False
        references = {t.name: t for r in self._roles if isinstance(r, Enricher) for t in r.references}
        self._references = ReferenceReader(references.values(), self._settings, codec)
        self._references.start()
        for name in {role.outside for role in self._roles if isinstance(role, Effect)}:
            self._outsides[name] = Outside(name, Terms.of(name, self._settings))
        self._producer = AIOKafkaProducer(
            bootstrap_servers=self._settings.kafka,
            enable_idempotence=True,
            acks="all",
            max_request_size=16 * 1024 * 1024,
        )
        await self._producer.start()
        for role in self._roles:
            self._apps.append(self._new_app(role, codec))
        await asyncio.gather(*(app.start() for app in self._apps))
        log.info("started", roles=[role.name for role in self._roles])
        return True

    def _prepare(self) -> Codec:
        provision(self._settings, self._catalog)
        self._registry = self._registry or Registry(self._settings.registry)
        codec = Codec(self._registry, self._catalog.message_types, self._catalog.upcasters)
        projections = [r for r in self._roles if isinstance(r, Projection)]
        for name in dict.fromkeys(p.model.store for p in projections):
            if name not in self._stores:
                self._stores[name] = self._open_store(name, self._settings)
            self._stores[name].prepare([p.model for p in projections if p.model.store == name])
            for doubt in self._stores[name].doubts():
                log.warning("a store may fall back", doubt=doubt)
        for role in self._roles:
            if isinstance(role, Archiver):
                self._archive = self._archive or Archive(role, self._settings, self._registry)
                self._archive.prepare(role)
        return codec

    async def _patiently(self, prepare: Callable[[], Codec]) -> Codec | None:
        """Services may start after their workers: ask until they answer, or until this worker is stopped."""
        while not self._stop.is_set():
            try:
                return await asyncio.to_thread(prepare)
            except ServiceAway as away:
                log.warning("waiting", error=str(away))
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), RETRY_S)
        return None

    def _new_app(self, role: Role | Archiver, codec: Codec) -> RoleApp:
        sources = role.sources if isinstance(role, Archiver) else read_by(role)
        topics = {topic.name: topic.partitions for topic in sources}

        def new_task(topic: str, partition: int) -> PartitionTask:
            task = self._new_task(role, topic, partition, codec)
            return (
                task if self._tracing is None or isinstance(role, Archiver) else TracedTask(task, role, self._tracing)
            )

        expiring = [topic.name for topic in sources if topic.retention is not None]
        fetch_bytes_max = ARCHIVED_BYTES_MAX if isinstance(role, Archiver) else FETCH_BYTES_MAX
        return RoleApp(role.name, topics, new_task, self._settings, expiring, fetch_bytes_max=fetch_bytes_max)

    def _new_task(self, role: Role | Archiver, topic: str, partition: int, codec: Codec) -> PartitionTask:
        match role:
            case Decider():
                return DecideTask(role, partition, self._settings, codec)
            case Enricher():
                assert self._references
                return EnrichTask(role, partition, self._settings, codec, self._references, self._catalog)
            case Effect():
                return EffectTask(role, partition, self._settings, codec, self._outsides[role.outside])
            case Projection():
                store = self._stores[role.model.store]
                source = self._catalog.topic(topic)
                return StoreTask(role, source, partition, store, codec, self._append)
            case Relay():
                return RelayTask(role, self._catalog.topic(topic), partition, self._settings, codec)
            case Saga():
                return SagaTask(role, partition, self._settings, codec, self._append)
            case Archiver():
                assert self._archive
                return ArchiveTask(self._archive, self._catalog.topic(topic), partition)

    async def _append(self, topic: str, partition: int, rows: Sequence[OutRow]) -> None:
        """Append outside of any transaction: dead letters of projections, and ticks."""
        assert self._producer
        sent = [
            await self._producer.send(topic, value=value, key=key, headers=headers, partition=partition)
            for key, value, headers in rows
        ]
        await asyncio.gather(*sent)

    async def _watch(self) -> int:
        while not self._stop.is_set():
            for app in self._apps:
                if app.crashed:
                    log.error("a role's app broke; the worker ends to be started again", role=app.conf.id,
                              error=repr(app.crash_reason))  # fmt: skip
                    return 1
                for runner in app.runners.values():
                    runner.measure_lag()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), WATCH_S)
        return 0

    async def _shut_down(self) -> None:
        log.info("stopping")
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asyncio.gather(*(app.drain() for app in self._apps)), DRAIN_S)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asyncio.gather(*(app.stop() for app in self._apps)), DRAIN_S)
        for outside in self._outsides.values():
            await outside.close()
        if self._archive:
            await asyncio.to_thread(self._archive.close)
        if self._references:
            self._references.stop()
        if self._producer:
            await self._producer.stop()
        for store in self._stores.values():
            store.close()
        if self._registry:
            self._registry.close()
        if self._tracing:
            await asyncio.to_thread(self._tracing.close)
        log.info("stopped")

    @property
    def ready(self) -> bool:
        """Every role has its partitions, and each of them is open and recovered."""
        return len(self._apps) == len(self._roles) and all(app.ready for app in self._apps)

    async def _serve(self) -> web.AppRunner:
        server = web.Application()
        server.add_routes([web.get("/ready", self._get_ready), web.get("/metrics", self._get_metrics)])
        runner = web.AppRunner(server, access_log=None)
        await runner.setup()
        site = web.TCPSite(runner, self._settings.worker_host, self._settings.worker_port)
        try:
            await site.start()
        except OSError as error:
            raise OnefactError(
                f"port {self._settings.worker_port} for /ready and /metrics cannot be opened: {error.strerror}; "
                "set ONEFACT_WORKER_PORT to a free one"
            ) from None
        log.info("serving", addresses=[str(a) for a in runner.addresses])
        return runner

    async def _get_ready(self, _: web.Request) -> web.Response:
        roles = {app.conf.id: self._describe(app) for app in self._apps}
        return web.json_response({"ready": self.ready, "roles": roles}, status=200 if self.ready else 503)

    @staticmethod
    def _describe(app: RoleApp) -> Mapping[str, object]:
        partitions = {f"{tp.topic}:{tp.partition}": {"ready": r.ready, "next": r.next} for tp, r in app.runners.items()}
        return {"ready": app.ready, "partitions": partitions}

    async def _get_metrics(self, _: web.Request) -> web.Response:
        metrics.READY.set(self.ready)
        return web.Response(body=generate_latest(metrics.REGISTRY), headers={"Content-Type": CONTENT_TYPE_LATEST})
