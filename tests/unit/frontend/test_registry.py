"""Replica numbers, admission, and the list of workers that containers dial."""

from __future__ import annotations

import pytest

from clipper.datatypes import InputType, VersionedModelId
from clipper.replicas.session import Refusal
from clipper.store.base import WorkerLease
from tests.unit.query.support import Bench, Container

MODEL = VersionedModelId("m", "1")


def lease(worker_id: str, address: str) -> WorkerLease:
    return WorkerLease(worker_id, address, applied_revision=1, epoch=1)


async def test_numbers_come_from_the_store_and_stay_with_their_instance() -> None:
    bench = Bench()
    numbers = [await bench.registry.replica_number(MODEL, name) for name in ("a", "b", "a")]

    assert numbers == [0, 1, 0]


async def test_without_the_store_numbers_come_from_a_range_of_their_own() -> None:
    bench = Bench()
    bench.store.up = False

    numbers = [await bench.registry.replica_number(MODEL, name) for name in ("a", "b")]

    assert numbers == [1000, 1001]


def test_a_container_of_another_input_type_is_told_what_to_set() -> None:
    bench = Bench()
    bench.configure(models=[bench.model_record()])
    bench.registry.check(MODEL, InputType.STRINGS)
    bench.registry.check(VersionedModelId("unregistered", "1"), InputType.DOUBLES)

    with pytest.raises(Refusal, match="set CLIPPER_INPUT_TYPE=strings") as caught:
        bench.registry.check(MODEL, InputType.DOUBLES)
    assert not caught.value.retryable


def lists_of(container: Container) -> list[dict[str, str]]:
    container.read()
    return [
        {worker.worker_id: worker.address for worker in message.worker_list.workers}
        for message in container.others
        if message.WhichOneof("message") == "worker_list"
    ]


def test_containers_hear_of_new_workers_once_and_always_of_this_one() -> None:
    bench = Bench()
    container = bench.serve()
    for _ in range(2):
        bench.registry.set_workers([lease("qf-1", "there:7001")])
    bench.registry.set_workers([])

    both = {"qf-0": "here:7000", "qf-1": "there:7001"}
    assert lists_of(container) == [both, {"qf-0": "here:7000"}]
