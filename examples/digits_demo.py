"""The whole life of a model in under a minute: deploy, predict, roll out, roll back, stop.

Run ``python examples/digits_demo.py``. It starts a cluster of its own on this host, serves two
classifiers of handwritten digits over HTTP, replaces one by the other while queries keep coming,
and ends with exit code 0 only if no query was lost and nothing is left running.
"""

from __future__ import annotations

import contextlib
import dataclasses
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from digits_traffic import Answer, Traffic, accuracy, send_once
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier

from clipper.admin.connection import ClipperConnection
from clipper.deployers.sklearn import deploy_sklearn_model
from clipper.errors import ClipperException
from clipper.managers.local import LocalContainerManager
from clipper.managers.ports import free_port, is_free

HOST = "127.0.0.1"
APP = "digits"
MODEL = "digit-classifier"
CLIENTS = 8
SLO_MICROS = 500_000
PAUSE_S = 1.5
"""How long traffic runs before, between and after the two switches."""

console = Console(highlight=False)


@dataclasses.dataclass(frozen=True)
class Digits:
    """Images of handwritten digits as 64 grey values, and what they show."""

    train_images: np.ndarray
    train_labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray


def load_images() -> Digits:
    """Half of scikit-learn's 1797 images to learn from, the other half to be asked about."""
    images, labels = load_digits(return_X_y=True)
    parts = train_test_split(images, labels, test_size=0.5, random_state=7, stratify=labels)
    train_images, test_images, train_labels, test_labels = parts
    return Digits(train_images, train_labels, test_images, test_labels)


def predictor(version: str) -> Callable[[Any, Any], list[str]]:
    """Return the function that runs in the model container; its answers name the version."""

    def predict(model: Any, images: Any) -> list[str]:
        return [f'{{"digit": {digit}, "version": "{version}"}}' for digit in model.predict(images)]

    return predict


class Checks:
    """What must hold; the exit code is 0 only if all of it does."""

    def __init__(self) -> None:
        self.failed: list[str] = []

    def check(self, holds: bool, claim: str) -> None:
        """Print the claim, and whether it holds."""
        verdict = "[green]OK[/]  " if holds else "[red]FAIL[/]"
        console.print(f"  {verdict} {claim}", soft_wrap=True)
        if not holds:
            self.failed.append(claim)


def choose_ports() -> tuple[int, int, int]:
    """Return query, management and RPC port: the usual ones, or free ones if they are taken."""
    ports = []
    for usual, purpose in ((1337, "query"), (1338, "management"), (7000, "container")):
        port = usual
        while port in ports or not is_free(HOST, port):
            port = free_port(HOST)
        if port != usual:
            console.print(f"{purpose} port {usual} is taken: using {port} instead")
        ports.append(port)
    return ports[0], ports[1], ports[2]


@contextlib.contextmanager
def waiting(what: str) -> Iterator[Callable[[str], None]]:
    """Show what is being waited for, and for how long; yields a function that changes the text."""
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    disable = not console.is_terminal
    with Progress(*columns, console=console, transient=True, disable=disable) as progress:
        task = progress.add_task(what, total=None)
        started_s = time.monotonic()
        yield lambda text: progress.update(task, description=f"{what}: {text}")
    console.print(f"[dim]{time.monotonic() - started_s:5.1f} s[/]  {what}")


def deploy(connection: ClipperConnection, version: str, model: Any, digits: Digits) -> None:
    """Train a model and deploy it; returns when it answers queries."""
    model.fit(digits.train_images, digits.train_labels)
    probe = digits.train_images[0].tolist()
    deploy_sklearn_model(
        connection, MODEL, version, "doubles", predictor(version), model, probe_input=probe
    )


def metric(connection: ClipperConnection, kind: str, name: str) -> dict[str, str]:
    """Return one entry of the query frontend's metrics, empty if it has none of that name."""
    for entry in connection.inspect_instance().get(kind, []):
        if name in entry:
            return dict(entry[name])
    return {}


def first_version(
    connection: ClipperConnection, address: str, digits: Digits, checks: Checks
) -> None:
    """Ask about every test image twice: the first time the model answers, then the cache."""
    with waiting(f"sending {len(digits.test_images)} images twice from {CLIENTS} clients"):
        passes = []
        for _ in range(2):
            started_s = time.monotonic()
            answers = send_once(address, APP, digits.test_images, digits.test_labels, CLIENTS)
            passes.append((answers, time.monotonic() - started_s))
    histogram = metric(connection, "histograms", f"model:{MODEL}:1:batch_size")
    ratio = metric(connection, "ratio_counters", f"model:{MODEL}:1:cache_hit_ratio")
    hits = round(float(ratio["ratio"]) * sum(len(answers) for answers, _ in passes))
    console.print(first_table(passes, histogram, hits))
    total = len(digits.test_images)
    answered = [sum(a.good for a in answers) for answers, _ in passes]
    checks.check(answered == [total, total], f"all {2 * total} queries answered by the model")
    checks.check(hits >= total, "the second time every image came from the cache")


def first_table(
    passes: list[tuple[list[Answer], float]], batches: dict[str, str], hits: int
) -> Table:
    """Return the figures of the two passes side by side."""
    table = Table("", "first time", "second time", title="Version 1 over HTTP")
    columns = [pass_figures(answers, duration_s) for answers, duration_s in passes]
    for name in columns[0]:
        table.add_row(name, *(column[name] for column in columns))
    size = f"mean {float(batches['mean']):.1f}, max {float(batches['max']):.0f}"
    table.add_row("batch size", size, "no batch needed")
    table.add_row("cache hits", "", str(hits))
    return table


def pass_figures(answers: list[Answer], duration_s: float) -> dict[str, str]:
    """Return accuracy, defaults, latencies and throughput of one pass as texts."""
    return {
        "accuracy": f"{accuracy(answers):.1%}",
        "defaults by reason": reasons(answers),
        "latency P50 / P95 / P99": percentiles(answers),
        "throughput": f"{len(answers) / duration_s:,.0f} queries/s",
    }


def percentiles(answers: list[Answer]) -> str:
    """Return the three latencies that matter, as a client saw them."""
    p50, p95, p99 = np.percentile([a.latency_s * 1e3 for a in answers], [50, 95, 99])
    return f"{p50:.1f} / {p95:.1f} / {p99:.1f} ms"


def reasons(answers: list[Answer]) -> str:
    """Return how often each reason for a missing prediction occurred."""
    found = [a.problem for a in answers if a.problem]
    return ", ".join(f"{name}: {found.count(name)}" for name in sorted(set(found))) or "none"


@dataclasses.dataclass(frozen=True)
class Call:
    """When an administrative call began and returned, on the traffic's clock."""

    began_s: float
    returned_s: float


def roll_out_and_back(
    connection: ClipperConnection, address: str, digits: Digits, checks: Checks
) -> None:
    """Replace version 1 by 2 and return to 1 while queries keep coming; nobody may notice."""
    with (
        waiting("rolling version 2 out under traffic, then back to 1") as tell,
        Traffic(address, APP, digits.test_images, digits.test_labels, CLIENTS) as traffic,
    ):
        traffic.run_for(PAUSE_S, tell)
        began_s = time.monotonic()
        deploy(connection, "2", SVC(gamma=0.001), digits)
        rollout = Call(began_s, time.monotonic())
        traffic.run_for(PAUSE_S, tell)
        began_s = time.monotonic()
        connection.set_model_version(MODEL, "1")
        rollback = Call(began_s, time.monotonic())
        traffic.run_for(PAUSE_S, tell)
    console.print(rollout_table(traffic.answers))
    check_rollout(traffic.answers, rollout, rollback, checks)


def rollout_table(answers: list[Answer]) -> Table:
    """Return what each version answered."""
    table = Table("answered by", "queries", "accuracy", "latency P50 / P95 / P99")
    table.title = "Rollout and rollback under traffic"
    for version in ("1", "2"):
        own = [a for a in answers if a.version == version]
        if own:
            table.add_row(
                f"version {version}", f"{len(own)}", f"{accuracy(own):.1%}", percentiles(own)
            )
    missing = sum(not a.good for a in answers)
    table.add_row("no version", str(missing), "", "" if not missing else reasons(answers))
    return table


def check_rollout(answers: list[Answer], rollout: Call, rollback: Call, checks: Checks) -> None:
    """Check that no query was lost and that every answer came from the right version."""
    lost = [a for a in answers if not a.good]
    checks.check(
        bool(answers) and not lost, f"no query lost: {len(answers)} sent, {len(lost)} lost"
    )
    before = [a for a in answers if a.version == "1" and a.sent_s < rollout.returned_s]
    after = [a for a in answers if a.version == "2"]
    checks.check(
        accuracy(after) > accuracy(before),
        f"accuracy {accuracy(before):.1%} before the rollout, {accuracy(after):.1%} after it",
    )
    if not after:
        return
    switched_s = min(a.answered_s for a in after)
    checks.check(
        switched_s > rollout.began_s,
        f"version 2 first answered {switched_s - rollout.began_s:.2f} s after the deploy call, "
        f"which took {rollout.returned_s - rollout.began_s:.2f} s",
    )
    between = [
        a for a in answers if rollout.returned_s < a.sent_s and a.answered_s < rollback.began_s
    ]
    checks.check(
        {a.version for a in between} == {"2"},
        f"once the call had returned only version 2 answered ({len(between)} queries)",
    )
    later = [a for a in answers if a.sent_s > rollback.returned_s]
    checks.check(
        {a.version for a in later} == {"1"},
        f"rollback took one call of {(rollback.returned_s - rollback.began_s) * 1e3:.0f} ms; "
        f"after it only version 1 answered ({len(later)} queries)",
    )


def processes_of(state_dir: str, pids: set[int]) -> list[int]:
    """Return which processes still run: the known ones, and any that name the state directory."""
    left = {pid for pid in pids if Path(f"/proc/{pid}").exists()}
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if state_dir.encode() in file.read_bytes():
                left.add(int(file.parent.name))
    return sorted(left)


def wait_until_gone(state_dir: str, pids: set[int], limit_s: float = 3.0) -> list[int]:
    """Give the last processes a moment to end; return those that did not."""
    end_s = time.monotonic() + limit_s
    while (left := processes_of(state_dir, pids)) and time.monotonic() < end_s:
        time.sleep(0.05)
    return left


def stop(
    connection: ClipperConnection,
    manager: LocalContainerManager,
    state_dir: str,
    ports: tuple[int, int, int],
    checks: Checks,
) -> None:
    """Stop the cluster and look for what it may have left."""
    pids = {pid for group in manager.child_pids().values() for pid in group}
    with waiting(f"stopping {len(pids)} processes"):
        connection.stop_all()
    left = wait_until_gone(state_dir, pids)
    checks.check(not left, f"nothing left running: {len(pids)} processes ended {left or ''}")
    taken = [port for port in ports if not is_free(HOST, port)]
    checks.check(not taken, f"ports {', '.join(map(str, ports))} are free again {taken or ''}")


def run(state_dir: str, checks: Checks) -> None:
    """The story, step by step; the cluster is stopped however it ends."""
    digits = load_images()
    ports = choose_ports()
    manager = LocalContainerManager("digits-demo", state_dir, HOST, *ports)
    connection = ClipperConnection(manager)
    try:
        with waiting("starting Clipper"):
            connection.start_clipper()
        address = connection.get_query_addr()
        console.print(f"queries are answered at http://{address}/{APP}/predict")
        with waiting("training and deploying version 1, a shallow decision tree"):
            connection.register_application(APP, "doubles", "-1", SLO_MICROS)
            deploy(connection, "1", DecisionTreeClassifier(max_depth=5, random_state=7), digits)
            connection.link_model_to_app(APP, MODEL)
        first_version(connection, address, digits, checks)
        roll_out_and_back(connection, address, digits, checks)
    except Exception:
        console.print("[red]the demo failed; the ends of the cluster's logs:[/]")
        console.print(log_tails(Path(state_dir)), markup=False)
        raise
    finally:
        stop(connection, manager, state_dir, ports, checks)


def log_tails(state_dir: Path, characters: int = 1500) -> str:
    """Return the last lines of every log of the cluster."""
    logs = sorted((state_dir / "logs").glob("*.log"))
    return "\n".join(f"== {log.name}\n{log.read_text()[-characters:]}" for log in logs)


def main() -> int:
    """Run the demo; return the exit code."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    started_s = time.monotonic()
    checks = Checks()
    with tempfile.TemporaryDirectory(prefix="clipper-demo-") as state_dir:
        try:
            run(state_dir, checks)
        except ClipperException as error:
            checks.failed.append(error.msg)
            console.print(error.msg, style="red", markup=False)
    verdict = "[red]FAILED[/]" if checks.failed else "[green]all checks passed[/]"
    console.print(f"{verdict} after {time.monotonic() - started_s:.1f} s")
    return 1 if checks.failed else 0


if __name__ == "__main__":
    sys.exit(main())
