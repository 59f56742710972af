"""Do three frontend workers get as much out of one replica as one does? (design decision 3)

``python -m benchmarks.shared_replica`` runs the same load against both in turn and prints the
ratio of the medians; it must be at least 0.9. The model sleeps for each batch, so that the replica
is the bottleneck and not this machine's processors.
"""

from __future__ import annotations

import statistics
import sys
import time
from typing import Any

from rich.console import Console

from benchmarks.processes import HOST, LoadGenerator, clipper_cluster, load_generator, serve
from benchmarks.spec import Inputs, LoadSpec
from clipper.admin.connection import ClipperConnection
from clipper.deployers.python import deploy_python_closure

BATCH_SIZE = 8
BATCH_S = 0.010
CONNECTIONS = 48
ROUNDS = 3
DURATION_S = 4.0
SLO_S = 1.0
LEAST_RATIO = 0.9


def sleeper(inputs: Any) -> list[float]:
    """Answer after a fixed time, whatever the batch."""
    time.sleep(BATCH_S)
    return [float(x[0]) for x in inputs]


def _start(connection: ClipperConnection) -> None:
    def deploy() -> None:
        deploy_python_closure(connection, "shared", 1, "doubles", sleeper, batch_size=BATCH_SIZE)

    serve(connection, "shared", SLO_S, deploy)


def _measure(generator: LoadGenerator, connection: ClipperConnection, first_number: int) -> float:
    spec = LoadSpec(
        host=HOST,
        port=int(connection.get_query_addr().rpartition(":")[2]),
        path="/shared/predict",
        values=[0.5] * 8,
        connections=CONNECTIONS,
        duration_s=DURATION_S,
        inputs=Inputs.DISTINCT,
        first_number=first_number,
        slo_s=SLO_S,
    )
    return generator.run(spec).goodput


def main() -> int:
    """Run both, alternating; return 0 when the ratio holds."""
    console = Console(highlight=False)
    rates: dict[int, list[float]] = {1: [], 3: []}
    with clipper_cluster(1) as (one, _), clipper_cluster(3) as (three, _):
        for connection in (one, three):
            _start(connection)
        with load_generator() as generator:
            for number in range(ROUNDS):
                for workers, connection in ((1, one), (3, three)):
                    rate = _measure(generator, connection, number * 1_000_000)
                    rates[workers].append(rate)
                    console.print(f"{workers} worker(s): {rate:6.0f} good answers/s")
    ratio = statistics.median(rates[3]) / statistics.median(rates[1])
    verdict = "holds" if ratio >= LEAST_RATIO else "does NOT hold"
    console.print(
        f"three workers reach {ratio:.2f} of one on a shared replica "
        f"(ideal {BATCH_SIZE / BATCH_S:.0f}/s): at least {LEAST_RATIO} {verdict}"
    )
    return 0 if ratio >= LEAST_RATIO else 1


if __name__ == "__main__":
    sys.exit(main())
