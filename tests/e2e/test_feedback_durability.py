"""Feedback that was acknowledged is there, once, whatever was killed while it came in.

``CLIPPER_FEEDBACK_UPDATES=100000`` runs the same with as many labels as issue and paper speak of.
"""

from __future__ import annotations

import collections
import concurrent.futures
import dataclasses
import itertools
import os
import random
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import psutil
import pytest
import requests

from clipper.deployers import python as python_deployer
from tests.e2e.clusters import Cluster, eventually, local_cluster
from tests.e2e.stored_selection import stored_book, stored_log, stored_state

UPDATES = int(os.environ.get("CLIPPER_FEEDBACK_UPDATES", "20000"))
BATCH = 100
SENDERS = 4
USERS = 10
MODELS = "abc"
BY_QUERY = 20
"""Labels of each batch that name a query; the others bring user and input, and need a key."""

TIMEOUT_S = 120 + UPDATES // 200


def answering(name: str) -> Callable[[Any], list[Any]]:
    """Return a model that says its own name, or not, by the input."""

    def predict(inputs: Any) -> list[Any]:
        return [name if int(x[0]) % 3 else "nobody" for x in inputs]

    return predict


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with local_cluster(tmp_path_factory.mktemp("durable"), workers=2) as cluster:
        for name in MODELS:
            python_deployer.deploy_python_closure(
                cluster.connection, name, 1, "doubles", answering(name)
            )
        yield cluster


def register(cluster: Cluster) -> None:
    """Make the application; anew, and without a past, when the test runs again."""
    connection = cluster.connection
    if connection.get_all_apps():
        connection.unregister_application("app")
    connection.register_application("app", "doubles", "DEFAULT", 5_000_000, policy="epsilon-greedy")
    for name in MODELS:
        connection.link_model_to_app("app", name)


@dataclasses.dataclass
class Batch:
    """Labels that go out in one request, until they are acknowledged."""

    key: str
    updates: list[dict[str, Any]]
    attempts: int = 0


class Senders:
    """Threads that send batches, each until it is acknowledged, and some once more after that."""

    def __init__(self, url: str, batches: list[Batch]) -> None:
        self._url = url
        self._batches = iter(batches)
        self._lock = threading.Lock()
        self.acknowledged = 0
        """Labels, each once."""
        self.outcomes: collections.Counter[str] = collections.Counter()
        """Status codes and errors, of all attempts."""
        self.found_stored = 0
        """Labels that an earlier attempt had stored whose answer was lost or 503."""
        self.duplicates: list[dict[str, int]] = []
        """What was said of batches that had been acknowledged before."""

    def run(self, number: int) -> None:
        again = random.Random(number)
        while True:
            with self._lock:
                batch = next(self._batches, None)
            if batch is None:
                return
            counts = self._send(batch)
            assert counts["accepted"] + counts["duplicates"] == len(batch.updates)
            with self._lock:
                self.acknowledged += len(batch.updates)
                self.found_stored += counts["duplicates"]
            if again.random() < 0.05:
                self.duplicates.append(self._send(batch))

    def _send(self, batch: Batch) -> dict[str, int]:
        give_up_at = time.monotonic() + TIMEOUT_S
        while True:
            assert time.monotonic() < give_up_at, f"{batch.key} is never acknowledged"
            try:
                # Over a connection of its own, so that either frontend may get it.
                response = requests.post(
                    self._url,
                    json={"updates": batch.updates},
                    headers={"Idempotency-Key": batch.key},
                    timeout=30,
                )
            except requests.RequestException as error:
                self._count(type(error).__name__)
            else:
                self._count(str(response.status_code))
                if response.status_code == 200:
                    counts: dict[str, int] = response.json()
                    return counts
                assert response.status_code == 503, response.text
            time.sleep(0.02)

    def _count(self, outcome: str) -> None:
        with self._lock:
            self.outcomes[outcome] += 1


def predicted(cluster: Cluster, count: int) -> list[int]:
    """Return the ids of so many queries."""
    ids: list[int] = []
    while len(ids) < count:
        inputs = [[float(number)] for number in range(min(500, count - len(ids)))]
        parts = cluster.predict("app", input_batch=inputs)["batch_predictions"]
        ids += [part["query_id"] for part in parts]
    return ids


def batches(queries: list[int]) -> list[Batch]:
    numbers = itertools.count()
    named = iter(queries)
    made = []
    for first in range(0, UPDATES, BATCH):
        updates: list[dict[str, Any]] = [
            {"query_id": next(named), "label": "a"} for _ in range(BY_QUERY)
        ]
        updates += [
            {
                "uid": f"user {next(numbers) % USERS}",
                "input": [float(position)],
                "label": MODELS[position % len(MODELS)],
            }
            for position in range(BATCH - BY_QUERY)
        ]
        made.append(Batch(f"batch {first}", updates))
    return made


def kill_a_worker(cluster: Cluster) -> None:
    [supervisor] = cluster.pids("query-frontend")
    before = {child.pid for child in psutil.Process(supervisor).children()}
    os.kill(min(before), signal.SIGKILL)
    eventually(
        lambda: len({child.pid for child in psutil.Process(supervisor).children()} - before) == 1,
        "a new worker",
    )


def kill_the_store(cluster: Cluster) -> None:
    [before] = cluster.pids("store")
    os.kill(before, signal.SIGKILL)
    eventually(lambda: set(cluster.pids("store")) - {before}, "a new store")


@pytest.mark.timeout(TIMEOUT_S)
def test_no_acknowledged_update_is_lost_and_none_counts_twice(cluster: Cluster) -> None:
    register(cluster)
    queries = predicted(cluster, UPDATES * BY_QUERY // BATCH)
    senders = Senders(cluster.url("app", "update"), batches(queries))
    start_s = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(SENDERS) as threads:
        running = [threads.submit(senders.run, number) for number in range(SENDERS)]
        kills = [kill_the_store, kill_a_worker, kill_the_store]
        for place, kill in enumerate(kills, start=1):
            due = UPDATES * place // (len(kills) + 1)
            while senders.acknowledged < due and not all(task.done() for task in running):
                time.sleep(0.005)
            assert senders.acknowledged < UPDATES, "it was over before the last kill"
            kill(cluster)
        for task in running:
            task.result()
    duration_s = time.monotonic() - start_s

    print(  # for whoever runs the large one
        f"{UPDATES} updates in {duration_s:.1f} s; attempts: {dict(senders.outcomes)}; "
        f"{senders.found_stored} were stored when they were sent again; "
        f"{len(senders.duplicates)} batches were sent again although acknowledged",
        file=sys.stderr,
    )
    assert senders.acknowledged == UPDATES
    assert set(map(repr, senders.duplicates)) == {repr({"accepted": 0, "duplicates": BATCH})}
    assert set(senders.outcomes) > {"200"}, "nobody felt the outages"
    state = stored_state(cluster, "app")
    assert state.version == UPDATES
    assert stored_book(cluster, "app", "epsilon-greedy")["led/n"] == UPDATES
    assert len(stored_log(cluster, "app", 2 * UPDATES)) == min(UPDATES, 100_000)
    by_users = UPDATES * (BATCH - BY_QUERY) // BATCH
    users = [stored_state(cluster, "app", f"user {number}").version for number in range(USERS)]
    assert users == [by_users // USERS] * USERS
