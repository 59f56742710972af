"""``python -m clipper.container --framework <name>|module:Class``; names are in `FRAMEWORKS`.

Exit status: 0 after a drain; 1 when the environment is incomplete, the model does not load, or the
container fails; 3 when a package that the model needs is missing (spec §9.1, §9.2).
"""

from __future__ import annotations

import argparse
import asyncio
import faulthandler
import importlib
import io
import logging
import os
import pathlib
import platform
import signal
import sys
import warnings
from collections.abc import Sequence

import clipper
from clipper.artifacts import MODULES_DIR
from clipper.container.metrics import ContainerMetrics
from clipper.container.model import Model
from clipper.container.readiness import ReadinessFile
from clipper.container.runtime import ContainerRuntime, RuntimeParts
from clipper.container.settings import ContainerSettings
from clipper.container.user_metrics import PROCESS_METRICS
from clipper.errors import ClipperException
from clipper.logs import setup_logging

MISSING_PACKAGE = 3

FRAMEWORKS = {
    "noop": "clipper.container.frameworks.noop:NoopModel",
    "sum": "clipper.container.frameworks.sum:SumModel",
    "python-closure": "clipper.container.frameworks.python_closure:PythonClosureModel",
    "sklearn": "clipper.container.frameworks.sklearn:SklearnModel",
    "pytorch": "clipper.container.frameworks.pytorch:PytorchModel",
    "tensorflow": "clipper.container.frameworks.tensorflow:TensorflowModel",
    "keras": "clipper.container.frameworks.keras:KerasModel",
    "xgboost": "clipper.container.frameworks.xgboost:XgboostModel",
    "lightgbm": "clipper.container.frameworks.lightgbm:LightgbmModel",
    "onnx": "clipper.container.frameworks.onnx:OnnxModel",
    "pyspark": "clipper.container.frameworks.pyspark:PysparkModel",
    "mxnet": "clipper.container.frameworks.mxnet:MxnetModel",
}
"""Loaded only when asked for: each framework's file imports its framework."""

_UNSHOWN_WARNINGS = (DeprecationWarning, PendingDeprecationWarning, ImportWarning, ResourceWarning)
"""Those that Python does not show either, where a library gives them."""

_log = logging.getLogger("clipper.container")


def main(arguments: Sequence[str] | None = None) -> int:
    """Load a model, serve it, and return the exit status."""
    options = _parser().parse_args(arguments)
    _set_up_output()
    _set_up_warnings()
    faulthandler.enable()  # a fault in C code leaves a traceback in the log
    # A container is often process 1, which has no default action for SIGTERM.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        settings = ContainerSettings.from_environment(os.environ)
        ready_file = ReadinessFile(settings.ready_file)
        ready_file.prepare()
        model = load_model(options.framework, settings.model_path)
    except ClipperException as error:
        _log.error("%s", error)
        return 1
    except ImportError:
        _log.exception(
            "The model needs a package that is not installed here. Name it in pkgs_to_install "
            "when you deploy the model"
        )
        return MISSING_PACKAGE
    except Exception:
        _log.exception("The model could not be loaded")
        return 1
    _log.info("Loaded %s:%s", settings.model_name, settings.model_version)
    return ContainerRuntime(model, _parts(settings, options.framework, ready_file)).run()


def load_model(framework: str, path: str) -> Model:
    """Make and load the model of a framework's name or of ``module:Class``.

    Raises:
        ClipperException: there is no such framework or class.
        ImportError: a package is missing.
        Exception: whatever loading the user's files raises.
    """
    target = FRAMEWORKS.get(framework, framework)
    modules = pathlib.Path(path) / MODULES_DIR
    if framework not in FRAMEWORKS and modules.is_dir():
        sys.path.append(str(modules))  # the class's own module travels with the model
    module, separator, name = target.partition(":")
    if not separator:
        known = ", ".join(sorted(FRAMEWORKS))
        raise ClipperException(f"No framework {framework}: use one of {known}, or module:Class")
    model_class = getattr(importlib.import_module(module), name, None)
    if not (isinstance(model_class, type) and issubclass(model_class, Model)):
        raise ClipperException(f"{target} is not a subclass of clipper.container.model.Model")
    model = model_class()
    model.load(path)
    return model


def _parts(settings: ContainerSettings, framework: str, ready_file: ReadinessFile) -> RuntimeParts:
    runtime = f"clipper {clipper.__version__}, {framework}, Python {platform.python_version()}"
    return RuntimeParts(
        settings,
        ContainerMetrics(PROCESS_METRICS.registry),
        runtime,
        ready_file,
        new_event_loop=_new_event_loop,
    )


def _new_event_loop() -> asyncio.AbstractEventLoop:
    """Return uvloop's loop where it is installed: a tenth less work for each batch."""
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m clipper.container", description=__doc__)
    parser.add_argument(
        "--framework", required=True, help=f"one of {', '.join(FRAMEWORKS)}, or module:Class"
    )
    return parser


def _set_up_output() -> None:
    """Log to stderr, and show what user code prints at once, also where stdout is a pipe."""
    setup_logging("container")
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)


def _set_up_warnings() -> None:
    """Show warnings but those about what will be removed, unless PYTHONWARNINGS says otherwise.

    That is what the filters of Python and numpy come to. One does the same, and scikit-learn sets
    up all there are again for each tree of a forest, at each call. The model's code may add some.
    """
    if not sys.warnoptions:
        warnings.resetwarnings()
        # Whatever looks at a filter's category asks issubclass, which takes a tuple too.
        warnings.simplefilter("ignore", category=_UNSHOWN_WARNINGS)


if __name__ == "__main__":
    sys.exit(main())
