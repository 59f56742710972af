"""Settings of the management frontend."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class ManagementSettings:
    """Limits and deadlines of the management API."""

    max_body_bytes: int = 1024 * 1024
    """Larger request bodies are refused with 413; no registration comes near."""
    body_timeout_s: float = 30.0
    """Longest time for a request's body to arrive; then 408."""
    in_force_timeout_s: float = 2.5
    """Longest wait for the frontends to apply a write; a little over two lease renewals."""
    first_poll_s: float = 0.005
    """First wait between two looks at the leases; grows up to the next field."""
    max_poll_s: float = 0.05
