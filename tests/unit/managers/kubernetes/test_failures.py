"""Why pods do not run, from what Kubernetes tells of them: shapes as a real cluster has them."""

from __future__ import annotations

import datetime
from typing import Any

import pytest

from clipper.managers.kubernetes import failures
from clipper.managers.kubernetes.failures import first_trouble, trouble_of

STARTED = "2024-05-01T10:00:00Z"
OOM = {"exitCode": 137, "reason": "OOMKilled", "startedAt": STARTED, "finishedAt": STARTED}


def ended(code: int = 1, ran_s: int = 1, reason: str = "Error") -> dict[str, Any]:
    return {
        "exitCode": code, "reason": reason, "startedAt": STARTED,
        "finishedAt": f"2024-05-01T10:{ran_s // 60:02}:{ran_s % 60:02}Z",
    }  # fmt: skip


def waiting(reason: str, message: str = "") -> dict[str, Any]:
    return {"waiting": {"reason": reason, **({"message": message} if message else {})}}


def pod(
    state: dict[str, Any], restarts: int = 0, last: dict[str, Any] | None = None,
    is_ready: bool = False, **status: Any,
) -> dict[str, Any]:  # fmt: skip
    container = {
        "name": "model", "image": "digits:1", "ready": is_ready, "restartCount": restarts,
        "state": state, "lastState": {"terminated": last} if last else {},
    }  # fmt: skip
    return {
        "metadata": {"name": "digits-0"},
        "status": {"phase": "Running", "containerStatuses": [container], **status},
    }


RUNNING = {"running": {"startedAt": STARTED}}


@pytest.mark.parametrize("reason", ["ImagePullBackOff", "ErrImageNeverPull", "InvalidImageName"])
def test_an_image_that_the_node_cannot_have_is_final(reason: str) -> None:
    found = trouble_of(pod(waiting(reason, 'Back-off pulling image "digits:1"')))
    assert found is not None
    assert found.final
    assert found.container == ""
    assert found.text.startswith("does not start: its image")
    assert "(digits:1)" in found.text
    assert "Back-off pulling" in found.text


@pytest.mark.parametrize("reason", ["CreateContainerConfigError", "RunContainerError"])
def test_a_container_that_cannot_be_made_is_final(reason: str) -> None:
    found = trouble_of(pod(waiting(reason, 'secret "x" not found')))
    assert found is not None
    assert found.final
    assert 'secret "x" not found' in found.text


def test_a_node_that_has_not_read_a_secret_yet_tries_again() -> None:
    said = "failed to sync secret cache: timed out waiting for the condition"
    found = trouble_of(pod(waiting("CreateContainerConfigError", said)))
    assert found is not None
    assert not found.final
    assert found.text == f"does not start yet: {said}"


@pytest.mark.parametrize("state", [waiting("ContainerCreating"), waiting("ErrImagePull"), {}])
def test_what_may_still_come_up_is_no_trouble(state: dict[str, Any]) -> None:
    assert trouble_of(pod(state)) is None


def test_one_death_is_told_but_not_final() -> None:
    found = trouble_of(pod(waiting("CrashLoopBackOff"), restarts=1, last=ended(1)))
    assert found is not None
    assert not found.final
    assert found.text == "exited with status 1, once so far"
    assert (found.container, found.previous) == ("model", True)


def test_a_crash_loop_is_final() -> None:
    found = trouble_of(pod(waiting("CrashLoopBackOff"), restarts=2, last=ended(1)))
    assert found is not None
    assert found.final
    assert found.text == "exited with status 1, 2 times so far"


def test_the_present_run_tells_more_than_the_one_before() -> None:
    found = trouble_of(pod({"terminated": ended(2)}, restarts=1, last=ended(1)))
    assert found is not None
    assert found.final
    assert "status 2" in found.text
    assert not found.previous


def test_a_missing_package_is_final_at_once() -> None:
    found = trouble_of(pod({"terminated": ended(3)}))
    assert found is not None
    assert found.final


def test_a_signal_is_named() -> None:
    found = trouble_of(pod(waiting("CrashLoopBackOff"), restarts=2, last=ended(139)))
    assert found is not None
    assert "was killed by signal 11" in found.text


@pytest.mark.parametrize("state", [waiting("CrashLoopBackOff"), {"terminated": OOM}])
def test_too_little_memory_is_said(state: dict[str, Any]) -> None:
    found = trouble_of(pod(state, restarts=2, last=OOM))
    assert found is not None
    assert found.final
    assert "needed more memory than its limit (model_resources raises it)" in found.text


def test_a_program_that_there_is_not() -> None:
    end = ended(127, reason="ContainerCannotRun") | {"message": "exec: no such file"}
    found = trouble_of(pod({"terminated": end}, restarts=1))
    assert found is not None
    assert "cannot be started: exec: no such file" in found.text


@pytest.mark.parametrize("is_ready", [True, False])
def test_a_pod_that_runs_again_is_well_whatever_it_was(is_ready: bool) -> None:
    assert trouble_of(pod(RUNNING, restarts=7, last=ended(1), is_ready=is_ready)) is None


def test_a_pod_that_served_long_before_it_died_is_no_failing_start() -> None:
    assert trouble_of(pod(waiting("CrashLoopBackOff"), restarts=1, last=ended(1, 600))) is None


def test_a_pod_without_a_node_waits() -> None:
    condition = {
        "type": "PodScheduled", "status": "False", "reason": "Unschedulable",
        "message": "0/1 nodes are available: 1 Insufficient memory.",
    }  # fmt: skip
    one = {
        "metadata": {"name": "digits-0"},
        "status": {"phase": "Pending", "conditions": [condition]},
    }
    found = trouble_of(one)
    assert found is not None
    assert not found.final
    assert found.text == "waits for a node: 0/1 nodes are available: 1 Insufficient memory."


def test_an_evicted_pod_is_replaced_by_another() -> None:
    status = {"phase": "Failed", "reason": "Evicted", "message": "low on memory"}
    found = trouble_of({"metadata": {"name": "digits-0"}, "status": status})
    assert found is not None
    assert not found.final
    assert found.text == "was evicted: low on memory"


def test_a_pod_that_has_just_been_made() -> None:
    assert trouble_of({"metadata": {"name": "digits-0"}}) is None
    assert trouble_of({"metadata": {"name": "digits-0"}, "status": {"phase": "Pending"}}) is None


def test_the_first_of_several_pods_that_has_something() -> None:
    well = pod(RUNNING, is_ready=True)
    once, twice = (pod(waiting("CrashLoopBackOff"), n, ended(1)) for n in (1, 2))
    assert first_trouble([well, once, twice], final=True) == trouble_of(twice)
    assert first_trouble([well, once, twice], final=False) == trouble_of(once)
    assert first_trouble([well], final=False) is None


def event(message: str, at: str, kind: str = "Warning", reason: str = "Failed") -> dict[str, Any]:
    return {"type": kind, "reason": reason, "message": message, "lastTimestamp": at}


def test_the_newest_warning_that_says_why() -> None:
    events = [
        event("Failed to pull image: connection refused", "2024-05-01T10:00:01Z"),
        event("Error: ErrImagePull", "2024-05-01T10:00:02Z"),
        event("Failed to pull image: not found", "2024-05-01T10:00:00Z"),
        event("Error: ImagePullBackOff", "2024-05-01T10:00:05Z"),
        event("Back-off pulling image", "2024-05-01T10:00:06Z", kind="Normal", reason="BackOff"),
    ]
    assert failures.last_warning(events) == "Failed to pull image: connection refused"
    assert failures.last_warning(events[3:]) == ""
    new_kind = {"type": "Warning", "message": "x", "eventTime": STARTED, "lastTimestamp": None}
    assert failures.last_warning([new_kind]) == "x"


def test_how_long_a_container_runs() -> None:
    now = datetime.datetime(2024, 5, 1, 10, 1, tzinfo=datetime.UTC)
    assert failures.uptime_s({"state": RUNNING}, now) == 60.0
    assert failures.uptime_s({"state": waiting("x")}, now) is None
    assert failures.last_exit({"state": {}, "lastState": {"terminated": ended(137)}}) == -9
    assert failures.last_exit({}) is None
