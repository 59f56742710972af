from __future__ import annotations

import pathlib
import struct
import sys
from typing import Any

import cloudpickle
import numpy as np
import pytest

from clipper.artifacts import FUNCTION_FILE, MODULES_DIR, SKLEARN_MODEL_FILE
from clipper.container.__main__ import load_model
from clipper.container.model import Model
from clipper.datatypes import InputType
from clipper.errors import ClipperException
from clipper.rpc.codec import InputBatch, join_inputs, split_inputs


def batch(input_type: InputType, *inputs: bytes) -> InputBatch:
    return split_inputs(input_type, *join_inputs(inputs))


def test_noop_answers_one_to_everything() -> None:
    model = load_model("noop", "")
    assert model.predict_batch(batch(InputType.STRINGS, b"a", b"")) == ["1.0", "1.0"]


@pytest.mark.parametrize(
    ("input_type", "data", "answer"),
    [
        (InputType.INTEGERS, struct.pack("<3i", 2**31 - 1, 2**31 - 1, 2), "4294967296"),
        (InputType.DOUBLES, struct.pack("<3d", 1.1, 2.2, 3.3), str(sum([1.1, 2.2, 3.3]))),
        (InputType.FLOATS, struct.pack("<2f", 1.5, 2.0), "3.5"),
        (InputType.BYTES, b"\xff\x01", "256"),
        (InputType.STRINGS, "häß".encode(), "3"),
    ],
)
def test_sum_adds_as_python_does(input_type: InputType, data: bytes, answer: str) -> None:
    assert load_model("sum", "").predict_batch(batch(input_type, data)) == [answer]


def test_closures_find_their_own_modules(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / MODULES_DIR).mkdir()
    (tmp_path / MODULES_DIR / "closure_test_addend.py").write_text("VALUE = 40")

    def predict(inputs: Any) -> list[float]:
        import closure_test_addend  # type: ignore[import-not-found]

        return [closure_test_addend.VALUE + x.sum() for x in inputs]

    (tmp_path / FUNCTION_FILE).write_bytes(cloudpickle.dumps(predict))
    model = load_model("python-closure", str(tmp_path))
    assert list(model.predict_batch(batch(InputType.DOUBLES, struct.pack("<2d", 1, 1)))) == [42.0]


def test_sklearn_estimators_predict_on_the_batch_itself(tmp_path: pathlib.Path) -> None:
    joblib = pytest.importorskip("joblib")
    linear_model = pytest.importorskip("sklearn.linear_model")
    estimator = linear_model.LinearRegression().fit(np.array([[0.0], [1.0]]), [0.0, 2.0])
    joblib.dump(estimator, tmp_path / SKLEARN_MODEL_FILE)
    function = cloudpickle.dumps(lambda model, inputs: model.predict(inputs).round(6))
    (tmp_path / FUNCTION_FILE).write_bytes(function)
    model = load_model("sklearn", str(tmp_path))
    rows = batch(InputType.DOUBLES, struct.pack("<d", 2), struct.pack("<d", 3))
    assert list(model.predict_batch(rows)) == [4.0, 6.0]


def test_models_by_module_and_class() -> None:
    assert isinstance(load_model("clipper.container.frameworks.noop:NoopModel", ""), Model)
    with pytest.raises(ClipperException, match="not a subclass"):
        load_model("pathlib:Path", "")
    with pytest.raises(ClipperException, match=r"use one of .*, noop, "):
        load_model("theano", "")
