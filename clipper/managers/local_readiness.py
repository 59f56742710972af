"""Waiting until a local cluster answers, or until it is clear that it will not."""

from __future__ import annotations

import http.client
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from clipper.errors import ContainerStartError
from clipper.managers.local_notices import death_notice
from clipper.managers.local_state import tail

_DEATHS_ALLOWED = 1
"""One death is forgiven, such as a port that is released a moment late."""

_PROBE_TIMEOUT_S = 2.0


def wait_until_ready(
    endpoints: Sequence[tuple[str, int, str]],
    status: Callable[[], dict[str, Any]],
    roles: Sequence[str],
    deadline_s: float,
) -> None:
    """Return when every endpoint (host, port, path) answers 200.

    Args:
        status: the supervisor's status.
        roles: services whose repeated death ends the wait.
        deadline_s: seconds from now.

    Raises:
        ContainerStartError: a process keeps dying or the time is over; with its last log lines.
    """
    deadline = time.monotonic() + deadline_s
    pending = list(endpoints)
    while pending:
        pending = [endpoint for endpoint in pending if not _answers(*endpoint)]
        if not pending:
            return
        children = [row for row in status()["children"] if row["role"] in roles]
        for row in children:
            if row["restarts"] > _DEATHS_ALLOWED:
                raise ContainerStartError(
                    f"While the cluster started, the {row['role']} {death_notice(row)}"
                )
        if time.monotonic() > deadline:
            raise ContainerStartError(_late_notice(pending, children, deadline_s))
        time.sleep(0.05)


def _answers(host: str, port: int, path: str) -> bool:
    connection = http.client.HTTPConnection(host, port, timeout=_PROBE_TIMEOUT_S)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _late_notice(
    pending: Sequence[tuple[str, int, str]], children: Sequence[dict[str, Any]], limit_s: float
) -> str:
    missing = ", ".join(f"http://{host}:{port}{path}" for host, port, path in pending)
    logs = "\n".join(f"{row['log']}:\n{tail(Path(row['log']), 5)}" for row in children)
    return f"The cluster was not ready after {limit_s:.0f} s: no answer from {missing}.\n{logs}"
