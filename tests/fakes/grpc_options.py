"""Options for gRPC's own client where it plays a container: liveness as the contract wants it."""

from __future__ import annotations

from clipper.rpc.channel import KEEPALIVE_INTERVAL_S, KEEPALIVE_TIMEOUT_S

ChannelOptions = list[tuple[str, int]]


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
