"""One client at a time: a lease that lives as long as its holder, whatever the clocks say."""

from __future__ import annotations

import contextlib
import datetime
from collections.abc import Callable
from typing import Any

import pytest

from clipper.errors import ClipperException
from clipper.managers.kubernetes import claims
from clipper.managers.kubernetes.api import Refused
from clipper.managers.kubernetes.claims import Clock, claim
from clipper.managers.kubernetes.settings import KubernetesSettings
from tests.fakes.fake_kubernetes import FakeKubernetes

SETTINGS = KubernetesSettings(cluster_name="c")
NOW = datetime.datetime(2024, 5, 1, 10, tzinfo=datetime.UTC)
NAME = "claim-m-1-deployment-at-c"
KEY = ("ConfigMap", "default", NAME)


class Time:
    """Passes only while somebody sleeps; then it is somebody else's turn."""

    def __init__(self, meanwhile: Callable[[], None] = lambda: None) -> None:
        self.passed_s = 0.0
        self._meanwhile = meanwhile

    def clock(self) -> Clock:
        return Clock(self.now, lambda: self.passed_s, self.sleep)

    def now(self) -> datetime.datetime:
        return NOW + datetime.timedelta(seconds=self.passed_s)

    def sleep(self, duration_s: float) -> None:
        self.passed_s += duration_s
        self._meanwhile()


@pytest.fixture
def api() -> FakeKubernetes:
    return FakeKubernetes()


def held(api: FakeKubernetes, renewed_s: float | None, holder: str = "somebody") -> dict[str, Any]:
    """Make the lease as another client renewed it so many seconds after `NOW`."""
    data = {"holder": holder}
    if renewed_s is not None:
        data["renewed"] = (NOW + datetime.timedelta(seconds=renewed_s)).isoformat()
    metadata = {"name": NAME, "namespace": "default"}
    made = api.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data})
    assert made is not None
    return made


def claimed(api: FakeKubernetes, time: Time) -> bool:
    with claim(api, SETTINGS, NAME, time.clock()) as mine:
        return mine


def test_a_claim_excludes_others_until_it_ends(api: FakeKubernetes) -> None:
    with claim(api, SETTINGS, NAME) as first:
        assert first
        with claim(api, SETTINGS, NAME) as second:
            assert not second
        assert KEY in api.objects, "who was refused took nothing away"
        with claim(api, SETTINGS, "claim-other") as other:
            assert other
    assert KEY not in api.objects
    with claim(api, SETTINGS, NAME) as third:
        assert third


def test_a_claim_ends_when_its_work_fails(api: FakeKubernetes) -> None:
    with pytest.raises(ZeroDivisionError), claim(api, SETTINGS, NAME):
        raise ZeroDivisionError
    assert KEY not in api.objects


@pytest.mark.parametrize("renewed_s", [0.0, -14.0, 14.0])
def test_a_lease_that_was_just_renewed_is_believed_at_once(
    api: FakeKubernetes, renewed_s: float
) -> None:
    held(api, renewed_s)
    time = Time()
    assert not claimed(api, time)
    assert time.passed_s == 0.0


@pytest.mark.parametrize("renewed_s", [-60.0, 3600.0, None])
def test_a_lease_of_the_dead_is_taken_over_after_watching_it(
    api: FakeKubernetes, renewed_s: float | None
) -> None:
    """The dead one's clock may have been an hour ahead."""
    held(api, renewed_s)
    time = Time()
    with claim(api, SETTINGS, NAME, time.clock()) as mine:
        assert mine
        assert time.passed_s >= 2 * claims._RENEWAL_S
        assert api.objects[KEY]["data"]["holder"] != "somebody"
    assert KEY not in api.objects


@pytest.mark.parametrize("renewed_s", [-3600.0, 3600.0])
def test_a_holder_whose_clock_is_wrong_is_alive_while_it_renews(
    api: FakeKubernetes, renewed_s: float
) -> None:
    held(api, renewed_s)

    def renewal() -> None:
        if time.passed_s == claims._RENEWAL_S:
            text = (NOW + datetime.timedelta(seconds=renewed_s + time.passed_s)).isoformat()
            change = {"data": {"renewed": text}}
            api.patch("v1", "ConfigMap", NAME, "default", change)

    time = Time(renewal)
    assert not claimed(api, time)
    assert api.objects[KEY]["data"]["holder"] == "somebody"


def test_a_lease_that_ends_while_it_is_watched_is_free(api: FakeKubernetes) -> None:
    held(api, -60.0)

    def end() -> None:
        with contextlib.suppress(KeyError):
            del api.objects[KEY]

    assert claimed(api, Time(end))


def test_of_two_that_take_over_one_wins(api: FakeKubernetes) -> None:
    held(api, -60.0)

    def other() -> None:
        if time.passed_s >= claims._WATCHED_S and not won:
            won.append(True)
            found = api.get("v1", "ConfigMap", NAME, "default")
            assert found is not None
            found["data"]["holder"] = "quicker"
            assert api.replace(found) is not None

    won: list[bool] = []
    time = Time(other)
    assert not claimed(api, time)
    assert api.objects[KEY]["data"]["holder"] == "quicker"


def test_a_holder_that_was_frozen_too_long_takes_nothing_back(api: FakeKubernetes) -> None:
    time = Time()
    with claim(api, SETTINGS, NAME, time.clock()) as mine:
        assert mine
        lease = api.get("v1", "ConfigMap", NAME, "default")
        assert lease is not None
        assert claims.renew(api, lease, time.clock())
        del api.objects[KEY]
        held(api, 0.0, "successor")
        before = dict(api.objects[KEY]["data"])
        assert not claims.renew(api, lease, time.clock())
        assert api.objects[KEY]["data"] == before
    assert api.objects[KEY]["data"]["holder"] == "successor"


def test_work_that_succeeded_does_not_fail_for_a_claim_that_cannot_be_given_back(
    api: FakeKubernetes, caplog: pytest.LogCaptureFixture
) -> None:
    with claim(api, SETTINGS, NAME) as mine:
        assert mine
        api.refused["delete", "ConfigMap"] = Refused("the API server is away", 503)
    assert "is not given back: the API server is away" in caplog.text


def test_a_right_that_is_missing_is_told(api: FakeKubernetes) -> None:
    api.refused["create", "ConfigMap"] = Refused("configmaps is forbidden", 403)
    with (
        pytest.raises(ClipperException, match="configmaps is forbidden"),
        claim(api, SETTINGS, NAME),
    ):
        pass
