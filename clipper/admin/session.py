"""What every group of client methods shares: manager, transport, clock, log prefix."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, MutableMapping
from typing import Any

from clipper.admin.http import AdminHttp, Http, Reply
from clipper.errors import ClipperException, UnconnectedException
from clipper.managers.base import ContainerManager

LOGGER = logging.getLogger("clipper.admin")


class ClusterAdapter(logging.LoggerAdapter[logging.Logger]):
    """Prefixes every message with ``[<cluster identifier>]`` (spec §10.1)."""

    def process(
        self, msg: Any, kwargs: MutableMapping[str, Any]
    ) -> tuple[Any, MutableMapping[str, Any]]:
        """Add the prefix."""
        extra = self.extra or {}
        return f"[{extra['cluster_name']}] {msg}", kwargs


class Session:
    """A manager and the HTTP transport to the cluster that it looks after. Not thread safe."""

    def __init__(
        self,
        container_manager: ContainerManager,
        *,
        http: Http | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.connected = False
        self.cm = container_manager
        self.logger = ClusterAdapter(LOGGER, {"cluster_name": container_manager.cluster_identifier})
        self._http: Http = http or AdminHttp()
        self._clock = clock
        self._sleep = sleep

    def _require_connection(self) -> None:
        if not self.connected:
            raise UnconnectedException

    def _command(self, operation: str, **body: object) -> str:
        """Run a management operation and return its body text."""
        return self._manage(operation, body).text

    def _question(self, operation: str, **body: object) -> Any:
        """Run a management operation and return its JSON answer."""
        return self._manage(operation, body).json()

    def _manage(self, operation: str, body: dict[str, object]) -> Reply:
        self._require_connection()
        url = f"http://{self.cm.get_admin_addr()}/admin/{operation}"
        return self._checked(self._http.post(url, body))

    def _checked(self, reply: Reply) -> Reply:
        if reply.status != 200:
            text = f"Received error status code: {reply.status} and message: {reply.text}"
            self.logger.error(text)
            raise ClipperException(text)
        return reply
