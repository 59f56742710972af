"""The command line with `--mode kubernetes`, as far as no cluster is needed."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Sequence
from typing import Any

import pytest

from clipper.cli.context import Context
from clipper.cli.diagnosis import MANAGEMENT_API, Facts, examine
from clipper.cli.home import HOMES
from clipper.cli.modes import ClusterChoice, KubernetesPlace, Mode, make_manager
from clipper.cli.pod_logs import PodLogSource, is_pod_log_of
from clipper.errors import ClipperException
from clipper.managers.findings import Finding
from tests.fakes.fake_management import FakeCluster, FakeManager
from tests.unit.cli.conftest import Run

IN_KUBERNETES = ("--mode", "kubernetes")


def given(manager: FakeManager) -> dict[str, Any]:
    """Return the options that the manager was made with."""
    options: dict[str, Any] = manager.start_options  # type: ignore[attr-defined]
    return {name: value for name, value in options.items() if value is not None}


def test_where_the_cluster_is_stands_before_or_after_the_command(
    run: Run, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLIPPER_NAMESPACE", "from-environment")
    monkeypatch.setenv("CLIPPER_INTERNAL_IP", "1")
    run(*IN_KUBERNETES, "apps")
    assert context.choice.place == KubernetesPlace("from-environment", internal_ip=True)
    run("-n", "before", "apps", *IN_KUBERNETES, "--context", "c", "--proxy", "h:1")
    place = context.choice.place
    assert (place.namespace, place.context, place.proxy) == ("before", "c", "h:1")
    run("-n", "before", "apps", "-n", "after", "--kubeconfig", "/k")
    assert (context.choice.place.namespace, context.choice.place.kubeconfig) == ("after", "/k")


def test_a_short_option_that_a_command_has_itself_stays_its_own(run: Run) -> None:
    assert run("logs", "store", "-n", "1", "--namespace", "x").out == "store-0 last\n"


@pytest.mark.parametrize("flag", ["--namespace", "--kubeconfig", "--context", "--proxy"])
@pytest.mark.parametrize("mode", [Mode.LOCAL, Mode.DOCKER])
def test_where_the_cluster_is_means_nothing_to_other_modes(
    run: Run, context: Context, mode: Mode, flag: str
) -> None:
    run(flag, "x:1", "--mode", mode, "apps")
    with pytest.raises(ClipperException, match=f"{flag} does not fit --mode {mode}"):
        make_manager(context.choice)


def test_a_variable_of_another_mode_does_no_harm(
    run: Run, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLIPPER_NAMESPACE", "x")
    run("apps")
    assert make_manager(context.choice).cluster_name == "default-cluster"


@pytest.mark.parametrize(
    ("option", "flag"),
    [
        ({"host": "h"}, "--host"),
        ({"clipper_query_port": 1}, "--query-port"),
        ({"docker_network": "n"}, "--network"),
        ({"prometheus_port": 1}, "--prometheus-port"),
        ({"isolated_environments": True}, "--isolated"),
    ],
)
def test_options_of_other_modes_are_refused(option: dict[str, Any], flag: str) -> None:
    with pytest.raises(ClipperException, match=f"{flag} does not fit --mode kubernetes"):
        make_manager(ClusterChoice("c", mode=Mode.KUBERNETES, start_options=option))


@pytest.mark.parametrize(
    ("arguments", "flag"),
    [
        (("--storage", "1Gi"), "--storage or --no-storage"),
        (("--no-storage",), "--storage or --no-storage"),
        (("--service-type", "query=NodePort"), "--service-type"),
        (("--pull-secret", "s"), "--pull-secret"),
        (("--create-namespace",), "--create-namespace"),
        (("--max-frontends", "2"), "--max-frontends"),
        (("--autoscale",), "--autoscale"),
        (("--no-prometheus",), "--registry or --no-prometheus"),
    ],
)
def test_options_of_kubernetes_are_refused_elsewhere(
    run: Run, manager: FakeManager, arguments: Sequence[str], flag: str
) -> None:
    run("up", *arguments)
    with pytest.raises(ClipperException, match=f"{flag} does not fit --mode local"):
        make_manager(ClusterChoice("c", start_options=given(manager)))


def test_some_options_are_refused_at_once(run: Run) -> None:
    assert "--frontends does not fit --mode local" in run("up", "--frontends", "2").err
    assert "--registry does not fit --mode local" in run("up", "--registry", "r").err
    assert "logs --follow" in run(*IN_KUBERNETES, "up", "--foreground").err
    assert "contradict" in run(*IN_KUBERNETES, "up", "--storage", "1Gi", "--no-storage").err
    assert "NAME=TYPE" in run(*IN_KUBERNETES, "up", "--service-type", "query").err
    assert "use --mode kubernetes" in run("manifests").err


def test_up_gives_the_manager_what_was_said(
    run: Run, manager: FakeManager, cluster: FakeCluster
) -> None:
    cluster.running = False
    outcome = run(
        *IN_KUBERNETES, "up", "--create-namespace", "--frontends", "3", "--max-frontends", "5",
        "--storage", "2Gi", "--storage-class", "fast", "--service-type", "query=LoadBalancer",
        "--service-type", "metric=ClusterIP", "--pull-secret", "a", "--pull-secret", "b",
        "--registry", "reg.example.com/ml", "--token", "t",
        "--autoscale",
    )  # fmt: skip
    assert outcome.out.startswith("Clipper is running")
    assert {name: value for name, value in given(manager).items() if "_image" not in name} == {
        "create_namespace_if_not_exists": True,
        "max_frontend_replicas": 5,
        "autoscale_models": True,
        "redis_storage": "2Gi",
        "redis_storage_class": "fast",
        "service_types": {"query": "LoadBalancer", "metric": "ClusterIP"},
        "image_pull_secrets": ["a", "b"],
        "token": "t",
    }
    options = manager.options
    assert options is not None
    assert options.num_frontend_replicas == 3
    images = (options.query_frontend_image, given(manager)["prometheus_image"])
    assert all(str(image).startswith("reg.example.com/ml/") for image in images)


def test_none_can_be_said_of_volume_and_prometheus(monkeypatch: pytest.MonkeyPatch) -> None:
    made: dict[str, Any] = {}
    kubernetes = pytest.importorskip("clipper.managers.kubernetes")
    monkeypatch.setattr(
        kubernetes, "KubernetesContainerManager", lambda name, **options: made.update(options)
    )
    from clipper.cli.modes import ABSENT

    options = {"redis_storage": ABSENT, "prometheus_image": ABSENT, "redis_ip": None}
    place = KubernetesPlace("n", "/k", "c", "h:1", True)
    make_manager(ClusterChoice("x", mode=Mode.KUBERNETES, start_options=options, place=place))
    assert made == {
        "namespace": "n",
        "kubeconfig": "/k",
        "context": "c",
        "kubernetes_proxy_addr": "h:1",
        "useInternalIP": True,
        "redis_storage": None,
        "prometheus_image": None,
    }


def test_up_on_a_running_cluster_says_what_it_did(run: Run) -> None:
    outcome = run(*IN_KUBERNETES, "up")
    assert outcome.out.startswith("Cluster default-cluster was brought up to date: predictions at")


def test_without_the_package_the_next_step_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for loaded in [name for name in sys.modules if name.startswith("clipper.managers.kubernetes")]:
        monkeypatch.delitem(sys.modules, loaded)
    monkeypatch.setitem(sys.modules, "kubernetes", None)
    with pytest.raises(ClipperException, match=r"pip install 'clipper-serving\[kubernetes\]'"):
        make_manager(ClusterChoice("c", mode=Mode.KUBERNETES))


def facts(**changed: Any) -> Facts:
    base: dict[str, Any] = {
        "cluster": "c",
        "python": (3, 12),
        "missing_packages": (),
        "state_dir": "Kubernetes namespace n",
        "state_dir_writable": True,
        "home": HOMES[Mode.KUBERNETES],
    }
    return Facts(**{**base, **changed})


PENDING = Finding("room", "model:m:1: pod m-1 waits for a node: none", "Add nodes")


def test_doctor_of_a_stopped_cluster_speaks_of_kubernetes_only() -> None:
    assert examine(facts())[-1] == Finding(
        "Kubernetes", "cluster c is not running", "Run `clipper --mode kubernetes up`"
    )
    told = [one for one in examine(facts()) if one.is_problem]
    assert len(told) == 1


def test_what_kubernetes_tells_stands_before_what_follows_from_it() -> None:
    found = examine(
        facts(
            running=True,
            of_home=[PENDING],
            services={"model:m:1": 1, "store": 1},
            children=[{"role": "model:m:1", "index": 0, "pid": None, "restarts": 7, "log": "l"}],
        )
    )
    problems = [one for one in found if one.is_problem]
    assert problems[0] == PENDING
    assert [one.next_step for one in problems if one.check == "processes"] == [
        "See what is said of it above",
        "Read its log: clipper logs store",
    ]
    assert not any(one.check == "restarts" for one in found)


def test_doctor_without_rights_or_api() -> None:
    silent = examine(facts(silent_supervisor="no answer"))[-1]
    assert silent == Finding("Kubernetes", "no answer", "`kubectl cluster-info` must answer first")
    denied = examine(facts(silent_supervisor="refused", of_home=[PENDING]))[-1]
    assert denied.next_step == "Mend what is said above first, then run doctor again"


def test_a_cluster_that_is_not_reached_from_here_leads_to_the_proxy() -> None:
    found = examine(facts(running=True, unreachable={MANAGEMENT_API: "no external address"}))
    assert any("--proxy" in one.next_step for one in found if one.check == "frontends")


@pytest.mark.parametrize(
    ("target", "fits"),
    [
        (None, True), ("m", True), ("m:1", True), ("m:2", False), ("m:", False), ("model", False),
        ("pod-x", True), ("pod-x_0", True), ("pod", False), ("query-frontend", False),
    ],
)  # fmt: skip
def test_logs_are_chosen_by_role_model_and_pod(target: str | None, fits: bool) -> None:
    assert is_pod_log_of("model:m:1", "pod-x", "pod-x_0", target) is fits
    assert is_pod_log_of("query-frontend", "query-frontend-at-c-0", "q_0", "query-frontend")


@dataclasses.dataclass
class FakeLine:
    time: str
    text: str


@dataclasses.dataclass
class FakeLog:
    role: str
    pod: str
    lines: list[FakeLine]

    @property
    def name(self) -> str:
        return f"{self.pod}_0"


class FakeLogs:
    def __init__(self, *logs: FakeLog) -> None:
        self.logs = list(logs)

    def present(self) -> list[FakeLog]:
        return self.logs

    def end(self, log: Any, lines: int) -> list[FakeLine]:
        kept: list[FakeLine] = log.lines[-lines:]
        return kept

    def after(self, log: Any, last: Any) -> list[FakeLine]:
        return [line for line in log.lines if last is None or line.time > last.time]


def log_of(pod: str, count: int) -> FakeLog:
    return FakeLog("model:m:1", pod, [FakeLine(f"{i}", f"{pod} {i}") for i in range(count)])


def test_following_goes_on_after_the_tail_and_takes_new_pods(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("clipper.cli.pod_logs.time.sleep", lambda _: None)
    old = log_of("old", 3)
    logs = FakeLogs(old, FakeLog("store", "redis", [FakeLine("0", "store")]))
    source = PodLogSource(logs, "m")
    assert source.tails(2) == {"old_0": ["old 1", "old 2"]}
    old.lines.append(FakeLine("3", "old 3"))
    logs.logs.append(log_of("new", 2))
    lines = source.new_lines()
    assert [next(lines) for _ in range(3)] == [
        ("old_0", "old 3"), ("new_0", "new 0"), ("new_0", "new 1"),
    ]  # fmt: skip
    assert source.tails(0)["old_0"] == []


def test_logs_as_json(run: Run, manager: FakeManager) -> None:
    logs = FakeLogs(log_of("p", 2))
    manager.pod_logs = lambda: logs  # type: ignore[attr-defined]
    assert json.loads(run(*IN_KUBERNETES, "logs", "m", "-o", "json").out) == {"p_0": ["p 0", "p 1"]}
    assert "There are: p_0" in run(*IN_KUBERNETES, "logs", "x").err
    logs.logs.clear()
    assert "Start it with `clipper --mode kubernetes up`" in run(*IN_KUBERNETES, "logs").err
