"""``python -m benchmarks.experiments [--only e05,e09] [--output DIR]``

Runs experiments one after the other; each publishes CSV, PNG and JSON verdicts.
"""

from __future__ import annotations

import argparse
import importlib
import time
from pathlib import Path

from benchmarks.publishing import publish
from benchmarks.recorder import RESULTS
from benchmarks.verdict import new_console

EXPERIMENTS = {
    "e01": "latency_profiles",
    "e05": "delayed_batching",
    "e07": "caching",
    "e09": "replica_scaling",
    "e16": "overload",
    "e20": "overhead",
    "quality-real": "quality_real",
}


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.experiments", description=__doc__)
    parser.add_argument("--only", default=",".join(EXPERIMENTS), help="with commas between")
    parser.add_argument("--output", type=Path, default=RESULTS)
    options = parser.parse_args()
    console = new_console()
    for name in options.only.split(","):
        if name not in EXPERIMENTS:
            parser.error(f"there is no experiment {name!r}: {', '.join(EXPERIMENTS)}")
    for name in options.only.split(","):
        module = importlib.import_module(f"benchmarks.experiments.{EXPERIMENTS[name]}")
        begun_s = time.monotonic()
        publish(console, options.output, module.run())
        console.print(f"  {time.monotonic() - begun_s:.0f} s")


if __name__ == "__main__":
    main()
