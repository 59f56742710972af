"""A real ``kubectl proxy``."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import tiers


def kubectl(kubeconfig: Path) -> str:
    """Return the program; skip the test, or fail it where Kubernetes' tests are required.

    It is looked for on PATH, and where a cluster that was built for tests keeps its programs.
    """
    built = kubeconfig.resolve().parent.parent / "kubernetes"
    path = shutil.which("kubectl", path=os.pathsep.join([os.environ.get("PATH", ""), str(built)]))
    if path is None:
        problem = f"there is no kubectl, neither on PATH nor in {built}"
        if "kubernetes" in tiers.required(os.environ):
            pytest.fail(problem, pytrace=False)
        pytest.skip(problem)
    return path


@contextlib.contextmanager
def kubectl_proxy(kubeconfig: Path, log: Path) -> Iterator[str]:
    """Run ``kubectl proxy`` on a free port of this machine; yield ``host:port``."""
    command = [kubectl(kubeconfig), "--kubeconfig", str(kubeconfig), "proxy", "--port=0"]
    with (
        log.open("wb") as complaints,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=complaints, text=True) as process,
    ):
        try:
            assert process.stdout is not None
            said = process.stdout.readline()  # Starting to serve on 127.0.0.1:12345
            assert "serve on" in said, f"{said}{log.read_text()}"
            yield said.split()[-1]
        finally:
            process.terminate()
