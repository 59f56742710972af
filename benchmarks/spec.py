"""What one run of the load generator is to do."""

from __future__ import annotations

import dataclasses
import enum


class Inputs(enum.StrEnum):
    """Which inputs the requests of a run have."""

    SAME = "same"
    DISTINCT = "distinct"
    ZIPF = "zipf"


@dataclasses.dataclass(frozen=True, slots=True)
class LoadSpec:
    """One run. Times in seconds."""

    host: str
    port: int
    path: str
    values: list[float]
    """The input; its first element varies with the number of the input."""
    body: str = dataclasses.field(default="", kw_only=True)
    """The body for a server with another form than Clipper's: `wire.SLOT` is its first element."""
    connections: int
    duration_s: float
    inputs: str = Inputs.SAME
    first_number: int = 0
    """Inputs are numbered from here."""
    keys: int = 1
    """How many inputs there are, when they are drawn from a Zipf distribution."""
    zipf_exponent: float = 1.0
    warmup_s: float = 0.2
    """Not measured, before a closed loop that Python does."""
    slo_s: float = 0.1
    rate: float = 0.0
    """Requests per second of the open loop; 0 means closed loop."""
    cv: float = 1.0
    """Burstiness of the open loop's arrivals: 1 is a Poisson process."""
    seed: int = 0
    verify: bool = False
    """Whether each output must be the number of its input, and any other counts as wrong."""
    inspect: bool = False
    """Whether ``wrk`` looks for defaults, at one or two microseconds for each answer."""
    use_wrk: bool = True
    """Whether a closed loop may use ``wrk``."""
