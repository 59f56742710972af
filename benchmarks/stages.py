"""Where a query's processor time goes: a table of microseconds by stage.

``python -m benchmarks.stages``

The real components, wired as in a frontend worker, in one process and without sockets: each stage
runs by itself and is timed; medians leave out what else the machine did. What the kernel does for
a connection is not in it: the ladder's processor time per query is the whole. Stages of a batch are
divided by its queries.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import httptools
import uvicorn
import uvloop
from rich.console import Console
from rich.table import Table
from uvicorn.server import ServerState

from benchmarks import models
from benchmarks.publishing import Result, panels, publish
from benchmarks.recorder import RESULTS
from benchmarks.reference_servers import BODY, HEADERS
from benchmarks.verdict import new_console
from benchmarks.wire import RequestTemplate
from clipper.cache.prediction_cache import PredictionCache
from clipper.clock import LoopClock
from clipper.container.replies import build_reply
from clipper.container.work import Outcome
from clipper.datatypes import InputType, OnDefault, VersionedModelId
from clipper.frontend import decoding
from clipper.frontend.predict_protocol import PredictDoor, PredictProtocol
from clipper.frontend.request_head import HeadCache
from clipper.frontend.responses import Response, predict_response
from clipper.frontend.worker import Worker
from clipper.http_protocol import ReadHead, bounded_protocol
from clipper.metrics import FrontendMetrics
from clipper.outputs import Output
from clipper.query.query import PredictRequest
from clipper.replicas.replica import Replica
from clipper.rpc.codec import split_inputs
from clipper.rpc.pb import model_container_pb2 as pb
from clipper.settings import QueryFrontendSettings
from clipper.store.base import ApplicationRecord, ConfigSnapshot, ConfigStore, ModelRecord
from clipper.store.selection import SelectionStore

BATCHES = (1, 32)
SECONDS_PER_COLUMN = 3.0
_SLO_MICROS = 60_000_000
_OUTPUT = b"1.0"

Times = dict[str, list[float]]
"""Microseconds per query of each repetition, by stage."""


class _Stopwatch:
    """Adds up the time since the last mark under a stage's name."""

    def __init__(self, times: Times, batch: int) -> None:
        self._times = times
        self._batch = batch
        self._since_ns = time.perf_counter_ns()

    def restart(self) -> None:
        self._since_ns = time.perf_counter_ns()

    def mark(self, stage: str) -> None:
        now_ns = time.perf_counter_ns()
        micros = (now_ns - self._since_ns) / 1e3 / self._batch
        self._times.setdefault(stage, []).append(micros)
        self._since_ns = time.perf_counter_ns()


class _Frontend:
    """A frontend worker's parts with one application, one model and one replica."""

    def __init__(self, batch: int) -> None:
        model = VersionedModelId("m", "1")
        metrics = FrontendMetrics(time.monotonic, "benchmark")
        self.worker = Worker(
            QueryFrontendSettings(),
            cast(ConfigStore, None),
            cast(SelectionStore, None),
            1,
            metrics,
        )
        record = ModelRecord("m", "1", InputType.DOUBLES, batch_size=batch, generation=1)
        snapshot = ConfigSnapshot(
            revision=1,
            applications={
                "a": ApplicationRecord("a", InputType.DOUBLES, "-1", _SLO_MICROS, generation=2)
            },
            models={model: record},
            links={"a": ("m",)},
            current_versions={"m": "1"},
        )
        applications = self.worker.applications
        applications.apply(snapshot)
        self.worker.fleet.apply(snapshot, applications.tightest_slo_s)
        self.worker.processor.apply(snapshot)
        self.sent: list[pb.FrontendMessage] = []
        self.replica = Replica(
            model, 0, "instance", InputType.DOUBLES, self.worker.registry, self.sent.append
        )
        self.worker.registry.replica_joined(self.replica)
        grant = pb.CreditGrant(credits=2, hold=True)
        self.replica.receive(pb.ContainerMessage(credit_grant=grant))
        application = applications.get("a")
        assert application is not None
        self.application = application

    def submit(self, input_bytes: bytes) -> PredictRequest | tuple[int, Output]:
        processor = self.worker.processor
        return processor.submit_one(self.application, input_bytes, time.monotonic())

    def submit_miss(self, input_bytes: bytes) -> PredictRequest:
        request = self.submit(input_bytes)
        assert isinstance(request, PredictRequest), "its output was in the cache"
        return request


def _answer(frontend: _Frontend, message: pb.FrontendMessage, watch: _Stopwatch) -> None:
    """Take a batch through the wire and a container that computes nothing, and back."""
    data = message.SerializeToString()
    watch.mark("RPC encode (frontend)")
    batch = pb.FrontendMessage.FromString(data).batch
    split_inputs(InputType.DOUBLES, batch.data, list(batch.sizes))
    watch.mark("RPC decode (container)")
    outcome = Outcome([_OUTPUT] * len(batch.sizes), queue_s=1e-6, compute_s=1e-6)
    reply = build_reply(batch.batch_id, outcome, 1 << 20)
    reply.batch_reply.credits = 1
    answer = reply.SerializeToString()
    watch.mark("RPC encode (container)")
    decoded = pb.ContainerMessage.FromString(answer)
    watch.mark("RPC decode (frontend)")
    frontend.replica.receive(decoded)
    watch.mark("outputs to queries, cache fill, metrics")


async def predict_stages(batch: int, size: int, seconds: float) -> Times:
    """Time a miss from its body to its response, ``batch`` queries at a time; then hits."""
    times: Times = {}
    frontend = _Frontend(batch)
    template = RequestTemplate("h", "/a/predict", models.values(size))
    end_s = time.monotonic() + seconds
    while time.monotonic() < end_s:
        bodies = [template.distinct().partition(b"\r\n\r\n")[2] for _ in range(batch)]
        watch = _Stopwatch(times, batch)
        decoded = [decoding.decode_predict(InputType.DOUBLES, body) for body in bodies]
        watch.mark("JSON decode and pack")
        inputs = [one for (one,), _, _ in filter(None, decoded)]
        watch.restart()
        requests = [frontend.submit_miss(one) for one in inputs]
        watch.mark("query, selection, cache miss, task, queue")
        await asyncio.sleep(0)  # the lane wakes its dispatcher in the loop's next iteration
        message = frontend.sent.pop()
        watch.mark("dispatch: batch from the queue")
        _answer(frontend, message, watch)
        bodies = [predict_response(r.queries, OnDefault.OUTPUT).body for r in requests]
        watch.mark("render")
        assert all(_OUTPUT in body for body in bodies), bodies
        watch.restart()
        hits = [frontend.submit(one) for one in inputs]
        watch.mark("query, cache hit, metrics")
        assert all(isinstance(hit, tuple) for hit in hits)
        for request in requests:
            request.queries = ()
    return times


class _Sink:
    """A transport that goes nowhere."""

    def __getattr__(self, name: str) -> Callable[..., Any]:
        return lambda *_, **__: None

    def is_closing(self) -> bool:
        return False

    def get_extra_info(self, name: str) -> Any:
        return ("127.0.0.1", 1) if name in ("peername", "sockname") else None


class _Parsed:
    """What a server takes from httptools, and no more."""

    def __init__(self) -> None:
        self.headers: list[tuple[bytes, bytes]] = []

    def on_url(self, url: bytes) -> None:
        self.url = url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name, value))

    def on_body(self, body: bytes) -> None:
        self.body = body


async def _constant_app(scope: Any, receive: Any, send: Any) -> None:
    await receive()
    await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
    await send({"type": "http.response.body", "body": BODY})


class _ConstantPredictions:
    """Stands in the protocol class for all that comes behind it."""

    def __init__(self) -> None:
        self.applications = {"a": object()}
        self._response = Response(200, BODY)

    def begin(self, application: object, body: bytes) -> Response:
        return self._response

    def count_response(self, status: int) -> None:
        """Nobody asks."""


def _predict_protocols(batch: int) -> list[PredictProtocol]:
    def no_fallback(**_: Any) -> asyncio.Protocol:
        raise AssertionError("a plain predict request went to uvicorn")

    clock = LoopClock(asyncio.get_running_loop())
    door = PredictDoor(clock, HeadCache(1 << 20), 300.0, 300.0, no_fallback)
    door.predictions = cast("Any", _ConstantPredictions())
    protocols = [door.protocol(server_state=ServerState()) for _ in range(batch)]
    for protocol in protocols:
        protocol.connection_made(cast("Any", _Sink()))
    return protocols


def _asgi_protocols(batch: int, read_head: ReadHead | None) -> list[Any]:
    config = uvicorn.Config(
        _constant_app,
        interface="asgi3",
        http=bounded_protocol(300.0, read_head),
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        proxy_headers=False,
    )
    config.load()
    protocols: list[Any] = [
        config.http_protocol_class(  # type: ignore[call-arg]
            config=config, server_state=ServerState(), app_state={}
        )
        for _ in range(batch)
    ]
    for protocol in protocols:
        protocol.connection_made(_Sink())
    return protocols


async def http_stages(batch: int, size: int, seconds: float) -> Times:
    """Time HTTP around an empty application, in all three ways, and uvicorn's parser by itself.

    Args:
        batch: connections on which a request comes in the same iteration of the event loop.
    """
    times: Times = {}
    parsing = _asgi_protocols(batch, None)
    knowing = _asgi_protocols(batch, HeadCache(1 << 20).read)
    request = RequestTemplate("h", "/a/predict", models.values(size)).same
    own = _predict_protocols(batch)
    end_s = time.monotonic() + seconds
    while time.monotonic() < end_s:
        watch = _Stopwatch(times, batch)
        for one in own:
            one.data_received(request)
        watch.mark("HTTP: protocol class")
        for one in knowing:
            one.data_received(request)
        watch.mark("HTTP: ASGI, whole request with a known head")
        for one in parsing:
            one.data_received(request)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        watch.mark("HTTP: ASGI, uvicorn's parser and cycle")
        parsers = [httptools.HttpRequestParser(_Parsed()) for _ in range(batch)]
        watch.restart()
        for parser in parsers:
            parser.feed_data(request)
        watch.mark("of which HTTP parse (httptools)")
    return times


def cache_stages(size: int, seconds: float) -> Times:
    """Time the cache by itself: a miss with what follows it, and a hit."""
    times: Times = {}
    cache: PredictionCache[object] = PredictionCache(32 << 20)
    shelf = cache.shelf(1)
    leader, output, number = object(), Output(_OUTPUT, _OUTPUT), 0
    end_s = time.monotonic() + seconds
    while time.monotonic() < end_s:
        inputs = [(number + n).to_bytes(8, "little") * size for n in range(32)]
        number += 32
        watch = _Stopwatch(times, len(inputs))
        for one in inputs:
            shelf.get(one)
            shelf.leader(one)
            shelf.begin(one, leader)
            shelf.complete(one, leader, output)
        watch.mark("of which cache: miss, begin, fill, evict")
        for one in inputs:
            shelf.get(one)
        watch.mark("of which cache: hit")
    return times


def measure(size: int, seconds: float) -> Result:
    """Measure all stages with inputs of ``size`` numbers."""
    columns = {
        batch: {
            **uvloop.run(http_stages(batch, size, seconds / 2)),
            **uvloop.run(predict_stages(batch, size, seconds)),
        }
        for batch in BATCHES
    }
    single = cache_stages(size, seconds / 2)
    rows = [
        {"stage": stage, "batch": batch, "micros_per_query": statistics.median(times)}
        for batch, stages in [*columns.items(), (None, single)]
        for stage, times in stages.items()
    ]
    figure, (axis,) = panels(1)
    for batch in BATCHES:
        found = [row for row in rows if row["batch"] == batch]
        axis.plot(
            [row["micros_per_query"] for row in found],
            [row["stage"] for row in found],
            "o",
            label=f"batch of {batch}",
        )
    axis.set(xlabel="µs per query")
    axis.legend()
    note = f"inputs of {size} doubles; medians; the kernel's work for connections is not in it"
    return Result(f"stages-{size}", f"Stages, {size} doubles", rows, [], figure, [note])


def print_table(console: Console, result: Result) -> None:
    """Print the stages beside each other."""
    table = Table(title=f"µs of processor time per query: {result.title}")
    table.add_column("stage", no_wrap=True)
    for batch in BATCHES:
        table.add_column(f"batch of {batch}", justify="right")
    by_stage: dict[str, dict[int | None, float]] = {}
    for row in result.rows:
        by_stage.setdefault(row["stage"], {})[row["batch"]] = row["micros_per_query"]
    for stage, found in by_stage.items():
        cells = [found.get(batch, found.get(None)) for batch in BATCHES]
        table.add_row(stage, *(f"{cell:.2f}" for cell in cells if cell is not None))
    console.print(table)


def main() -> None:
    """Measure, print and publish."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.stages", description=__doc__)
    parser.add_argument("--sizes", default="8,784", help="numbers of an input")
    parser.add_argument("--seconds", type=float, default=SECONDS_PER_COLUMN)
    parser.add_argument("--output", type=Path, default=RESULTS)
    options = parser.parse_args()
    console = new_console()
    for size in options.sizes.split(","):
        result = measure(int(size), options.seconds)
        print_table(console, result)
        publish(console, options.output, result)


if __name__ == "__main__":
    main()
