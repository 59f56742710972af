"""The autoscaler's client of the Kubernetes API server, over real connections."""

from __future__ import annotations

import asyncio
import logging
import shutil
import ssl
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from clipper.datatypes import VersionedModelId
from clipper.errors import ClipperException
from clipper.management.autoscaling.cluster import ClusterUnavailable
from clipper.management.autoscaling.decision import Replicas
from clipper.management.autoscaling.kubernetes import (
    ClusterAddress,
    KubernetesCluster,
    in_cluster_address,
)
from tests.fakes.fake_kubernetes_api import FakeKubernetesApi

BOUNDS = {"autoscale_min": "1", "autoscale_max": "4"}
MODEL = {"model_name": "m", "model_version": "1", **BOUNDS}


@pytest.fixture
def api() -> Iterator[FakeKubernetesApi]:
    served = FakeKubernetesApi()
    with served.serving():
        yield served


@pytest.fixture
def token(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.write_text("first\n")
    return path


@pytest.fixture
async def cluster(api: FakeKubernetesApi, token: Path) -> AsyncIterator[KubernetesCluster]:
    opened = KubernetesCluster(ClusterAddress(api.url, "prod", "c", token), timeout_s=2.0)
    yield opened
    await opened.close()


async def test_deployments_with_both_annotations_are_scaled(
    api: FakeKubernetesApi, cluster: KubernetesCluster
) -> None:
    api.add("m-1", replicas=3, ready=2, **MODEL)
    api.add("starting", replicas=2, ready=0, **{**MODEL, "model_version": "2"})
    api.add("plain", model_name="p", model_version="1")
    api.add("frontend", role="query_frontend", **MODEL)
    api.add("other", cluster="another", **MODEL)

    starting, found = sorted(await cluster.scaled_deployments(), key=lambda one: -len(one.name))
    assert found.name == "m-1"
    assert found.model == VersionedModelId("m", "1")
    assert found.replicas == Replicas(1, 4, 3, 2)
    assert starting.replicas.ready == 0


@pytest.mark.parametrize(
    ("annotations", "words"),
    [
        ({"autoscale_max": "4"}, "autoscale-min is ''"),
        ({"autoscale_min": "1", "autoscale_max": "many"}, "autoscale-max is 'many'"),
        ({"autoscale_min": "0", "autoscale_max": "4"}, "1 <= minimum"),
        ({"autoscale_min": "5", "autoscale_max": "4"}, "minimum <= maximum"),
        ({**BOUNDS, "model_name": ""}, "ai.clipper/model-name"),
    ],
)
async def test_annotations_that_make_no_sense_are_logged_once_and_left_alone(
    api: FakeKubernetesApi,
    cluster: KubernetesCluster,
    caplog: pytest.LogCaptureFixture,
    annotations: dict[str, str],
    words: str,
) -> None:
    api.add("bad", **{"model_name": "m", "model_version": "1", **annotations})
    api.add("good", **MODEL)
    for _ in range(3):
        assert [one.name for one in await cluster.scaled_deployments()] == ["good"]
    [record] = [one for one in caplog.records if one.levelno == logging.ERROR]
    assert "Deployment bad is not scaled" in record.getMessage()
    assert words in record.getMessage()


async def test_the_scale_alone_is_patched(
    api: FakeKubernetesApi, cluster: KubernetesCluster
) -> None:
    api.add("m-1", replicas=3, **MODEL)
    [found] = await cluster.scaled_deployments()
    await cluster.set_replicas(found, 4)
    assert api.replicas("m-1") == 4
    base = "/apis/apps/v1/namespaces/prod/deployments"
    assert api.requests == [("GET", base), ("PATCH", f"{base}/m-1/scale")]


async def test_a_deployment_that_somebody_changed_meanwhile_is_left_alone(
    api: FakeKubernetesApi, cluster: KubernetesCluster
) -> None:
    api.add("m-1", replicas=3, **MODEL)
    [found] = await cluster.scaled_deployments()
    api.touch("m-1", replicas=0)
    with pytest.raises(ClusterUnavailable, match=r"409 .*changed meanwhile"):
        await cluster.set_replicas(found, 4)
    assert api.replicas("m-1") == 0


async def test_the_token_is_read_again_since_it_is_replaced(
    api: FakeKubernetesApi, cluster: KubernetesCluster, token: Path
) -> None:
    api.add("m-1", **MODEL)
    assert await cluster.scaled_deployments()
    api.tokens = {"second"}
    with pytest.raises(ClusterUnavailable, match="401"):
        await cluster.scaled_deployments()
    await asyncio.to_thread(token.write_text, "second")
    assert await cluster.scaled_deployments()


async def test_a_refusal_says_which_rights_are_needed(
    api: FakeKubernetesApi, cluster: KubernetesCluster
) -> None:
    api.refusal = (403, 'deployments.apps is forbidden: User "x" cannot list resource')
    with pytest.raises(ClusterUnavailable, match=r"403 deployments\.apps is forbidden.* list on"):
        await cluster.scaled_deployments()


async def test_a_server_that_is_silent_or_gone_is_given_up(
    api: FakeKubernetesApi, token: Path
) -> None:
    cluster = KubernetesCluster(ClusterAddress(api.url, "prod", "c", token), timeout_s=0.2)
    api.silent.set()
    with pytest.raises(ClusterUnavailable, match="did not answer GET"):
        await cluster.scaled_deployments()
    await cluster.close()

    gone = KubernetesCluster(ClusterAddress("http://127.0.0.1:9", "prod", "c", token))
    with pytest.raises(ClusterUnavailable, match="did not answer GET"):
        await gone.scaled_deployments()
    await gone.close()


async def test_a_missing_token_is_no_crash(api: FakeKubernetesApi, tmp_path: Path) -> None:
    cluster = KubernetesCluster(ClusterAddress(api.url, "prod", "c", tmp_path / "none"))
    with pytest.raises(ClusterUnavailable, match="none"):
        await cluster.scaled_deployments()
    await cluster.close()


@pytest.fixture
def authority(tmp_path: Path) -> ssl.SSLContext:
    """A server's context, and beside its certificate in ``tmp_path`` what a pod finds there."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("makes its certificate with openssl, which is not installed")
    certificate, key = tmp_path / "ca.crt", tmp_path / "ca.key"
    words = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2"
    words += " -subj /CN=kubernetes -addext subjectAltName=IP:127.0.0.1"
    subprocess.run(
        [openssl, *words.split(), "-out", certificate, "-keyout", key],
        check=True,
        capture_output=True,
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    (tmp_path / "token").write_text("first")
    (tmp_path / "namespace").write_text("prod")
    return context


async def test_the_servers_certificate_is_checked_against_the_pods_authority(
    authority: ssl.SSLContext, tmp_path: Path
) -> None:
    api = FakeKubernetesApi()
    api.add("m-1", **MODEL)
    with api.serving(authority):
        host, port = api.url.removeprefix("https://").split(":")
        environment = {"KUBERNETES_SERVICE_HOST": host, "KUBERNETES_SERVICE_PORT": port}
        address = in_cluster_address(environment, "c", None, tmp_path)
        assert address.namespace == "prod"
        trusting = KubernetesCluster(address)
        assert await trusting.scaled_deployments()
        await trusting.close()

        stranger = KubernetesCluster(ClusterAddress(api.url, "prod", "c", tmp_path / "token"))
        with pytest.raises(ClusterUnavailable, match=r"(?i)certificate"):
            await stranger.scaled_deployments()
        await stranger.close()


def test_outside_a_pod_the_setting_is_refused_with_the_next_step(tmp_path: Path) -> None:
    with pytest.raises(ClipperException, match="in a pod of the cluster only"):
        in_cluster_address({}, "c", None, tmp_path)


def test_addresses_of_both_families(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("x")
    environment = {"KUBERNETES_SERVICE_HOST": "fd00::1"}
    assert in_cluster_address(environment, "c", "ns", tmp_path).url == "https://[fd00::1]:443"
