"""What client programs share: the connection, the data, the probes and the report.

A program runs with an interpreter that has its framework, but neither pytest nor the rest of the
tests' packages.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import requests

from clipper.admin.connection import ClipperConnection
from clipper.managers.docker import DockerContainerManager

DEFAULT = "default_pred"
OBJECTIVE_MICROS = 100_000
PROBES = 25
_ROUNDS = 4

Same = Callable[[str, Any], bool]


def striped_images(count: int, classes: int, pixels: int = 784, seed: int = 0) -> Any:
    """Return images (whole numbers of 0 to 255) and labels: a class is a bright stripe in noise."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, classes, count)
    images = random.integers(0, 120, (count, pixels))
    width = pixels // classes
    for image, label in zip(images, labels, strict=True):
        image[label * width : (label + 1) * width] += 100
    return images.astype(np.int32), labels


def same_text(output: str, expected: Any) -> bool:
    return output == str(expected)


class Client:
    """A user of the cluster that this program was given by name."""

    def __init__(self) -> None:
        logging.basicConfig(level=logging.INFO, stream=sys.stderr)
        self.connection = ClipperConnection(DockerContainerManager(sys.argv[1]))
        self.connection.connect()
        self._report: dict[str, Any] = {}

    def register(self, app: str, input_type: str, slo_micros: int = OBJECTIVE_MICROS) -> None:
        """Register an application and ask it once before any model is linked."""
        self.connection.register_application(app, input_type, DEFAULT, slo_micros)

    def ask_unlinked(self, app: str, point: Any) -> None:
        """Report what an application answers that has no model."""
        answers = [self._ask(app, point)]
        self._report["unlinked"] = _summary(answers, [None], [None], same_text)

    def probe(
        self,
        check: str,
        app: str,
        points: Sequence[Any],
        expected: Sequence[Any],
        labels: Sequence[Any] | None = None,
        same: Same = same_text,
    ) -> None:
        """Ask about 25 points at a time until few answers are defaults; report the last 25.

        Args:
            check: name in the report.
            expected: what the same function answers here.
            labels: the truth; None: what is expected.
            same: whether an output's text is what is expected, or the label.
        """
        truth = expected if labels is None else labels
        for start in range(0, _ROUNDS * PROBES, PROBES):
            chosen = [(start + i) % len(points) for i in range(PROBES)]
            answers = [self._ask(app, points[i]) for i in chosen]
            summary = _summary(
                answers, [expected[i] for i in chosen], [truth[i] for i in chosen], same
            )
            self._report[check] = summary
            if summary["defaults"] <= PROBES // 2:
                return

    def note(self, name: str, value: Any) -> None:
        """Report something else."""
        self._report[name] = value

    def finish(self) -> None:
        """Print the report as the program's last line."""
        print(json.dumps(self._report), flush=True)

    def _ask(self, app: str, point: Any) -> requests.Response:
        value = point.tolist() if isinstance(point, np.ndarray) else point
        url = f"http://{self.connection.get_query_addr()}/{app}/predict"
        return requests.post(url, json={"input": value}, timeout=60)


def _summary(
    answers: Sequence[requests.Response], expected: Sequence[Any], truth: Sequence[Any], same: Same
) -> dict[str, Any]:
    bodies = [answer.json() for answer in answers]
    given = [not body.get("default", True) for body in bodies]
    outputs = [_text(body.get("output")) for body in bodies]
    rows = [
        row for row, ok in zip(zip(outputs, expected, truth, strict=True), given, strict=True) if ok
    ]
    right = sum(same(output, label) for output, _, label in rows)
    return {
        "statuses": [answer.status_code for answer in answers],
        "defaults": given.count(False),
        "default_outputs": [output for output, ok in zip(outputs, given, strict=True) if not ok],
        "reasons": sorted(
            {answer.headers.get("X-Clipper-Default", "") for answer in answers} - {""}
        ),
        "differences": [[output, str(want)] for output, want, _ in rows if not same(output, want)],
        "accuracy": right / len(rows) if rows else 0.0,
    }


def _text(output: Any) -> str:
    """The output as the function gave it: what is JSON stands as JSON in the answer."""
    return output if isinstance(output, str) else json.dumps(output)
