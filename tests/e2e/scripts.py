"""Runs the example scripts as users do, with a cluster of the test's own behind their manager.

The scripts say `DockerContainerManager()`, as scripts for the original do. A test gives that call
the arguments it needs, or another manager, and changes nothing else.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"

_LIMIT_S = 400.0

_RUN = """
import functools, importlib, json, runpy, sys
import clipper_admin
place, arguments, script, *words = sys.argv[1:]
module, _, name = place.partition(":")
manager = getattr(importlib.import_module(module), name)
clipper_admin.DockerContainerManager = functools.partial(manager, **json.loads(arguments))
sys.argv = [script, *words]
sys.path[0] = script.rpartition("/")[0]
runpy.run_path(script, run_name="__main__")
"""

LOCAL = "clipper.managers.local:LocalContainerManager"
DOCKER = "clipper.managers.docker.manager:DockerContainerManager"


class Script:
    """A running example, its output read as it comes."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.output = ""
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def printed(self, text: str, timeout_s: float = _LIMIT_S) -> str:
        """Wait until the output holds the text; return the output."""
        give_up_at = time.monotonic() + timeout_s
        while text not in self.output:
            assert self._reader.is_alive() or text in self.output, self.output
            assert time.monotonic() < give_up_at, f"not printed: {text}\n{self.output}"
            time.sleep(0.05)
        return self.output

    def interrupt(self) -> None:
        """Press Ctrl-C."""
        self.process.send_signal(signal.SIGINT)

    def ended(self, timeout_s: float = _LIMIT_S) -> str:
        """Wait for the end, which must be a good one; return the output."""
        status = self.process.wait(timeout_s)
        self._reader.join()
        assert status == 0, self.output
        return self.output

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as lines:
            for line in lines:
                self.output += line


@contextlib.contextmanager
def running(
    example: str,
    manager: str,
    arguments: Mapping[str, Any],
    *words: str,
) -> Iterator[Script]:
    """Start an example, such as ``quick_start/start.py``; it is killed at the end if need be.

    Args:
        example: path below `EXAMPLES`.
        manager: `LOCAL` or `DOCKER`.
        arguments: what the script's ``DockerContainerManager()`` gets.
        words: the script's own arguments.
    """
    command = [sys.executable, "-c", _RUN, manager, json.dumps(arguments), str(EXAMPLES / example)]
    process = subprocess.Popen(
        [*command, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"},
    )
    script = Script(process)
    try:
        yield script
    finally:
        process.kill()
        process.wait()


def check_basic_query(script: Script, least: int) -> None:
    """Let ``basic_query/query.py`` ask once, interrupt it, and look at its answers.

    Args:
        least: answers that there must be.
    """
    script.printed("ms\n")
    script.interrupt()
    output = script.ended()
    [first, *_] = re.findall(r'"output":([\d.]+),"default":false', output)
    assert 50 < float(first) < 150, "the sum of 200 numbers between 0 and 1"
    assert output.count('"output"') >= least
    assert '"default":true' not in output
