"""Stored records can be read by older and newer versions of Clipper."""

from __future__ import annotations

import json

import pytest

from clipper.datatypes import InputType, VersionedModelId
from clipper.errors import ClipperException, StoreUnavailable
from clipper.store.base import ApplicationRecord, ModelRecord, WorkerLease
from clipper.store.redis import RedisStore
from clipper.store.schema import Keys, decode_lease, decode_snapshot, encode

EMPTY: dict[str, dict[bytes, bytes]] = {
    name: {} for name in ("apps", "models", "links", "current", "serving")
}


def test_missing_fields_take_defaults_and_unknown_ones_are_ignored() -> None:
    app = {"name": "a", "input_type": "doubles", "default_output": "0", "latency_slo_micros": 1}
    model = {"name": "m", "version": "1", "input_type": "bytes", "from_the_future": [1]}
    snapshot = decode_snapshot(
        b"7",
        {
            **EMPTY,
            "apps": {b"a": json.dumps({**app, "x": {}}).encode()},
            "models": {b"m:1": json.dumps(model).encode()},
        },
    )
    assert snapshot.revision == 7
    assert snapshot.applications == {"a": ApplicationRecord("a", InputType.DOUBLES, "0", 1)}
    assert snapshot.models == {VersionedModelId("m", "1"): ModelRecord("m", "1", InputType.BYTES)}


@pytest.mark.parametrize("raw", [b"", b"{}", b"[]", b"\xff", b'{"name":1}', b"[" * 100_000])
def test_what_is_no_record_is_named(raw: bytes) -> None:
    with pytest.raises(StoreUnavailable, match="models b'm:1'"):
        decode_snapshot(None, {**EMPTY, "models": {b"m:1": raw}})


def test_leases_survive_the_round_trip() -> None:
    lease = WorkerLease("w", "[::1]:7000", 3, 1)
    assert decode_lease(encode(lease)) == lease


def test_keys_of_a_cluster_share_its_prefix() -> None:
    keys = Keys("prod")
    assert keys.prefix == "clipper:prod:"
    assert keys.worker("w1") == "clipper:prod:worker:w1"


@pytest.mark.parametrize("url", ["localhost:6379", "http://localhost", "", "redis://host:port/0"])
def test_addresses_of_no_known_form_are_refused(url: str) -> None:
    with pytest.raises(ClipperException, match="unix:///path"):
        RedisStore(url, "test")
