"""The client's own transport against a real server."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest
import requests

from clipper.admin.connection import ClipperConnection
from clipper.admin.http import AdminHttp, Reply
from clipper.errors import ClipperException
from tests.fakes.fake_management import FakeCluster, FakeManager, serve


@pytest.fixture
def cluster() -> FakeCluster:
    return FakeCluster()


@pytest.fixture
def address(cluster: FakeCluster) -> Iterator[str]:
    with serve(cluster) as address:
        yield address


def test_client_over_http(cluster: FakeCluster, address: str) -> None:
    connection = ClipperConnection(FakeManager(cluster, address))
    connection.start_clipper()
    connection.register_application("naïve", "strings", "ünknown", 1000)
    assert connection.get_all_apps(verbose=True)[0]["default_output"] == "ünknown"
    assert connection.inspect_instance() == {"counters": []}
    with pytest.raises(ClipperException, match="status code: 400 and message: application 'naïve'"):
        connection.register_application("naïve", "strings", "ünknown", 1000)


def test_reason_of_a_default_is_read_from_its_header(cluster: FakeCluster, address: str) -> None:
    cluster.prediction = Reply(200, "{}", "slo")
    assert AdminHttp().post(f"http://{address}/a/predict", {}).default_reason == "slo"


def test_answer_that_is_no_json_is_explained() -> None:
    with pytest.raises(ClipperException, match="Expected JSON but received: 'PONG'"):
        Reply(200, "PONG").json()


def test_silent_server_does_not_hang_the_client() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/admin/ping"
        with pytest.raises(requests.Timeout):
            AdminHttp().get(url, timeout_s=0.1)
