"""Which workers to dial, and when again. Pure: clock and randomness come from the caller."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable

FORGET_UNLISTED_S = 30.0
SLOW_RETRY_S = 30.0

_FIRST_PAUSE_S = 0.1
_EAGER_FOR_S = 300.0
_EAGER_CAP_S = 2.0
_PATIENT_CAP_S = 5.0


def pause_s(attempt: int, waited_s: float, jitter: float) -> float:
    """Return how long to wait before dialling again.

    Args:
        attempt: Failed attempts in a row before this one; 0 for the first pause.
        waited_s: Time since the worker was last connected. For the first five minutes pauses stay
            under two seconds, so that a restarted frontend is found quickly.
        jitter: Random number in [0, 1): containers of one frontend must not dial in step.
    """
    cap = _EAGER_CAP_S if waited_s < _EAGER_FOR_S else _PATIENT_CAP_S
    return min(cap, _FIRST_PAUSE_S * 2.0 ** min(attempt, 16)) * (0.5 + jitter / 2)


@dataclasses.dataclass(slots=True)
class _Worker:
    address: str
    unlisted_since: float | None = None


class WorkerDirectory:
    """The workers that were ever listed and not yet forgotten (design decision 1).

    The list only adds: a worker is forgotten when it is not connected *and* has been unlisted for
    `FORGET_UNLISTED_S`, so that a frontend or store that lost its list costs no connection.
    """

    def __init__(self) -> None:
        self._workers: dict[str, _Worker] = {}
        self._dismissed: set[str] = set()

    def listed(self, workers: Iterable[tuple[str, str]], now: float) -> list[str]:
        """Take a complete list of (worker id, address) and return the ids that are new."""
        seen = dict(workers)
        new = [w for w in seen if w not in self._workers and w not in self._dismissed]
        for worker_id, worker in self._workers.items():
            if worker_id in seen:
                worker.address, worker.unlisted_since = seen[worker_id], None
            elif worker.unlisted_since is None:
                worker.unlisted_since = now
        self._workers.update((w, _Worker(seen[w])) for w in new)
        return new

    def dismissed(self, worker_id: str) -> None:
        """Forget a worker that does not want this container, whatever is listed later."""
        self._dismissed.add(worker_id)
        self._workers.pop(worker_id, None)

    def address(self, worker_id: str, now: float) -> str | None:
        """Return where to dial an unconnected worker; None when it is (now) forgotten."""
        worker = self._workers.get(worker_id)
        if worker is None:
            return None
        since = worker.unlisted_since
        if since is not None and now - since >= FORGET_UNLISTED_S:
            del self._workers[worker_id]
            return None
        return worker.address

    def addresses_of(self, worker_ids: Collection[str]) -> set[str]:
        """Return the addresses under which these workers are listed."""
        return {self._workers[w].address for w in worker_ids if w in self._workers}
