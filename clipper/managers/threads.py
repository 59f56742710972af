"""How many threads the numeric libraries inside one replica may start."""

from __future__ import annotations

from collections.abc import Mapping

_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)


def thread_settings(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that say so: as in ``environ``, else one thread.

    Replicas are processes: threads inside each would fight over the same cores.
    """
    return {name: environ.get(name, "1") for name in _VARIABLES}
