"""The logs of a cluster's pods, read in parts: their ends, and what was added since."""

from __future__ import annotations

import dataclasses
import logging
import re
from collections.abc import Iterator
from pathlib import Path

from clipper.managers.kubernetes.api import KubernetesApi, Refused
from clipper.managers.kubernetes.inventory import Inventory
from clipper.managers.kubernetes.status import role_name

_log = logging.getLogger(__name__)

_TIME = re.compile(r"\d{4}-\d\d-\d\dT")


@dataclasses.dataclass(frozen=True, slots=True)
class LogOfContainer:
    """Where a log is."""

    role: str
    """As `ProcessRow` has it, such as ``store`` or ``model:<name>:<version>``."""
    pod: str
    container: str
    index: int
    """Of the container in its pod."""

    @property
    def name(self) -> str:
        """The name without ending of the file that ``get_logs`` makes of it."""
        return f"{self.pod}_{self.index}"


@dataclasses.dataclass(frozen=True, slots=True, order=True)
class Line:
    """A line of a log."""

    time: str
    """As the API writes it; later ones of one log compare greater."""
    text: str


class PodLogs:
    """Logs of the pods that there are at each moment."""

    def __init__(self, api: KubernetesApi, inventory: Inventory, namespace: str) -> None:
        self._api = api
        self._inventory = inventory
        self._namespace = namespace

    def present(self) -> list[LogOfContainer]:
        """Return every container's log, in the order of their names."""
        found = [
            LogOfContainer(role_name(pod), str(pod["metadata"]["name"]), str(one["name"]), index)
            for pod in self._inventory.pods()
            for index, one in enumerate(pod["spec"]["containers"])
        ]
        return sorted(found, key=lambda log: log.name)

    def end(self, log: LogOfContainer, lines: int) -> list[Line]:
        """Return the last lines; none while the container has not started."""
        return self._read(log, lines=lines)

    def after(self, log: LogOfContainer, last: Line | None) -> list[Line]:
        """Return the lines after one; all lines if there is none."""
        found = self._read(log, since=None if last is None else last.time)
        return found if last is None else [line for line in found if line.time > last.time]

    def copy_to(self, directory: Path) -> list[str]:
        """Copy every container's whole log into ``<pod>_<index>.log``; return the paths.

        One that has no log yet has no file.
        """
        paths = []
        for log in self.present():
            try:
                content = self._api.log(log.pod, self._namespace, log.container)
            except Refused as error:
                _log.warning("%s", error)
                continue
            path = directory / f"{log.name}.log"
            path.write_bytes(content)
            paths.append(str(path))
        return paths

    def _read(
        self, log: LogOfContainer, lines: int | None = None, since: str | None = None
    ) -> list[Line]:
        try:
            raw = self._api.log(
                log.pod, self._namespace, log.container,
                lines=lines, since=since, timestamps=True,
            )  # fmt: skip
        except Refused:
            return []
        return list(_lines(raw.decode(errors="replace")))


def _lines(text: str) -> Iterator[Line]:
    for line in text.splitlines():
        moment, _, said = line.partition(" ")
        if _TIME.match(moment):  # else a kubelet says in its own words that the log is gone
            yield Line(moment, said)
