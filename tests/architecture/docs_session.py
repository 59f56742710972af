"""Runs the blocks of one documentation page against a real local cluster on ports of its own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from clipper.admin.connection import ClipperConnection
from clipper.managers import local_cluster
from clipper.managers.local import LocalContainerManager
from clipper.managers.local_state import StateDir
from tests.architecture.docs_pages import REPOSITORY, Step, commands

_COMMAND_LIMIT_S = 120


class PageSession:
    """What the blocks of one page share: a namespace, a directory, a cluster's ports."""

    def __init__(self, page: Path, work: Path, state: Path, ports: tuple[int, int, int]) -> None:
        """``ports``: those to use in the place of 1337, 1338 and 7000."""
        self._page = page
        self._work = work
        self._state = state
        self._ports = dict(zip(("1337", "1338", "7000"), map(str, ports), strict=True))
        self._namespace: dict[str, Any] = {"__name__": "__main__"}
        self._environment = os.environ | {
            "CLIPPER_STATE_DIR": str(state),
            "HOME": str(work),
            "PATH": f"{self._make_command()}:{os.environ['PATH']}",
            "PYTHONPATH": f"{REPOSITORY}:{os.environ.get('PYTHONPATH', '')}",
            "COLUMNS": "200",
            "NO_COLOR": "1",
        }

    def run(self, step: Step) -> None:
        """Run one step; an AssertionError or what the block raised says what failed."""
        if step.kind == "cluster":
            query, management, rpc = map(int, self._ports.values())
            ClipperConnection(
                LocalContainerManager(
                    clipper_query_port=query,
                    clipper_management_port=management,
                    clipper_rpc_port=rpc,
                )
            ).start_clipper()
        elif step.kind == "file":
            (self._work / step.name).write_text(step.text + "\n", encoding="utf-8")
        elif step.kind == "python":
            # Blank lines in front, so that tracebacks name the line of the page.
            source = "\n" * step.line + self._with_ports(step.text)
            exec(compile(source, str(self._page), "exec"), self._namespace)
        else:
            for command, expected in commands(step.text):
                self._run_command(command, expected, step.line)

    def close(self) -> None:
        """Kill whatever cluster the page has left running."""
        local_cluster.end(StateDir(self._state), graceful=False)

    def _run_command(self, command: str, expected: str, line: int) -> None:
        done = subprocess.run(
            ["/bin/sh", "-c", self._with_up_ports(self._with_ports(command))],
            cwd=self._work,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_COMMAND_LIMIT_S,
            check=False,
        )
        where = f"{self._page.name}, block at line {line}: {command}"
        shown = f"{where}\n--- stdout\n{done.stdout}--- stderr\n{done.stderr}"
        assert done.returncode == 0, f"exit status {done.returncode}\n{shown}"
        assert matches(self._with_ports(expected), done.stdout), f"expected {expected!r}\n{shown}"

    def _with_ports(self, text: str) -> str:
        return re.sub(r"\b(1337|1338|7000)\b", lambda found: self._ports[found.group()], text)

    def _with_up_ports(self, command: str) -> str:
        query, management, rpc = self._ports.values()
        chosen = f" --query-port {query} --mgmt-port {management} --rpc-port {rpc}"
        return re.sub(r"^(clipper (?:.* )?up)\b", rf"\1{chosen}", command)

    def _make_command(self) -> Path:
        """Put the `clipper` of this interpreter on the path, installed or not."""
        directory = self._work / ".bin"
        directory.mkdir()
        script = directory / "clipper"
        script.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m clipper "$@"\n')
        script.chmod(0o755)
        (directory / "python").symlink_to(sys.executable)
        return directory


def matches(expected: str, actual: str) -> bool:
    """Whether the expected text is in the actual one; … stands for anything, ids for any id."""
    pattern = re.escape(" ".join(expected.split())).replace("…", ".*")
    pattern = re.sub(r'("query_id":(?:\\ )?)\d+', r"\1\\d+", pattern)
    return re.search(pattern, " ".join(actual.split())) is not None
