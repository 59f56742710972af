"""`ClipperConnection`, everything that an operator can do with a cluster (spec §10.2)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from clipper.admin.applications import ApplicationMethods
from clipper.admin.cluster import ClusterMethods
from clipper.admin.deployment import DeploymentMethods
from clipper.admin.dry_run import dry_run


class ClipperConnection(ClusterMethods, ApplicationMethods, DeploymentMethods):
    """Connection to one cluster: the manager starts processes, HTTP configures them.

    Every method raises UnconnectedException before `connect` or `start_clipper`, except
    `stop_all`, `build_model` and `test_predict_function`; ClipperException for every refusal;
    and `requests` exceptions when a frontend cannot be reached. Use it from one thread.

    Attributes:
        connected: whether there is a cluster to talk to.
        cm: the container manager.
    """

    def test_predict_function(
        self,
        query: Mapping[str, Any],
        func: Callable[[list[Any]], Any],
        input_type: str,
    ) -> Any:
        """Run ``func`` here on ``{"input": …}`` or ``{"input_batch": …}``, as a container would.

        Returns:
            What ``func`` returned, or a text saying why the query or the function is not valid.
        """
        return dry_run(query, func, input_type)
