"""Request bodies of the management API and the wait for the frontends, without a store."""

from __future__ import annotations

import json
from collections.abc import Collection

import pytest

from clipper.errors import JsonFault, NotInForce, StoreUnavailable
from clipper.management.in_force import laggards, wait_until_in_force
from clipper.management.schemas import AddApp, AddModel, RequestBody, UserState, Verbose, decode
from clipper.management.settings import ManagementSettings
from clipper.store.base import WorkerLease

APP = {"name": "a", "input_type": "d", "default_output": "0", "latency_slo_micros": 1}


def test_unknown_keys_are_ignored_and_null_is_absent_for_optional_ones() -> None:
    body = decode(json.dumps({**APP, "x": 1, "policy": None}).encode(), AddApp)
    assert body.name == "a"
    assert body.policy is None
    assert body.isolate_cache is None


@pytest.mark.parametrize(
    ("kind", "body", "detail"),
    [
        (AddApp, {}, "JSON object does not have required key: name"),
        (AddApp, [], "Can only get key-value pair from an object"),
        (
            AddApp,
            {**APP, "default_output": 0},
            "Type mismatch! JSON key default_output expected type Stringbut found type Number",
        ),
        (
            AddApp,
            {**APP, "latency_slo_micros": 2**31},
            "PredictionData of type Number is not of type int",
        ),
        (
            AddApp,
            {**APP, "isolate_cache": 1},
            "Type mismatch! JSON key isolate_cache expected type bool but found type Number",
        ),
        (
            Verbose,
            {"verbose": "yes"},
            "Type mismatch! JSON key verbose expected type bool but found type String",
        ),
        (
            AddModel,
            {"model_name": "m", "model_version": 1},
            "Type mismatch! JSON key model_version expected type Stringbut found type Number",
        ),
        (
            AddModel,
            {"model_name": "m", "model_version": "1", "labels": [1]},
            "Array input of type Number is not of type string",
        ),
    ],
)
def test_faults_have_the_originals_words(
    kind: type[RequestBody], body: object, detail: str
) -> None:
    with pytest.raises(JsonFault) as caught:
        decode(json.dumps(body).encode(), kind)
    assert caught.value.msg.startswith(
        f"Error parsing JSON: {detail}. Expected JSON schema: \n  {{"
    )


def test_user_ids_have_64_bits() -> None:
    assert decode(b'{"app_name": "a", "uid": -9223372036854775808}', UserState).uid == -(2**63)


class Leases:
    """A store that shows one list of leases after the other; the last one stays."""

    def __init__(self, *shown: list[WorkerLease] | StoreUnavailable) -> None:
        self._shown = list(shown)
        self.now = 0.0
        self.pauses: list[float] = []

    async def read_leases(self) -> list[WorkerLease]:
        answer = self._shown.pop(0) if len(self._shown) > 1 else self._shown[0]
        if isinstance(answer, StoreUnavailable):
            raise answer
        return answer

    async def sleep(self, duration_s: float) -> None:
        self.pauses.append(duration_s)
        self.now += duration_s

    async def wait(self, revision: int, expected: Collection[str] = ()) -> frozenset[str]:
        return await wait_until_in_force(
            self, revision, ManagementSettings(), lambda: self.now, self.sleep, expected  # type: ignore[arg-type]
        )  # fmt: skip


def lease(worker: str, applied: int) -> WorkerLease:
    return WorkerLease(worker, f"{worker}:7000", applied, 1)


def test_laggards_are_those_behind() -> None:
    assert laggards([lease("a", 3), lease("b", 4), lease("c", 5)], 4) == [lease("a", 3)]


async def test_nobody_to_wait_for_means_no_wait() -> None:
    leases = Leases([])
    await leases.wait(1)
    assert leases.pauses == []


async def test_workers_whose_leases_a_store_outage_ended_are_waited_for() -> None:
    leases = Leases([], [], [lease("a", 0)], [lease("a", 1)], [lease("a", 1), lease("b", 1)])

    assert await leases.wait(1, {"a", "b"}) == {"a", "b"}
    assert len(leases.pauses) == 4


async def test_a_worker_that_does_not_come_back_counts_no_more_after_the_deadline() -> None:
    leases = Leases([], [lease("a", 1)])
    assert await leases.wait(1, {"a", "b"}) == {"a"}
    assert 2.5 <= leases.now < 2.6


async def test_one_that_left_others_behind_is_not_waited_for() -> None:
    leases = Leases([lease("a", 1)])
    assert await leases.wait(1, {"a", "b"}) == {"a"}
    assert leases.pauses == []


async def test_polls_grow_from_5_to_50_ms_until_all_have_applied() -> None:
    leases = Leases(*[[lease("a", 0), lease("b", 1)]] * 12, [lease("a", 1), lease("b", 1)])
    await leases.wait(1)
    assert leases.pauses[0] == 0.005
    assert leases.pauses[-1] == 0.05
    assert leases.pauses == sorted(leases.pauses)


async def test_the_deadline_names_the_laggard_only() -> None:
    leases = Leases([lease("a", 0), lease("b", 1)])
    with pytest.raises(NotInForce, match="worker a at a:7000 has applied revision 0") as caught:
        await leases.wait(1)
    assert "worker b" not in caught.value.msg
    assert 2.5 <= leases.now < 2.6


async def test_a_store_that_goes_away_during_the_wait_is_no_failed_write() -> None:
    gone = StoreUnavailable("away")
    await Leases(gone, [lease("a", 1)]).wait(1)
    with pytest.raises(NotInForce, match=r"IS stored.*could not be asked \(away\)"):
        await Leases(gone).wait(1)
