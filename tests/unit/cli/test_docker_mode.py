"""The command line with `--mode docker`, as far as no engine is needed."""

from __future__ import annotations

from typing import Any

import pytest

from clipper.cli.context import Context
from clipper.cli.diagnosis import Facts, examine
from clipper.cli.home import HOMES
from clipper.cli.logs import is_log_of
from clipper.cli.modes import ClusterChoice, Mode, make_manager
from clipper.errors import ClipperException
from tests.fakes.fake_management import FakeManager
from tests.unit.cli.conftest import Run


@pytest.mark.parametrize(
    ("mode", "option", "flag"),
    [
        (Mode.LOCAL, {"docker_network": "n"}, "--network"),
        (Mode.LOCAL, {"redis_ip": "h"}, "--redis-ip"),
        (Mode.LOCAL, {"redis_port": 1}, "--redis-port"),
        (Mode.LOCAL, {"prometheus_port": 1}, "--prometheus-port"),
        (Mode.DOCKER, {"isolated_environments": True}, "--isolated"),
    ],
)
def test_options_of_the_other_mode_are_refused(
    mode: Mode, option: dict[str, Any], flag: str
) -> None:
    with pytest.raises(ClipperException, match=f"{flag} does not fit --mode {mode}"):
        make_manager(ClusterChoice("c", mode=mode, start_options=option))


def test_options_that_were_not_given_are_left_to_the_manager() -> None:
    options = {"host": None, "docker_network": None, "isolated_environments": None}
    manager = make_manager(ClusterChoice("c", start_options={**options, "clipper_query_port": 7}))
    assert manager.get_query_addr() == "127.0.0.1:7"


def test_mode_is_taken_from_the_environment(
    run: Run, context: Context, manager: FakeManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLIPPER_MODE", "docker")
    assert run("up", "--network", "n", "--redis-ip", "r", "--prometheus-port", "1").code == 0
    assert context.choice.mode is Mode.DOCKER
    given = manager.start_options  # type: ignore[attr-defined]
    assert (given["docker_network"], given["redis_ip"], given["prometheus_port"]) == ("n", "r", 1)
    assert run("--mode", "local", "apps").code == 0
    assert context.choice.mode is Mode.LOCAL


def facts(**changed: Any) -> Facts:
    base: dict[str, Any] = {
        "cluster": "c",
        "python": (3, 12),
        "missing_packages": (),
        "state_dir": "Docker volume v",
        "state_dir_writable": True,
        "home": HOMES[Mode.DOCKER],
    }
    return Facts(**{**base, **changed})


def problems(given: Facts) -> list[tuple[str, str, str]]:
    return [(one.check, one.detail, one.next_step) for one in examine(given) if one.is_problem]


def test_doctor_of_a_stopped_cluster() -> None:
    assert problems(facts(taken_ports=[1337], missing_images=["clipper/prometheus:1"])) == [
        ("images", "clipper/prometheus:1 is not on the engine", "Run `clipper images build`"),
        ("Docker engine", "cluster c is not running", "Run `clipper --mode docker up`"),
    ]


def test_doctor_without_an_engine() -> None:
    assert problems(facts(silent_supervisor="The Docker engine cannot be reached")) == [
        (
            "Docker engine",
            "The Docker engine cannot be reached",
            "`docker info` must answer first",
        )
    ]


def test_doctor_of_a_container_that_runs_but_does_no_work() -> None:
    child = {
        "role": "model:m:1", "index": 0, "pid": 7, "restarts": 0, "early_deaths": 0,
        "state": "running (unhealthy)", "log": "docker logs m_1-5",
    }  # fmt: skip
    found = problems(facts(running=True, children=[child], services={"model:m:1": 1}))
    assert (
        "health",
        "model:m:1 #0 runs but its health check fails",
        "Read its log: docker logs m_1-5",
    ) in found


@pytest.mark.parametrize(
    ("stem", "target", "fits"),
    [
        ("query_frontend-7:image_a:container_b", "query-frontend", True),
        ("mgmt_frontend-7:image_a:container_b", "management-frontend", True),
        ("redis-7:image_a:container_b", "store", True),
        ("metric_frontend-7:image_a:container_b", "prometheus", True),
        ("m_1-7:image_a:container_b", "m", True),
        ("m_1-7:image_a:container_b", "m:1", True),
        ("m_1-7:image_a:container_b", "m:2", False),
        ("query_frontend-7:image_a:container_b", "query", False),
        ("redis-7:image_a:container_b", "redis", False),
    ],
)
def test_logs_of_containers_are_found_by_role_and_model(stem: str, target: str, fits: bool) -> None:
    assert is_log_of(stem, target) is fits
