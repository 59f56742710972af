"""A model class from the user's own module travels with the model."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from clipper.artifacts import MODULES_DIR
from clipper.container.__main__ import load_model

_MODULE = """
from clipper.container.model import Model

class Twice(Model):
    def predict_batch(self, inputs):
        return [one * 2 for one in inputs]
"""


def test_module_beside_the_model_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    modules = tmp_path / MODULES_DIR
    modules.mkdir()
    (modules / "travelling_model.py").write_text(_MODULE)
    model = load_model("travelling_model:Twice", str(tmp_path))
    monkeypatch.delitem(sys.modules, "travelling_model")
    assert model.predict_batch(["ab"]) == ["abab"]
