"""Which warnings of a model a container shows, and how few filters that takes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from clipper.artifacts import MODULES_DIR

_MODULE = """
import sys
import warnings

from clipper.container.model import Model

warnings.filterwarnings("ignore", message="it is known")

class Warner(Model):
    def load(self, path):
        warnings.warn("it drifts", UserWarning)
        warnings.warn("it is known", UserWarning)
        warnings.warn("it goes away", DeprecationWarning)
        warnings.warn("it may go away", PendingDeprecationWarning)
        sys.exit(f"{len(warnings.filters)} filter(s)")

    def predict_batch(self, inputs):
        return inputs
"""


def _shown(directory: Path, **environment: str) -> str:
    modules = directory / MODULES_DIR
    modules.mkdir()
    (modules / "warner.py").write_text(_MODULE)
    run = subprocess.run(
        [sys.executable, "-m", "clipper.container", "--framework", "warner:Warner"],
        env={
            **{name: text for name, text in os.environ.items() if name != "PYTHONWARNINGS"},
            "CLIPPER_MODEL_NAME": "m",
            "CLIPPER_MODEL_VERSION": "1",
            "CLIPPER_MODEL_PATH": str(directory),
            **environment,
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return run.stderr


def test_one_filter_and_the_models_own_show_what_users_should_see(tmp_path: Path) -> None:
    shown = _shown(tmp_path)
    assert "UserWarning: it drifts" in shown
    assert "go away" not in shown
    assert "goes away" not in shown
    assert "it is known" not in shown
    assert "2 filter(s)" in shown


def test_filters_of_the_environment_stand(tmp_path: Path) -> None:
    shown = _shown(tmp_path, PYTHONWARNINGS="always::DeprecationWarning,ignore::UserWarning")
    assert "DeprecationWarning: it goes away" in shown
    assert "it drifts" not in shown


def test_scikit_learn_adds_no_filter() -> None:
    code = """
import warnings
import numpy
before = list(warnings.filters)
import clipper.container.frameworks.sklearn
import scipy.sparse, scipy.special
assert warnings.filters == before, warnings.filters
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
