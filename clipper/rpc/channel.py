"""Options of the gRPC channels between frontend workers and model containers.

Liveness is HTTP/2 keepalive (design decision 4): gRPC's own threads answer it, so a model that
computes for minutes is alive and a stopped process is not. Both sides ping every second, also
without traffic; the server must tolerate that, or it ends the connection with "too_many_pings".
"""

from __future__ import annotations

PROTOCOL_VERSION = 1
"""Version of `protos/clipper/v1`, sent in `Register` and checked by the worker."""

CONNECT_METHOD = "/clipper.v1.ModelContainerService/Connect"
"""Full name of the only method of the contract."""

_KEEPALIVE_INTERVAL_MS = 1000
_KEEPALIVE_TIMEOUT_MS = 1500

ChannelOptions = list[tuple[str, int]]


def host_port(host: str, port: int) -> str:
    """Return an address as gRPC wants it: IPv6 hosts in brackets."""
    return f"[{host}]:{port}" if ":" in host and not host.startswith("[") else f"{host}:{port}"


def server_options(max_message_bytes: int) -> ChannelOptions:
    """Options of a frontend worker's gRPC server.

    Args:
        max_message_bytes: Larger messages of a container end its stream; the same number is told
            to it in `Registered.max_message_bytes`.
    """
    return [
        *_keepalive(),
        ("grpc.http2.min_ping_interval_without_data_ms", 100),
        ("grpc.http2.max_ping_strikes", 0),
        # A second cluster on a taken port must fail to bind, not share the port's connections.
        ("grpc.so_reuseport", 0),
        ("grpc.max_receive_message_length", max_message_bytes),
        ("grpc.max_send_message_length", -1),
    ]


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
        ("grpc.keepalive_time_ms", _KEEPALIVE_INTERVAL_MS),
        ("grpc.keepalive_timeout_ms", _KEEPALIVE_TIMEOUT_MS),
        # gRPC waits the longer of the two for an answer, and this one is a minute by default.
        ("grpc.http2.ping_timeout_ms", _KEEPALIVE_TIMEOUT_MS),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.max_pings_without_data", 0),
    ]
