"""`logs` on Kubernetes: only what is shown is fetched, not every log as a whole."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Protocol

_PAUSE_S = 1.0


class Log(Protocol):
    """One container's log."""

    @property
    def role(self) -> str:
        """As `ProcessRow` has it."""

    @property
    def pod(self) -> str:
        """Name of its pod."""

    @property
    def name(self) -> str:
        """Tells it from all others."""


class Line(Protocol):
    """A line of a log."""

    @property
    def text(self) -> str:
        """Without its time."""


class Logs(Protocol):
    """What the Kubernetes manager gives: see `clipper.managers.kubernetes.pod_logs`."""

    def present(self) -> Sequence[Log]:
        """Return the logs that there are now."""

    def end(self, log: Log, lines: int) -> Sequence[Line]:
        """Return the last lines."""

    def after(self, log: Log, last: Line | None) -> Sequence[Line]:
        """Return the lines after one."""


class PodLogSource:
    """The logs that a target names, of the pods that there are."""

    def __init__(self, logs: Logs, target: str | None) -> None:
        self._logs = logs
        self._target = target
        self._last: dict[str, Line | None] = {}
        self.names: set[str] = set()

    def tails(self, lines: int) -> dict[str, list[str]]:
        """Return the last lines of every chosen log."""
        present = self._logs.present()
        self.names = {log.name for log in present}
        found = {}
        for log in present:
            if is_pod_log_of(log.role, log.pod, log.name, self._target):
                end = self._logs.end(log, max(lines, 1))
                self._last[log.name] = end[-1] if end else None
                found[log.name] = [line.text for line in end[-lines:]] if lines else []
        return found

    def new_lines(self) -> Iterator[tuple[str, str]]:
        """Yield (log, line) for ever as lines appear, those of new pods too."""
        while True:
            time.sleep(_PAUSE_S)
            for log in self._logs.present():
                if not is_pod_log_of(log.role, log.pod, log.name, self._target):
                    continue
                for line in self._logs.after(log, self._last.get(log.name)):
                    self._last[log.name] = line
                    yield log.name, line.text


def is_pod_log_of(role: str, pod: str, name: str, target: str | None) -> bool:
    """Return whether a log belongs to a process, a model (``m`` or ``m:1``), or a pod."""
    if target is None or target in (role, pod, name):
        return True
    return role == f"model:{target}" or role.startswith(f"model:{target}:")
