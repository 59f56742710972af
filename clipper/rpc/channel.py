"""Options of the gRPC channels between frontend workers and model containers.

Liveness is HTTP/2 keepalive (design decision 4). In a container gRPC's own threads answer it, so a
model that computes for minutes is alive and a stopped process is not; a frontend answers from its
event loop, which nothing may hold up for long. Both sides ping every second, also
without traffic.
"""

from __future__ import annotations

PROTOCOL_VERSION = 1
"""Version of `protos/clipper/v1`, sent in `Register` and checked by the worker."""

CONNECT_METHOD = "/clipper.v1.ModelContainerService/Connect"
"""Full name of the only method of the contract."""

KEEPALIVE_INTERVAL_S = 1.0
"""A side that heard nothing for so long sends a ping."""
KEEPALIVE_TIMEOUT_S = 1.5
"""A ping that is not answered within this ends the connection."""

ChannelOptions = list[tuple[str, int]]


def host_port(host: str, port: int) -> str:
    """Return an address as gRPC wants it: IPv6 hosts in brackets."""
    return f"[{host}]:{port}" if ":" in host and not host.startswith("[") else f"{host}:{port}"


def client_options() -> ChannelOptions:
    """Options of a model container's channel to one frontend worker."""
    return [
        *_keepalive(),
        ("grpc.max_receive_message_length", -1),
        ("grpc.max_send_message_length", -1),
        # Every dial starts from nothing: a shared subchannel would bring gRPC's own back-off.
        ("grpc.use_local_subchannel_pool", 1),
        ("grpc.enable_retries", 0),
        # A container finds its frontend directly, also where http_proxy is set.
        ("grpc.enable_http_proxy", 0),
    ]


def _keepalive() -> ChannelOptions:
    return [
        ("grpc.keepalive_time_ms", round(1e3 * KEEPALIVE_INTERVAL_S)),
        ("grpc.keepalive_timeout_ms", round(1e3 * KEEPALIVE_TIMEOUT_S)),
        # gRPC waits the longer of the two for an answer, and this one is a minute by default.
        ("grpc.http2.ping_timeout_ms", round(1e3 * KEEPALIVE_TIMEOUT_S)),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.max_pings_without_data", 0),
    ]
