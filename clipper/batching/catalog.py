"""Policy name → batch-size policy."""

from __future__ import annotations

from collections.abc import Callable

from clipper.batching.aimd import AimdPolicy
from clipper.batching.fixed import FixedPolicy
from clipper.batching.policy import BatchSizePolicy
from clipper.batching.quantile import QuantilePolicy

FIXED = "fixed"
_ADAPTIVE: dict[str, Callable[[], BatchSizePolicy]] = {
    "aimd": AimdPolicy,
    "quantile": QuantilePolicy,
}


def batch_policy_names() -> tuple[str, ...]:
    """Return the names that model versions can be registered with, the default one first."""
    return (*_ADAPTIVE, FIXED)


def make_batch_policy(name: str, batch_size: int) -> BatchSizePolicy:
    """Return a fresh controller for one replica.

    Args:
        name: one of `batch_policy_names`; any other, from another version, means the default.
        batch_size: above 0 it is the size, whatever the name; -1: the policy finds it.
    """
    return FixedPolicy(batch_size) if batch_size > 0 else _ADAPTIVE.get(name, AimdPolicy)()
