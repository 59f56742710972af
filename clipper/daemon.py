"""Entry points of the server processes: ``python -m clipper.daemon COMMAND --help``.

``query-frontend`` supervises workers, each a ``query-frontend-worker``; ``management-frontend``
and ``store`` are single processes. The command line is the only source of settings, but for what
must not show in process lists: CLIPPER_TOKEN, CLIPPER_REDIS_PASSWORD, and CLIPPER_REDIS_URL where
it holds a password; and CLIPPER_ADVERTISE_HOST, which only the starter of a container knows.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import os
import pathlib
import signal
import sys
import urllib.parse
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from clipper.errors import ClipperException
from clipper.logs import setup_logging
from clipper.rpc.channel import host_port
from clipper.settings import (
    HttpProtocol,
    HttpSettings,
    QueryFrontendSettings,
    QuerySettings,
    WorkerSettings,
)

if TYPE_CHECKING:
    from clipper.management.autoscaling.loop import Autoscaler
    from clipper.store.base import ConfigStore

_EVERY_ADDRESS = ("", "*", "0.0.0.0", "::")


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the server command line."""
    parser = argparse.ArgumentParser(prog="python -m clipper.daemon", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    query = commands.add_parser("query-frontend", help="REST predictions; model containers dial in")
    _query_arguments(query)
    worker = commands.add_parser("query-frontend-worker", help="one worker of a query frontend")
    _query_arguments(worker)
    worker.add_argument("--index", type=int, required=True)
    worker.add_argument("--hub-socket", help="Unix socket of the supervisor's metrics hub")
    worker.add_argument("--listen-fd", type=int, help="listening HTTP socket to inherit")
    worker.add_argument("--restarted", action="store_true", help="it follows one that died")
    management = commands.add_parser("management-frontend", help="REST administration")
    _store_arguments(management)
    management.add_argument("--host", default="127.0.0.1")
    management.add_argument("--port", type=int, default=1338)
    _autoscaling_arguments(management)
    store = commands.add_parser("store", help="the embedded Redis-compatible server")
    store.add_argument("--data-dir", type=pathlib.Path, required=True)
    store.add_argument("--socket", type=pathlib.Path, help="Unix socket to listen on")
    store.add_argument("--host", help="address to listen on with TCP, beside --socket or alone")
    store.add_argument("--port", type=int, default=6379, help="TCP port; unused without --host")
    return parser


def _store_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--redis-url",
        help="redis://host:port/0 or unix:///path (default: CLIPPER_REDIS_URL); wins over these:",
    )
    parser.add_argument("--redis_ip", "--redis-ip", default="localhost")
    parser.add_argument("--redis_port", "--redis-port", type=int, default=6379)
    parser.add_argument("--cluster-name", default="default-cluster")


def _autoscaling_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--autoscale", choices=["kubernetes"],
        help="set the replicas of model versions whose Deployments are annotated for it "
        "(default: off)",
    )  # fmt: skip
    parser.add_argument(
        "--namespace", help="of the cluster, for --autoscale (default: that of this pod)"
    )
    parser.add_argument(
        "--query-port", type=int, default=HttpSettings().port,
        help="HTTP port of the query frontends, whose metrics --autoscale reads",
    )  # fmt: skip
    parser.add_argument(
        "--autoscale-cool-down", type=_not_negative, default=60,
        help="seconds of low load before --autoscale removes replicas",
    )  # fmt: skip


def _query_arguments(parser: argparse.ArgumentParser) -> None:
    http, query = HttpSettings(), QuerySettings()
    _store_arguments(parser)
    parser.add_argument("--host", default=http.host, help="address to listen on")
    parser.add_argument("--port", type=int, default=http.port)
    parser.add_argument(
        "--rpc_service_port", "--rpc-port", dest="rpc_port", type=int, default=7000,
        help="port for model containers; worker i listens on this + i",
    )  # fmt: skip
    parser.add_argument(
        "--advertise-host",
        help="host under which containers reach this frontend (default: CLIPPER_ADVERTISE_HOST, "
        "then --host)",
    )
    parser.add_argument("--frontend-id", default="qf", help="unique in the cluster")
    parser.add_argument("--workers", "--thread_pool_size", type=int, default=1)
    parser.add_argument(
        "--prediction_cache_size", "--prediction-cache-size", type=_not_negative,
        default=query.cache_size_bytes, help="bytes for each worker; 0 keeps nothing",
    )  # fmt: skip
    parser.add_argument(
        "--timeout_request", "--timeout-request", type=int, default=http.timeout_request_s,
        help="seconds an idle connection is kept",
    )  # fmt: skip
    parser.add_argument(
        "--timeout_content", "--timeout-content", type=int, default=http.timeout_content_s,
        help="seconds for a body to arrive",
    )  # fmt: skip
    parser.add_argument("--max-body-bytes", type=int, default=http.max_body_bytes)
    parser.add_argument("--max-batch-inputs", type=int, default=http.max_batch_inputs)
    parser.add_argument("--max-queue-length", type=int, default=query.max_queue_length)
    parser.add_argument(
        "--allow-volatile-feedback",
        action="store_true",
        help="acknowledge feedback that Redis has in memory only and may lose when it dies",
    )
    parser.add_argument(
        "--http-protocol", type=HttpProtocol, choices=list(HttpProtocol), default=http.protocol,
        help="what reads predict requests: a class made for them (the default), or uvicorn's",
    )  # fmt: skip


def _not_negative(text: str) -> int:
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError("must not be negative")
    return value


def redis_url(arguments: argparse.Namespace) -> str:
    """Return the store's address from the command line."""
    url = arguments.redis_url or os.environ.get("CLIPPER_REDIS_URL")
    if url:
        return str(url)
    password = os.environ.get("CLIPPER_REDIS_PASSWORD")
    user = f":{urllib.parse.quote(password, safe='')}@" if password else ""
    return f"redis://{user}{host_port(arguments.redis_ip, arguments.redis_port)}/0"


def advertised_host(arguments: argparse.Namespace) -> str:
    """Return the host under which containers reach this frontend.

    Raises:
        ClipperException: it listens on every address and was not told which of them to give.
    """
    host = arguments.advertise_host or os.environ.get("CLIPPER_ADVERTISE_HOST") or arguments.host
    if host in _EVERY_ADDRESS:
        raise ClipperException(
            f"Model containers cannot dial {host or 'an empty host'}: it stands for every address "
            "of this machine. Give the name or address under which they reach this query frontend "
            "with --advertise-host or CLIPPER_ADVERTISE_HOST, in Docker the container's name."
        )
    return str(host)


def query_settings(arguments: argparse.Namespace, index: int) -> QueryFrontendSettings:
    """Return the settings of worker ``index``."""
    return QueryFrontendSettings(
        redis_url=redis_url(arguments),
        cluster_name=arguments.cluster_name,
        http=HttpSettings(
            host=arguments.host,
            port=arguments.port,
            timeout_request_s=arguments.timeout_request,
            timeout_content_s=arguments.timeout_content,
            max_body_bytes=arguments.max_body_bytes,
            max_batch_inputs=arguments.max_batch_inputs,
            protocol=arguments.http_protocol,
        ),
        query=QuerySettings(
            cache_size_bytes=arguments.prediction_cache_size,
            max_queue_length=arguments.max_queue_length,
        ),
        worker=WorkerSettings(
            worker_id=f"{arguments.frontend_id}-{index}",
            advertise_host=advertised_host(arguments),
            rpc_host=arguments.host,
            rpc_port=arguments.rpc_port + index,
            token=os.environ.get("CLIPPER_TOKEN", ""),
        ),
    )


def _run_worker(arguments: argparse.Namespace) -> int:
    import uvloop

    from clipper.frontend.worker import run_worker
    from clipper.store.redis import RedisStore
    from clipper.store.redis_selection import RedisSelectionStore, SelectionStoreSettings

    async def run() -> None:
        settings = query_settings(arguments, arguments.index)
        store = RedisStore(settings.redis_url, settings.cluster_name)
        selection_store = RedisSelectionStore(
            settings.redis_url,
            settings.cluster_name,
            SelectionStoreSettings(allow_volatile_feedback=arguments.allow_volatile_feedback),
        )
        try:
            await run_worker(
                settings,
                store,
                selection_store,
                arguments.hub_socket,
                arguments.listen_fd,
                arguments.restarted,
            )
        finally:
            await selection_store.close()
            await store.close()

    uvloop.run(run())
    return 0


def _run_management(arguments: argparse.Namespace) -> int:
    import uvloop

    from clipper.frontend.port_claim import claim_lone_port
    from clipper.management.server import serve
    from clipper.store.redis import RedisStore
    from clipper.store.redis_selection import RedisSelectionStore

    autoscaler_on = _autoscaler(arguments)
    listener = claim_lone_port(arguments.host, arguments.port, "--port")

    async def run() -> None:
        store = RedisStore(redis_url(arguments), arguments.cluster_name)
        selection = RedisSelectionStore(redis_url(arguments), arguments.cluster_name)
        try:
            async with autoscaler_on(store) as autoscaler:
                await serve(store, selection, listener, autoscaler)
        finally:
            await selection.close()
            await store.close()

    uvloop.run(run())
    return 0


def _autoscaler(
    arguments: argparse.Namespace,
) -> Callable[[ConfigStore], contextlib.AbstractAsyncContextManager[Autoscaler | None]]:
    """Return what runs the autoscaler of the command line on a store; nothing, where it is off.

    Raises:
        ClipperException: it is on, and this process does not run in a cluster.
    """
    if arguments.autoscale is None:
        return lambda store: contextlib.nullcontext()
    # Its HTTP client is loaded only where it is needed.
    from clipper.management.autoscaling.kubernetes import in_cluster_address
    from clipper.management.autoscaling.settings import ScalingSettings
    from clipper.management.autoscaling.start import running_autoscaler

    address = in_cluster_address(os.environ, arguments.cluster_name, arguments.namespace)
    settings = ScalingSettings(cool_down_s=arguments.autoscale_cool_down)
    return lambda store: running_autoscaler(store, address, arguments.query_port, settings)


def _run_query_frontend(arguments: argparse.Namespace, words: Sequence[str]) -> int:
    from clipper.frontend.workers import WorkerPoolSettings, WorkerStart, supervise

    def command(start: WorkerStart) -> list[str]:
        worker = [sys.executable, "-m", "clipper.daemon", "query-frontend-worker", *words]
        worker += ["--index", str(start.index), "--hub-socket", start.hub_socket]
        if start.listen_fd is not None:
            worker += ["--listen-fd", str(start.listen_fd)]
        if start.restarted:
            worker.append("--restarted")
        return worker

    advertised_host(arguments)  # once, here, instead of in every worker's log again and again
    pool = WorkerPoolSettings(
        host=arguments.host,
        port=arguments.port,
        rpc_port=arguments.rpc_port,
        workers=arguments.workers,
    )
    return asyncio.run(supervise(pool, command))


def _run_store(arguments: argparse.Namespace) -> int:
    from clipper.store.embedded import PASSWORD_VARIABLE, StoreListener, exec_server

    listener = StoreListener(arguments.socket, arguments.host, arguments.port)
    exec_server(arguments.data_dir, listener, os.environ.get(PASSWORD_VARIABLE, ""))


def main(argv: Sequence[str] | None = None) -> int:
    """Run one server process until it is told to stop; return its exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    arguments = build_parser().parse_args(words)
    setup_logging(arguments.command)
    # Process 1 of a container has no default action for SIGTERM; servers take the signal over.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    # Each process loads only its own part: the supervisor and the store stay small.
    try:
        if arguments.command == "query-frontend":
            return _run_query_frontend(arguments, words[1:])
        if arguments.command == "query-frontend-worker":
            return _run_worker(arguments)
        if arguments.command == "management-frontend":
            return _run_management(arguments)
        return _run_store(arguments)
    except (ClipperException, OSError) as error:
        logging.getLogger(__name__).error("%s", error)
        return 1


if __name__ == "__main__":
    sys.exit(main())
