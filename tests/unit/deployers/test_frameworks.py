"""What each deployer saves, its container loads: the whole way but for processes and engines."""

from __future__ import annotations

import logging
import pathlib
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from clipper.admin.connection import ClipperConnection
from clipper.container.__main__ import FRAMEWORKS, load_model
from clipper.deployers import deployment, lightgbm, onnx, pytorch, xgboost
from clipper.errors import ClipperException, ModelError
from tests.e2e import trained
from tests.fakes.fake_management import FakeManager

Inputs = list[Any]


@pytest.fixture
def load(manager: FakeManager, tmp_path: pathlib.Path) -> Callable[[str], Any]:
    """Load what was deployed last, as its container would."""

    def load(framework: str) -> Any:
        for name, data in manager.bundle.items():
            path = tmp_path / "model" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        return load_model(framework, str(tmp_path / "model"))

    return load


def assert_predicts(loaded: Any, model: trained.Trained) -> None:
    outputs = loaded.predict_batch(list(model.x_test[:50]))
    assert model.disagreement(outputs) == 0


def names(manager: FakeManager) -> set[str]:
    """Distributions in the saved requirements."""
    lines = manager.bundle["requirements.txt"].decode().split()
    assert all("+" not in line for line in lines)
    return {line.partition("==")[0] for line in lines}


def test_torch_module_is_saved_without_its_weights_beside_them(
    connection: ClipperConnection, manager: FakeManager, load: Callable[[str], Any]
) -> None:
    model = trained.pytorch()
    pytorch.deploy_pytorch_model(
        connection, "m", 1, "doubles", trained.predict_with_pytorch, model.model
    )
    weights = len(manager.bundle["pytorch_weights.pkl"])
    assert len(manager.bundle["pytorch_model.pkl"]) < weights
    loaded = load("pytorch")
    assert_predicts(loaded, model)
    module = loaded._module
    assert not module.training
    assert not any(one.requires_grad for one in module.parameters())
    assert names(manager) == {"numpy", "torch"}
    assert manager.built[0]["base_image"].startswith("clipper/pytorch3")


def test_tied_weights_and_other_tensors_survive(
    connection: ClipperConnection, load: Callable[[str], Any]
) -> None:
    import torch

    class Tied(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = torch.nn.Linear(2, 2, bias=False)
            self.second = torch.nn.Linear(2, 2, bias=False)
            self.second.weight = self.first.weight
            self.offset = torch.tensor([1.0, 2.0])
            self.register_buffer("count", torch.tensor(3, dtype=torch.int64))

        def forward(self, x: Any) -> Any:
            return self.second(self.first(x)) + self.offset * self.count

    model = Tied()
    x = torch.tensor([[1.0, 2.0]])
    expected = model(x).tolist()

    def predict(module: Any, inputs: Any) -> Any:
        import torch

        return module(torch.tensor(np.array(inputs), dtype=torch.float32)).numpy().tolist()

    pytorch.deploy_pytorch_model(connection, "m", 1, "doubles", predict, model)
    assert load("pytorch").predict_batch([np.array([1.0, 2.0])]) == expected


@pytest.mark.parametrize("kind", ["estimator", "booster", "json", "ubj"])
def test_xgboost_models(
    connection: ClipperConnection,
    manager: FakeManager,
    load: Callable[[str], Any],
    tmp_path: pathlib.Path,
    kind: str,
) -> None:
    model = trained.xgboost()
    booster = model.model.get_booster()
    saved = tmp_path / f"saved.{kind}"
    if kind in ("json", "ubj"):
        booster.save_model(str(saved))
    given = {"estimator": model.model, "booster": booster}.get(kind, saved)
    function = None if kind == "estimator" else trained.predict_with_xgboost_booster
    xgboost.deploy_xgboost_model(connection, "m", 1, "doubles", function, given)
    assert_predicts(load("xgboost"), model)
    assert model.model.get_booster() is booster, "the user's model is as it was"
    assert names(manager) & {"xgboost", "xgboost-cpu"}


def test_xgboost_booster_predicts_by_default_whatever_its_features_are_called(
    connection: ClipperConnection, load: Callable[[str], Any]
) -> None:
    from xgboost import DMatrix, train

    matrix = DMatrix(np.array([[0.0], [1.0]]), label=[0.0, 1.0], feature_names=["age"])
    booster = train({"min_child_weight": 0, "lambda": 0, "eta": 1}, matrix, 1)
    xgboost.deploy_xgboost_model(connection, "m", 1, "doubles", None, booster)
    outputs = load("xgboost").predict_batch([np.array([0.0]), np.array([1.0])])
    assert [round(float(one), 3) for one in outputs] == [0.0, 1.0]


@pytest.mark.parametrize("kind", ["estimator", "booster", "file"])
def test_lightgbm_models(
    connection: ClipperConnection,
    manager: FakeManager,
    load: Callable[[str], Any],
    tmp_path: pathlib.Path,
    kind: str,
) -> None:
    model = trained.lightgbm()
    booster = model.model.booster_
    saved = tmp_path / "saved.txt"
    booster.save_model(str(saved))
    given = {"estimator": model.model, "booster": booster, "file": str(saved)}[kind]
    function = None if kind == "estimator" else trained.predict_with_lightgbm_booster
    lightgbm.deploy_lightgbm_model(connection, "m", 1, "doubles", function, given)
    assert_predicts(load("lightgbm"), model)
    assert model.model.booster_ is booster
    assert "lightgbm" in names(manager)


@pytest.mark.parametrize("kind", ["proto", "bytes", "path"])
def test_onnx_models(
    connection: ClipperConnection,
    manager: FakeManager,
    load: Callable[[str], Any],
    tmp_path: pathlib.Path,
    kind: str,
) -> None:
    model = trained.onnx()
    data = model.model.SerializeToString()
    saved = tmp_path / "saved.onnx"
    saved.write_bytes(data)
    given = {"proto": model.model, "bytes": data, "path": saved}[kind]
    onnx.deploy_onnx_model(connection, "m", 1, "doubles", trained.predict_with_onnx, given)
    assert_predicts(load("onnx"), model)
    assert names(manager) == {"numpy", "onnxruntime"}


def test_torch_module_as_onnx_takes_any_number_of_rows(
    connection: ClipperConnection,
    load: Callable[[str], Any],
    caplog: pytest.LogCaptureFixture,
) -> None:
    import torch

    model = trained.pytorch()
    with caplog.at_level(logging.WARNING):
        onnx.deploy_pytorch_model(
            connection, "m", 1, "doubles", torch.zeros(1, 64), None, model.model,
            onnx_backend="caffe2",
        )  # fmt: skip
    assert "m:1 runs on ONNX Runtime instead" in caplog.text
    loaded = load("onnx")
    for count in (1, 7):
        scores = np.array(loaded.predict_batch(list(model.x_test[:count])))
        assert scores.shape == (count, 10)
        assert list(scores.argmax(axis=1)) == list(model.expected[:count])


def test_unknown_backend_and_what_cannot_be_converted_are_errors(
    connection: ClipperConnection, manager: FakeManager
) -> None:
    arguments = (connection, "m", 1, "doubles", "no tensor", None, "no module")
    with pytest.raises(ClipperException, match="Unknown onnx_backend: tensorrt"):
        onnx.deploy_pytorch_model(*arguments, onnx_backend="tensorrt")
    with pytest.raises(ClipperException, match="Error saving ONNX model"):
        onnx.deploy_pytorch_model(*arguments)
    assert manager.built == []


@pytest.mark.parametrize("framework", [
    deployment.Framework("PyTorch", "pytorch", "torch"),
    deployment.Framework("XGBoost", "xgboost", "XGBoost"),
])  # fmt: skip
def test_a_python_without_image_is_refused_before_anything_is_saved(
    connection: ClipperConnection,
    manager: FakeManager,
    monkeypatch: pytest.MonkeyPatch,
    framework: deployment.Framework,
) -> None:
    def save(_directory: pathlib.Path) -> deployment.Needs:
        raise AssertionError("saved")

    def refuse(_image: str, _family: str, title: str) -> str:
        raise ClipperException(f"{title} deployer only supports Python 3.11. Detected 3.10")

    monkeypatch.setattr(deployment, "choose_base_image", refuse)
    with pytest.raises(ClipperException, match=rf"^{framework.title} deployer only .* 3\.10$"):
        deployment.deploy(
            framework, lambda m, xs: xs, save, connection, "m", 1, "doubles",
            "default", None, None, 1, -1, None, {},
        )  # fmt: skip
    assert manager.built == []


def test_what_saving_raises_names_the_framework(connection: ClipperConnection) -> None:
    import torch

    class Locked(torch.nn.Linear):
        def __init__(self) -> None:
            import threading

            super().__init__(1, 1)
            self.lock = threading.Lock()

    with pytest.raises(ClipperException, match=r"^Error saving torch model: .*lock"):
        pytorch.deploy_pytorch_model(
            connection, "m", 1, "doubles", trained.predict_with_pytorch, Locked()
        )


def test_the_image_is_described_in_the_log(
    connection: ClipperConnection, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        onnx.deploy_onnx_model(connection, "m", 1, "doubles", None, trained.onnx().model)
    lines = [one.getMessage() for one in caplog.records if "the image of" in one.getMessage()]
    assert len(lines) == 1
    assert "the image of m:1 gets onnxruntime==" in lines[0]


class TestOnnxSession:
    """Arguments of ``run`` as they were on Caffe2 and as they are on ONNX Runtime."""

    @staticmethod
    def session(rows: int | str = "n", two: bool = False) -> Any:
        import onnxruntime
        from onnx import TensorProto, helper

        from clipper.container.frameworks.onnx import OnnxSession

        def tensor(name: str) -> Any:
            return helper.make_tensor_value_info(name, TensorProto.FLOAT, [rows, 2])

        graph = helper.make_graph(
            [helper.make_node("Add", ["a", "b" if two else "a"], ["sum"])],
            "sum",
            [tensor("a"), tensor("b")] if two else [tensor("a")],
            [tensor("sum")],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        return OnnxSession(
            onnxruntime.InferenceSession(
                model.SerializeToString(), providers=["CPUExecutionProvider"]
            )
        )

    def test_an_array_or_a_list_of_queries(self) -> None:
        expected = [[2.0, 4.0], [6.0, 8.0]]
        for inputs in (
            np.array([[1, 2], [3, 4]]),
            [np.array([1, 2]), np.array([3.0, 4.0])],
            [np.array([[1.0, 2.0], [3.0, 4.0]])],
            {"a": [[1, 2], [3, 4]]},
        ):
            (outputs,) = self.session().run(inputs)
            assert outputs.tolist() == expected

    def test_one_query(self) -> None:
        (outputs,) = self.session().run([np.array([1, 2])])
        assert outputs.tolist() == [[2.0, 4.0]]

    def test_two_inputs_by_place_and_by_name(self) -> None:
        session = self.session(two=True)
        a, b = np.array([[1, 2]]), np.array([[10, 20]])
        assert session.run([a, b])[0].tolist() == [[11.0, 22.0]]
        assert session.run({"b": b, "a": a})[0].tolist() == [[11.0, 22.0]]
        with pytest.raises(ModelError, match="inputs a, b"):
            session.run(a)
        with pytest.raises(ModelError, match="no array for the graph's input b"):
            session.run({"a": a})

    def test_as_on_onnx_runtime(self) -> None:
        session = self.session()
        feeds = {"a": np.array([[1, 2]], dtype=np.float32)}
        assert session.run(["sum"], feeds)[0].tolist() == [[2.0, 4.0]]
        assert session.run(None, feeds)[0].tolist() == [[2.0, 4.0]]
        assert session.session.get_outputs()[0].name == "sum"

    def test_a_fixed_number_of_rows_is_run_in_portions(self) -> None:
        rows = np.arange(8).reshape(4, 2)
        for fixed in (1, 2, 4):
            (outputs,) = self.session(rows=fixed).run(rows)
            assert outputs.tolist() == (2 * rows).tolist()


def test_every_framework_has_a_file_with_its_class() -> None:
    import clipper.container.frameworks

    directory = pathlib.Path(clipper.container.frameworks.__path__[0])
    for target in FRAMEWORKS.values():
        module, _, name = target.partition(":")
        text = (directory / f"{module.rpartition('.')[2]}.py").read_text()
        assert f"class {name}(Model)" in text


def test_no_deployer_imports_its_framework() -> None:
    code = (
        "import sys, clipper_admin.deployers\n"
        "frameworks = {'torch', 'tensorflow', 'keras', 'xgboost', 'lightgbm', 'onnx', 'sklearn',\n"
        "              'onnxruntime', 'pyspark', 'mxnet', 'joblib'}\n"
        "print(sorted(frameworks & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.stdout.strip(), done.stderr) == ("[]", "")
