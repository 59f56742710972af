"""What every deployment's report must say (spec §12.4)."""

from __future__ import annotations

from typing import Any

PROBES = 25


def assert_served(check: dict[str, Any], accuracy: float) -> None:
    """All probes were HTTP 200, few of them defaults, and the others right.

    Args:
        accuracy: least part of the answers that are the true labels.
    """
    assert check["statuses"] == [200] * PROBES
    assert check["defaults"] <= PROBES // 2, check
    assert check["differences"] == [], "answers differ from the same function called locally"
    assert check["accuracy"] >= accuracy


def assert_unlinked(check: dict[str, Any]) -> None:
    """Before a model is linked the application answers its default."""
    assert check["statuses"] == [200]
    assert check["defaults"] == 1
    assert check["default_outputs"] == ["default_pred"]
