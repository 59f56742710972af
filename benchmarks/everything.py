"""The whole benchmark suite, one part after the other: ``make bench-all``.

``python -m benchmarks.everything [--output DIR] [--soak-minutes 30]``

Each part is a program of its own and is run as one; a part that fails does not stop the others.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks.processes import environment
from benchmarks.recorder import RESULTS
from benchmarks.verdict import Verdict, new_console, print_verdicts


def parts(output: Path, soak_minutes: float) -> list[list[str]]:
    """Return the command line of each part, behind ``python -m``."""
    to = ["--output", str(output)]
    found = [["benchmarks.ladder", *to], ["benchmarks.stages", *to]]
    if importlib.util.find_spec("benchmarks.simulation") is not None:
        found.append(["benchmarks.simulation", *to])
    found += [["benchmarks.selection", *to], ["benchmarks.experiments", *to]]
    found.append(["benchmarks.scale", *to])
    found.append(["benchmarks.shared_replica"])
    if soak_minutes > 0:
        found.append(["benchmarks.soak", *to, "--minutes", f"{soak_minutes:g}"])
    return found


def verdicts_in(directory: Path) -> list[Verdict]:
    """Return the verdicts of every result in a directory, with the result's name in front."""
    found = []
    for path in sorted(directory.rglob("*.json")):
        document = json.loads(path.read_text(encoding="utf-8"))
        saved = document.get("verdicts", []) if isinstance(document, dict) else []
        found += [_verdict(path.stem, one) for one in saved]
    return found


def _verdict(result: str, saved: dict[str, Any]) -> Verdict:
    measured = float("nan") if saved.get("measured") is None else float(saved["measured"])
    name = f"{result}: {saved['name']}"
    return Verdict(name, measured, str(saved["bar"]), saved["holds"], str(saved.get("note", "")))


def run(console: Console, command: list[str]) -> bool:
    """Run one part in a process of its own; return whether it ended well."""
    console.rule(" ".join(command))
    begun_s = time.monotonic()
    status = subprocess.run(
        [sys.executable, "-m", *command], env=environment(), check=False
    ).returncode
    console.print(f"{command[0]}: status {status} after {time.monotonic() - begun_s:.0f} s")
    return status == 0


def main() -> int:
    """Run all parts; return 0 when every part ended well, whatever its verdicts are."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.everything", description=__doc__)
    parser.add_argument("--output", type=Path, default=RESULTS)
    parser.add_argument("--soak-minutes", type=float, default=30.0, help="0 leaves the soak out")
    options = parser.parse_args()
    console = new_console()
    failed = [
        command[0]
        for command in parts(options.output, options.soak_minutes)
        if not run(console, command)
    ]
    print_verdicts(console, verdicts_in(options.output), "All verdicts")
    if failed:
        console.print(f"did not end well: {', '.join(failed)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
