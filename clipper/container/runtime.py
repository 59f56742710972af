"""The model container: the model in the main thread, all I/O in one background thread.

Frameworks that need the main thread (signals, Spark, some CUDA start-ups) get it for `load` and for
every batch. The I/O thread runs an asyncio loop with gRPC: it decodes the next batch and sends the
last reply while the model computes, and hears SIGTERM even when the main thread is deep in C code.
"""

from __future__ import annotations

import asyncio
import ctypes
import dataclasses
import logging
import os
import queue
import random
import signal
import socket
import sys
import threading
import time
import uuid
from collections.abc import Callable
from typing import cast

from clipper.container.dialer import Dialer
from clipper.container.metrics import ContainerMetrics
from clipper.container.model import Model
from clipper.container.pipe import ReplicaPipe
from clipper.container.placement import IoPlacement
from clipper.container.readiness import ReadinessFile
from clipper.container.settings import ContainerSettings
from clipper.container.work import Clock, FaultLog, Outcome, Work, compute
from clipper.rpc.channel import PROTOCOL_VERSION
from clipper.rpc.codec import input_type_to_wire
from clipper.rpc.pb import model_container_pb2 as pb

_log = logging.getLogger(__name__)

# CPython's 5 ms would delay every reply by as much while a model computes in pure Python.
_SWITCH_INTERVAL_S = 0.00005
# `os.sched_yield` keeps the interpreter's lock.
_give_way = ctypes.CDLL(None).sched_yield


@dataclasses.dataclass(frozen=True, slots=True)
class RuntimeParts:
    """What the runtime takes from outside itself, so that tests can choose it."""

    settings: ContainerSettings
    metrics: ContainerMetrics
    runtime: str
    ready_file: ReadinessFile
    clock: Clock = time.monotonic
    random: random.Random = dataclasses.field(default_factory=random.Random)
    new_event_loop: Callable[[], asyncio.AbstractEventLoop] = asyncio.new_event_loop


class ContainerRuntime:
    """Serves one loaded model until SIGTERM or SIGINT. One per process."""

    def __init__(self, model: Model, parts: RuntimeParts) -> None:
        self._model = model
        self._parts = parts
        self._todo: queue.SimpleQueue[Work | None] = queue.SimpleQueue()
        self._loop = parts.new_event_loop()
        self._pipe: ReplicaPipe
        self._failed = False

    def run(self) -> int:
        """Serve; returns the exit status. To be called in the main thread, at most once."""
        sys.setswitchinterval(_SWITCH_INTERVAL_S)
        signals, wakeup = socket.socketpair()
        _route_signals(wakeup)
        io = threading.Thread(target=self._io_thread, args=(signals,), name="io", daemon=True)
        io.start()
        placement = IoPlacement(cast(int, io.native_id), os.cpu_count() or 1)  # it has begun
        self._predict_until_drained(placement)
        io.join()
        placement.close()
        signal.set_wakeup_fd(-1)
        signals.close()
        wakeup.close()
        return 1 if self._failed else 0

    def _predict_until_drained(self, placement: IoPlacement) -> None:
        clock, faults = self._parts.clock, FaultLog(self._parts.clock)
        free_at = clock()
        while (work := self._todo.get()) is not None:
            if not work.cancelled:
                outcome = compute(self._model, work, clock, faults, free_at)
                free_at = clock()
                placement.follow(free_at)
                self._loop.call_soon_threadsafe(self._finished, work, outcome)
                # Where all processors are busy the I/O thread wakes on this one, and the next batch
                # would keep it for milliseconds from sending this one's reply.
                _give_way()

    def _finished(self, work: Work, outcome: Outcome) -> None:
        self._pipe.finished(work, outcome)

    def _io_thread(self, signals: socket.socket) -> None:
        try:
            with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
                runner.run(self._serve(signals))
        except BaseException:
            self._failed = True
            _log.exception("The container's I/O thread failed")
        finally:
            self._todo.put(None)

    async def _serve(self, signals: socket.socket) -> None:
        parts, settings = self._parts, self._parts.settings
        stop = asyncio.Event()
        signals.setblocking(False)
        self._loop.add_reader(signals, self._on_signal, signals, stop)
        dialer = Dialer(
            settings.entry_address,
            self._register(),
            live=lambda: list(self._pipe.streams.values()),
            clock=parts.clock,
            random=parts.random.random,
        )

        def streams_changed() -> None:
            parts.ready_file.show(bool(self._pipe.streams) and not stop.is_set())
            dialer.changed()

        self._pipe = ReplicaPipe(
            self._todo, parts.metrics, parts.clock, dialer.workers, streams_changed
        )
        dialer.start(self._pipe)
        await stop.wait()
        streams_changed()
        dialer.stop_dialling()
        await self._pipe.drain()
        await dialer.close()
        self._loop.remove_reader(signals)

    def _register(self) -> pb.Register:
        settings = self._parts.settings
        return pb.Register(
            protocol_version=PROTOCOL_VERSION,
            token=settings.token,
            model_name=settings.model_name,
            model_version=settings.model_version,
            input_type=input_type_to_wire(settings.input_type),
            instance_id=str(uuid.uuid4()),
            runtime=self._parts.runtime,
            metrics_port=self._parts.metrics.serve(settings.metrics_host, settings.metrics_port),
        )

    def _on_signal(self, signals: socket.socket, stop: asyncio.Event) -> None:
        received = set(signals.recv(64))
        if stop.is_set() or not received & {signal.SIGTERM, signal.SIGINT}:
            return
        _log.info("Draining: answering what is outstanding")
        # A thread of its own, since user threads can hold up the exit after the loop has ended.
        limit = threading.Timer(self._parts.settings.drain_timeout_s, _give_up)
        limit.daemon = True
        limit.start()
        # At once: outcomes may be waiting in this very pass of the loop, before `drain` can run.
        self._pipe.grant_no_more()
        stop.set()


def _route_signals(wakeup: socket.socket) -> None:
    """Have C write every signal's number to ``wakeup`` at once, and Python do nothing more."""
    wakeup.setblocking(False)
    signal.set_wakeup_fd(wakeup.fileno(), warn_on_full_buffer=False)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _ignore)
    # Worker processes that user code forks must not report their own signals as the container's.
    os.register_at_fork(after_in_child=_restore_signals)


def _ignore(number: int, frame: object) -> None:
    """The wakeup socket has told the I/O thread."""


def _restore_signals() -> None:
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)


def _give_up() -> None:
    """End by force: the model's thread is stuck and cannot be interrupted."""
    _log.error("The model was still busy when the drain timeout passed")
    logging.shutdown()
    os._exit(1)
