"""One query frontend worker: builds its components, serves, drains. The composition root of the
predict path; `daemon` only parses the command line."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import signal
import socket
import time
from collections.abc import Iterator
from typing import cast

import uvicorn

from clipper import __version__
from clipper.batching.lag import LagEstimate
from clipper.batching.ports import DispatchSettings
from clipper.batching.task import PredictTask
from clipper.cache.prediction_cache import PredictionCache
from clipper.clock import LoopClock
from clipper.errors import StoreUnavailable
from clipper.frontend.app import create_app
from clipper.frontend.applications import ConfigFollower
from clipper.frontend.garbage import collect_when_idle, spare_queries_full_collections
from clipper.frontend.loop_lag import LoopLagMonitor
from clipper.frontend.metrics_hub import MetricsHubClient
from clipper.frontend.observation import WorkerObserver
from clipper.frontend.predict import PredictApp
from clipper.frontend.predict_protocol import PredictDoor
from clipper.frontend.predictions import Predictions
from clipper.frontend.registry import WorkerRegistry
from clipper.frontend.request_head import HeadCache
from clipper.frontend.starting import StartingApp, first_epoch
from clipper.frontend.updates import Updates
from clipper.http_protocol import bounded_protocol
from clipper.inputs import pack_input
from clipper.jsonfaults import parse_json
from clipper.metrics import FrontendMetrics, Snapshot
from clipper.metrics.snapshot import empty_snapshot
from clipper.query.applications import Applications
from clipper.query.choice_log import ChoiceLog
from clipper.query.deadlines import DeadlineLines
from clipper.query.executor import TaskExecutor
from clipper.query.feedback import FeedbackService
from clipper.query.feedback_writer import FeedbackWriter
from clipper.query.fleet import Fleet
from clipper.query.ids import QueryIds
from clipper.query.processor import QueryProcessor
from clipper.query.selection_states import SelectionStates
from clipper.query.selector import Selector
from clipper.replicas.service import RpcServer
from clipper.replicas.session import RpcSettings
from clipper.rpc.channel import host_port
from clipper.settings import HttpProtocol, HttpSettings, QueryFrontendSettings
from clipper.store.base import ConfigStore, ModelRecord
from clipper.store.selection import SelectionStore

log = logging.getLogger(__name__)

_RETIRE_S = 2.0
"""How long a stopping worker lets clients leave of themselves. One that is told so in an answer
loses nothing; one whose idle connection is closed may be sending its next query that moment."""
_RETIRE_CHECK_S = 0.02
_ACCEPTED_A_TURN = 16
"""Connections accepted in one turn of the event loop: uvloop accepts one for each listening socket.
Under load a turn takes milliseconds, and the last of 128 new clients waited a third of a second."""
_RETURN_S = 3.0
"""A worker that follows a dead one waits so long for its replicas before it takes queries."""


class Worker:
    """All parts of one worker, joined."""

    def __init__(
        self,
        settings: QueryFrontendSettings,
        store: ConfigStore,
        selection_store: SelectionStore,
        epoch: int,
        metrics: FrontendMetrics,
    ) -> None:
        clock = LoopClock(asyncio.get_running_loop())
        self.settings = settings
        self.store = store
        self.applications = Applications()
        self.observer = WorkerObserver(metrics, self.applications)
        self.metrics = metrics
        self.cache: PredictionCache[PredictTask] = PredictionCache(settings.query.cache_size_bytes)
        lag = LagEstimate()
        self.loop_lag = LoopLagMonitor(clock, lag, metrics.loop_lag.observe)
        self.fleet = Fleet(
            clock,
            DispatchSettings(max_batch_bytes=settings.query.max_batch_bytes),
            self.observer,
            _encode_probe,
            self._readiness_changed,
            lag,
        )
        self.executor = TaskExecutor(clock, self.cache, self.fleet, settings.query.max_queue_length)
        self.fleet.connect_sink(self.executor)
        ids = QueryIds(epoch)
        rng = random.Random()
        deadlines = DeadlineLines(clock)
        self.choices = ChoiceLog(clock, selection_store)
        states = SelectionStates(clock, selection_store, self.applications.with_policy)
        selector = Selector(
            clock,
            self.executor,
            deadlines,
            states,
            self.choices,
            self.observer,
            ids,
            rng,
            time.time,
        )
        self.processor = QueryProcessor(
            clock,
            self.applications,
            self.fleet,
            self.executor,
            self.observer,
            ids,
            selector,
            deadlines,
        )
        self.feedback = FeedbackWriter(selection_store)
        self.updates = Updates(
            FeedbackService(
                clock,
                self.executor,
                deadlines,
                states,
                self.processor.arms,
                self.choices,
                self.feedback,
                self.observer,
                rng,
                time.time,
                lambda: f"id {ids.next()}",
            )
        )
        worker = settings.worker
        address = host_port(worker.advertise_host, worker.rpc_port)
        self.registry = WorkerRegistry(worker.worker_id, address, self.fleet, store)
        self.follower = ConfigFollower(
            store,
            self.processor,
            self.fleet,
            self.cache,
            self.registry,
            worker,
            self.observer,
            states,
        )
        self.rpc = RpcServer(
            self.registry,
            RpcSettings(worker.rpc_host, worker.rpc_port, worker.token, settings.max_message_bytes),
            clock,
        )
        self.predictions = Predictions(
            self.processor, clock, settings.http.max_batch_inputs, metrics.http_response
        )
        self.stopping = False
        self._clock = clock

    def snapshot_metrics(self) -> Iterator[Snapshot]:
        """Yield this worker's metrics in parts; those before the first family read the gauges."""
        for _ in self.observer.read_gauges(self.cache, self.fleet):
            yield empty_snapshot()
        dropped = self.metrics.choices_dropped
        dropped.inc(self.choices.dropped - dropped.value)
        yield from self.metrics.snapshot_parts()

    def http_app(self, hub: MetricsHubClient) -> PredictApp:
        """Return the ASGI application."""
        return PredictApp(
            self.predictions,
            self.updates,
            self._clock,
            self.settings.http,
            create_app(hub.merged_snapshot, lambda: self.follower.ready and not self.stopping),
        )

    async def leave(self) -> None:
        """Send the containers elsewhere and stop listening for them."""
        for replica in self.fleet.replicas():
            replica.end("the frontend worker is stopping", reconnect=True)
        await self.rpc.stop(1.0)

    def _readiness_changed(self) -> None:
        self.follower.readiness_changed()


class _Server(uvicorn.Server):
    """uvicorn without its signal handling: the worker drains more than HTTP."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _encode_probe(record: ModelRecord) -> bytes:
    return pack_input(parse_json((record.probe_input or "null").encode()), record.input_type)


def listening_socket(host: str, port: int) -> socket.socket:
    """Return a socket that shares the port with this frontend's other workers.

    Raises:
        OSError: the port belongs to somebody else.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    sock.bind((host, port))
    sock.listen(2048)
    sock.set_inheritable(False)
    return sock


async def run_worker(
    settings: QueryFrontendSettings,
    store: ConfigStore,
    selection_store: SelectionStore,
    hub_socket: str | None,
    listen_fd: int | None,
    restarted: bool = False,
) -> None:
    """Serve until SIGTERM or SIGINT, then drain. While the store is away, answer health checks.

    Args:
        settings: of this worker.
        store: where the configuration is; stays open.
        selection_store: where selection states and feedback are; stays open.
        hub_socket: of the supervisor's metrics hub; None: this worker shows its own metrics.
        listen_fd: the listening HTTP socket to use; None: bind the shared port.
        restarted: it follows a worker that died; others on the shared port may be serving.

    Raises:
        ExceptionGroup: the configuration can be followed no more, for a reason that is a fault of
            ours; a fresh process may do better. What was in flight is answered.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    stopped = asyncio.create_task(stop.wait())
    http = _HttpServer(settings, listen_fd, alone=listen_fd is not None or not restarted)
    starting = asyncio.create_task(first_epoch(store, http.waiting))
    await asyncio.wait({starting, stopped}, return_when=asyncio.FIRST_COMPLETED)
    if stop.is_set():
        starting.cancel()
        await http.stop()
        return
    metrics = FrontendMetrics(LoopClock(loop).now, __version__)
    worker = Worker(settings, store, selection_store, starting.result(), metrics)
    hub = MetricsHubClient(hub_socket, worker.snapshot_metrics)
    await hub.start()
    await worker.rpc.start()
    following = asyncio.create_task(worker.follower.run())
    await worker.follower.replicas_returned(_RETURN_S)
    spare_queries_full_collections()
    collecting = asyncio.create_task(collect_when_idle(lambda: worker.processor.ids.issued))
    worker.loop_lag.start()
    http.started(worker, hub)
    serving = http.start()
    await asyncio.wait({serving, following, stopped}, return_when=asyncio.FIRST_COMPLETED)
    if following.done() and not following.cancelled():
        log.error("the configuration is followed no more", exc_info=following.exception())
    log.info("stopping: draining what is in flight")
    worker.stopping = True
    await http.retire()
    await http.stop()
    for task in (stopped, collecting):
        task.cancel()
    worker.loop_lag.stop()
    await worker.leave()
    await worker.choices.flush()
    following.cancel()
    with contextlib.suppress(StoreUnavailable):
        await store.delete_lease(settings.worker.worker_id)
    await hub.stop()
    if following.done() and not following.cancelled():
        following.result()


class _HttpServer:
    """The worker's HTTP server, which begins to listen once and late.

    Connections wait for a worker that starts in the usual moment. One that has to wait for the
    store says so instead, unless others are there to answer in its place.
    """

    def __init__(self, settings: QueryFrontendSettings, listen_fd: int | None, alone: bool) -> None:
        self.app = StartingApp()
        self._http = settings.http
        self._listen_fd = listen_fd
        self._alone = alone
        self._door = _predict_door(settings.http)
        self._server = _Server(_uvicorn_config(self.app, settings, self._door))
        self._serving: asyncio.Task[None] | None = None

    def waiting(self, reason: str) -> None:
        """The store is away."""
        self.app.reason = reason
        if self._alone:
            self.start()

    def started(self, worker: Worker, hub: MetricsHubClient) -> None:
        """From now on ``worker`` answers."""
        self.app.started(worker.http_app(hub))
        self._door.predictions = worker.predictions

    def start(self) -> asyncio.Task[None]:
        """Listen from now on; return the task that ends with the server."""
        if self._serving is None:
            listener = _listener(self._http, self._listen_fd)
            copies = (listener.dup() for _ in range(_ACCEPTED_A_TURN - 1))
            self._serving = asyncio.create_task(self._server.serve([listener, *copies]))
        return self._serving

    async def retire(self) -> None:
        """Serve on while there are connections, two seconds at most; every answer ends its own."""
        if self._serving is None:
            return
        self._door.retiring = True
        # uvicorn joins its own headers anew every second.
        config, state = self._server.config, self._server.server_state
        config.encoded_headers = [*config.encoded_headers, (b"connection", b"close")]
        state.default_headers = [*state.default_headers, (b"connection", b"close")]
        loop = asyncio.get_running_loop()
        give_up_at = loop.time() + _RETIRE_S
        # uvicorn tells nobody when a connection ends.
        while state.connections and loop.time() < give_up_at:  # noqa: ASYNC110
            await asyncio.sleep(_RETIRE_CHECK_S)

    async def stop(self) -> None:
        """Answer what is in flight and close; nothing happens when it never listened."""
        self._server.should_exit = True
        if self._serving is not None:
            await self._serving


def _predict_door(http: HttpSettings) -> PredictDoor:
    heads = HeadCache(http.max_body_bytes)
    return PredictDoor(
        LoopClock(asyncio.get_running_loop()),
        heads,
        keep_alive_s=http.timeout_request_s,
        send_timeout_s=http.timeout_content_s,
        fallback=bounded_protocol(http.timeout_content_s, heads.read),
    )


def _uvicorn_config(
    app: StartingApp, settings: QueryFrontendSettings, door: PredictDoor
) -> uvicorn.Config:
    http = settings.http
    fast = http.protocol is HttpProtocol.CLIPPER
    return uvicorn.Config(
        app,
        interface="asgi3",
        http=cast("type[asyncio.Protocol]", door.protocol if fast else door.fallback),
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        proxy_headers=False,
        timeout_keep_alive=http.timeout_request_s,
        timeout_graceful_shutdown=int(settings.worker.drain_s),
        backlog=2048,
    )


def _listener(http: HttpSettings, listen_fd: int | None) -> socket.socket:
    if listen_fd is None:
        return listening_socket(http.host, http.port)
    return socket.socket(fileno=listen_fd)
