"""What the doctor reads of a cluster, from an API server that answers, refuses or is not there."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any

import pytest

pytest.importorskip("kubernetes")

from clipper.errors import ClipperException
from clipper.managers.kubernetes.api import ClusterAbsent, Missing, Refused
from clipper.managers.kubernetes.pod_logs import Line, LogOfContainer, PodLogs
from clipper.managers.kubernetes.settings import KubernetesSettings
from clipper.managers.kubernetes.survey import NO_NAMESPACE, Survey, survey

NOW = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
FORBIDDEN = 403


class FakeApi:
    """An API server with a few objects, which may refuse kinds."""

    server = "https://k:6443"

    def __init__(
        self,
        objects: Mapping[tuple[str, str], dict[str, Any]],
        refused: frozenset[str] = frozenset(),
        allowed: frozenset[str] = frozenset({"*"}),
    ) -> None:
        self.objects = objects
        self.refused = refused
        self.allowed = allowed
        self.asked: list[str] = []

    def server_version(self) -> str:
        return "v1.30.1"

    def may(self, verb: str, resource: str, namespace: str, group: str = "") -> bool:
        self.asked.append(f"{verb} {resource}")
        return resource in self.allowed

    def get(self, version: str, kind: str, name: str, namespace: str | None = None) -> Any:
        self._check(kind)
        return self.objects.get((kind, name))

    def list(
        self, version: str, kind: str, namespace: str | None = None,
        labels: Mapping[str, str] | None = None, fields: str | None = None,
    ) -> Any:  # fmt: skip
        self._check(kind)
        return [one for (found, _), one in self.objects.items() if found == kind]

    def log(self, pod: str, namespace: str, container: str, **options: Any) -> bytes:
        self._check("log")
        return b"the end"

    def _check(self, kind: str) -> None:
        if kind in self.refused:
            raise Refused(f"no {kind}", FORBIDDEN)


def named(kind: str, name: str, **parts: Any) -> tuple[tuple[str, str], dict[str, Any]]:
    metadata = {"name": name, "labels": {}, "creationTimestamp": "2026"}
    return (kind, name), {"metadata": metadata, **parts}


NAMESPACE = named("Namespace", "n", status={"phase": "Active"})
DYING = named(
    "Pod", "p",
    spec={"containers": []},
    status={
        "containerStatuses": [
            {
                "name": "model", "restartCount": 3, "ready": False,
                "state": {"waiting": {"reason": "CrashLoopBackOff"}},
                "lastState": {"terminated": {"exitCode": 1}},
            }
        ]
    },
)  # fmt: skip


def look(api: FakeApi) -> Survey:
    settings = KubernetesSettings(cluster_name="c", namespace="n")
    return survey(api, settings, NOW, "0.5.0", needs_nodes=True)  # type: ignore[arg-type]


def test_an_absent_namespace_is_looked_into_no_further() -> None:
    api = FakeApi({})
    assert look(api).namespace_phase == NO_NAMESPACE
    assert api.asked == []


def test_what_may_be_seen_is_read() -> None:
    ready = named("Endpoints", "redis-at-c", subsets=[{"addresses": [{"ip": "1.2.3.4"}]}])
    empty = named("Endpoints", "metrics-at-c", subsets=[{"notReadyAddresses": [{"ip": "1"}]}])
    events = [
        named("Event", "new", reason="b", eventTime="2026-01-02", lastTimestamp=None),
        named("Event", "old", reason="a", lastTimestamp="2026-01-01"),
    ]
    found = look(FakeApi(dict([NAMESPACE, DYING, ready, empty, *events])))
    assert found.denied == {}
    assert found.ready_services == frozenset({"redis-at-c"})
    assert [one["reason"] for one in found.events] == ["a", "b"]
    assert found.logs == {"p": "the end"}
    assert "no default storage class" in found.storage_problem
    assert found.dns_ready is None


def test_what_may_not_be_seen_is_not_known_and_no_failure() -> None:
    kinds = "Namespace ConfigMap StatefulSet Pod Service Endpoints Event Secret Node StorageClass"
    api = FakeApi({}, frozenset([*kinds.split(), "PersistentVolumeClaim"]), frozenset({"pods"}))
    found = look(api)
    assert (found.namespace_phase, found.anchor, found.nodes) == ("", None, None)
    assert (found.secrets, found.storage_problem) == (None, "")
    assert (found.ready_services, list(found.pods)) == (None, [])
    assert ("", "pods") not in found.denied
    assert list(found.denied["", "pods/log"]) == ["get"]


def test_an_absent_api_server_is_a_failure() -> None:
    class Absent(FakeApi):
        def _check(self, kind: str) -> None:
            raise ClusterAbsent("nobody answers")

    with pytest.raises(ClipperException, match="nobody answers"):
        look(Absent({}))


class LogApi:
    """Serves one container's log as the API server does, with a time before each line."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.options: dict[str, Any] = {}

    def log(self, pod: str, namespace: str, container: str, **options: Any) -> bytes:
        self.options = options
        if not self.text:
            raise Missing("no such pod", 404)
        return self.text.encode()


def pod_logs(text: str) -> tuple[LogApi, PodLogs]:
    api = LogApi(text)
    return api, PodLogs(api, None, "n")  # type: ignore[arg-type]


LOG = LogOfContainer("store", "p", "c", 0)


def test_lines_come_with_their_times() -> None:
    api, logs = pod_logs("2026-01-01T00:00:01.5Z a b\n2026-01-01T00:00:01.7Z\n")
    assert logs.end(LOG, 2) == [
        Line("2026-01-01T00:00:01.5Z", "a b"), Line("2026-01-01T00:00:01.7Z", ""),
    ]  # fmt: skip
    assert api.options["lines"] == 2


def test_lines_after_one_leave_out_those_of_its_second_that_were_seen() -> None:
    api, logs = pod_logs("2026-01-01T00:00:01.5Z a\n2026-01-01T00:00:01.7Z b\n")
    last = Line("2026-01-01T00:00:01.5Z", "a")
    assert [line.text for line in logs.after(LOG, last)] == ["b"]
    assert api.options["since"] == last.time
    assert len(logs.after(LOG, None)) == 2


def test_a_log_that_is_gone_or_not_begun_is_empty() -> None:
    assert pod_logs("unable to retrieve container logs for docker://1")[1].end(LOG, 1) == []
    assert pod_logs("")[1].after(LOG, None) == []
