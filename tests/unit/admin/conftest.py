from __future__ import annotations

import pytest

from clipper.admin.connection import ClipperConnection
from tests.fakes.fake_management import FakeCluster, FakeHttp, FakeManager, FakeTime


@pytest.fixture
def cluster() -> FakeCluster:
    return FakeCluster()


@pytest.fixture
def manager(cluster: FakeCluster) -> FakeManager:
    return FakeManager(cluster)


@pytest.fixture
def frontends(cluster: FakeCluster) -> FakeHttp:
    return FakeHttp(cluster)


@pytest.fixture
def unconnected(
    cluster: FakeCluster, manager: FakeManager, frontends: FakeHttp
) -> ClipperConnection:
    time = FakeTime(cluster)
    return ClipperConnection(manager, http=frontends, clock=time.clock, sleep=time.sleep)


@pytest.fixture
def connection(unconnected: ClipperConnection) -> ClipperConnection:
    unconnected.connect()
    return unconnected
