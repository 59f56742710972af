"""HTTP clients of the digits demo: plain threads with one connection each, as an application's."""

from __future__ import annotations

import dataclasses
import http.client
import itertools
import json
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from types import TracebackType

import numpy as np

TIMEOUT_S = 10.0


@dataclasses.dataclass(frozen=True)
class Answer:
    """What became of one query. Times in seconds on the monotonic clock."""

    sent_s: float
    answered_s: float
    version: str
    """Model version that answered; empty if none did."""
    correct: bool
    problem: str
    """Why there is no prediction: a default's reason or a failure; empty if there is one."""

    @property
    def good(self) -> bool:
        """Whether the query got a prediction and not a default or an error."""
        return not self.problem

    @property
    def latency_s(self) -> float:
        """From sending the request to having read its answer."""
        return self.answered_s - self.sent_s


def accuracy(answers: Sequence[Answer]) -> float:
    """Return the share of right digits; 0 without answers."""
    return sum(a.correct for a in answers) / len(answers) if answers else 0.0


class Client:
    """One connection to the query frontend, kept open between queries. For one thread."""

    def __init__(self, address: str, app: str) -> None:
        self._connection = http.client.HTTPConnection(address, timeout=TIMEOUT_S)
        self._path = f"/{app}/predict"

    def ask(self, image: np.ndarray, label: int) -> Answer:
        """Send one image and judge the answer. Never repeats a query: a lost one shows."""
        body = json.dumps({"input": image.tolist()})
        sent_s = time.monotonic()
        try:
            self._connection.request("POST", self._path, body)
            reply = self._connection.getresponse()
            text = reply.read()
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            return Answer(sent_s, time.monotonic(), "", False, type(error).__name__)
        answered_s = time.monotonic()
        problem = reply.headers.get("X-Clipper-Default", "")
        if problem or reply.status != 200:
            return Answer(sent_s, answered_s, "", False, problem or f"HTTP {reply.status}")
        output = json.loads(text)["output"]
        return Answer(sent_s, answered_s, output["version"], output["digit"] == label, "")

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


def send_once(
    address: str, app: str, images: np.ndarray, labels: np.ndarray, clients: int
) -> list[Answer]:
    """Send every image once, as fast as the clients together can."""
    jobs = zip(images, labels, strict=True)
    lock = threading.Lock()
    answers: list[Answer] = []

    def next_jobs() -> Iterator[tuple[np.ndarray, int]]:
        while True:
            with lock:
                job = next(jobs, None)
            if job is None:
                return
            yield job

    def work() -> None:
        _ask_all(Client(address, app), next_jobs(), answers)

    threads = [threading.Thread(target=work, daemon=True) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers


def _ask_all(client: Client, jobs: Iterable[tuple[np.ndarray, int]], answers: list[Answer]) -> None:
    try:
        for image, label in jobs:
            answers.append(client.ask(image, label))
    finally:
        client.close()


class Traffic:
    """Steady queries from several clients for as long as the ``with`` block runs.

    Every query differs a little from all others, so that a model must compute each answer: what
    the cache answers would prove nothing about a rollout.
    """

    def __init__(
        self,
        address: str,
        app: str,
        images: np.ndarray,
        labels: np.ndarray,
        clients: int,
        pause_s: float = 0.02,
    ) -> None:
        """Describe the traffic.

        Args:
            pause_s: how long each client rests between two queries, to leave the processors of a
                small machine to the cluster.
        """
        self.answers: list[Answer] = []
        self._images = images
        self._labels = labels
        self._pause_s = pause_s
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(
                target=self._work, args=(Client(address, app), i, clients), daemon=True
            )
            for i in range(clients)
        ]

    def run_for(self, duration_s: float, tell: Callable[[str], None]) -> None:
        """Return after so many seconds, reporting the count meanwhile."""
        end_s = time.monotonic() + duration_s
        while time.monotonic() < end_s:
            tell(f"{len(self.answers)} queries answered")
            time.sleep(0.1)

    def __enter__(self) -> Traffic:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _work(self, client: Client, first: int, step: int) -> None:
        _ask_all(client, self._changed_images(first, step), self.answers)

    def _changed_images(self, first: int, step: int) -> Iterator[tuple[np.ndarray, int]]:
        for number in itertools.count(first, step):
            if self._stop.wait(self._pause_s):
                return
            image = self._images[number % len(self._images)].copy()
            # The corner pixel is blank in every image and says nothing about the digit.
            image[0] = (number + 1) * 1e-7
            yield image, self._labels[number % len(self._images)]
