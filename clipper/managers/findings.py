"""What `clipper doctor` finds."""

from __future__ import annotations

import dataclasses
from typing import Any


@dataclasses.dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. It is a problem when it has a next step."""

    check: str
    detail: str
    next_step: str = ""

    @property
    def is_problem(self) -> bool:
        """Whether the user should do something."""
        return bool(self.next_step)

    def as_json(self) -> dict[str, Any]:
        """Plain values for programs."""
        return {"ok": not self.is_problem, **dataclasses.asdict(self)}
