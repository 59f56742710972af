"""``python -m benchmarks.selection [--experiment E10 E11] [--output DIR]``

Runs experiments on model selection one after the other; each publishes CSV, PNG and JSON verdicts.
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
    "E8": "e08_feedback",
    "E10": "e10_failure",
    "E11": "e11_ensembles",
    "E12": "e12_default_action",
    "E13": "e13_stragglers",
    "E14": "e14_users",
    "E15": "e15_cascade",
}


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.selection", description=__doc__)
    parser.add_argument(
        "--experiment", nargs="+", choices=EXPERIMENTS, default=list(EXPERIMENTS), metavar="NAME"
    )
    parser.add_argument("--output", type=Path, default=RESULTS)
    options = parser.parse_args()
    console = new_console()
    for name in options.experiment:
        module = importlib.import_module(f"benchmarks.selection.{EXPERIMENTS[name]}")
        begun_s = time.monotonic()
        publish(console, options.output, module.run())
        console.print(f"  {time.monotonic() - begun_s:.0f} s")


if __name__ == "__main__":
    main()
