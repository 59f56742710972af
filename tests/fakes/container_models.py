"""Models for container tests, loaded as ``tests.fakes.container_models:Name``."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import threading
import time
from typing import Any

import numpy as np

from clipper.container.model import Model
from clipper.container.user_metrics import add_metric, report_metric
from clipper.rpc.codec import InputBatch


class Echo(Model):
    """Says what it was given: type, dtype and value; and that it runs in the main thread."""

    def predict_batch(self, inputs: InputBatch) -> list[str]:
        assert threading.current_thread() is threading.main_thread()
        return [self._describe(value) for value in inputs]

    def _describe(self, value: Any) -> str:
        if isinstance(value, np.ndarray):
            return f"{value.dtype} {value.tolist()}"
        return f"{type(value).__name__} {value!r}"


class Commands(Model):
    """Strings tell it what to do."""

    def predict_batch(self, inputs: InputBatch) -> Any:
        outputs = [self._obey(*text.partition(" ")[::2]) for text in inputs]
        return outputs[:-1] if "short" in inputs else outputs

    def _obey(self, command: str, argument: str) -> Any:
        if command == "raise":
            raise ValueError(f"poison {argument}")
        if command == "exit":
            raise SystemExit(int(argument))
        if command == "sleep":
            time.sleep(float(argument))
        if command == "spin":
            until = time.monotonic() + float(argument)
            while time.monotonic() < until:
                pass
        if command == "block":  # in C, GIL held: no signal handler of Python can run
            ctypes.PyDLL(None).usleep(int(float(argument) * 1e6))
        if command == "big":
            return "x" * int(argument)
        if command == "surrogate":
            return "\udc80"
        if command == "metric":
            add_metric("user_gauge", "Gauge", "text")
            report_metric("user_gauge", float(argument))
        if command == "children":
            return self._terminate_child()
        return f"did {command}"

    def _terminate_child(self) -> str:
        child = multiprocessing.get_context("fork").Process(target=time.sleep, args=(60,))
        child.start()
        time.sleep(0.2)
        child.terminate()
        child.join()
        return f"child ended with {child.exitcode}"


class NeedsPackage(Model):
    """Cannot be loaded: a package is missing."""

    def load(self, path: str) -> None:
        import a_package_that_is_not_there  # type: ignore[import-not-found]  # noqa: F401

    def predict_batch(self, inputs: InputBatch) -> list[str]:
        raise NotImplementedError


class Broken(NeedsPackage):
    """Cannot be loaded for another reason."""

    def load(self, path: str) -> None:
        raise RuntimeError(f"broken weights in process {os.getpid()}")
