"""What the deployers of heavy frameworks do before, or without, importing their framework."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from clipper.admin.connection import ClipperConnection
from clipper.artifacts import TENSORFLOW_DIR
from clipper.deployers import keras, mxnet, pyspark, tensorflow
from clipper.errors import ClipperException
from tests.fakes.fake_management import FakeManager


def predict(model: Any, inputs: list[Any]) -> list[int]:
    return [0 for _ in inputs]


def bundled(manager: FakeManager) -> dict[str, bytes]:
    extra = ("func.pkl", "requirements.txt", "constraints.txt", "keras_custom_objects.pkl")
    return {name: data for name, data in manager.bundle.items() if name not in extra}


def deploy_tensorflow(connection: ClipperConnection, model: object) -> None:
    tensorflow.deploy_tensorflow_model(connection, "m", 1, "ints", predict, model)


@pytest.mark.parametrize(
    "files",
    [
        ["saved_model.pb", "variables/variables.index", "assets/words.txt"],
        ["m.meta", "m.index", "checkpoint", "m.data-00000-of-00001"],
        ["frozen.pb"],
    ],
)
def test_tensorflow_directories_are_copied_whole(
    connection: ClipperConnection, manager: FakeManager, tmp_path: Path, files: list[str]
) -> None:
    for name in files:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(name.encode())

    deploy_tensorflow(connection, str(tmp_path))

    assert bundled(manager) == {f"{TENSORFLOW_DIR}/{name}": name.encode() for name in files}


def test_saved_model_file_brings_its_variables_along(
    connection: ClipperConnection, manager: FakeManager, tmp_path: Path
) -> None:
    (tmp_path / "variables").mkdir()
    (tmp_path / "variables" / "variables.index").write_bytes(b"v")
    (tmp_path / "saved_model.pb").write_bytes(b"g")

    deploy_tensorflow(connection, tmp_path / "saved_model.pb")

    assert bundled(manager) == {
        "tfmodel/saved_model.pb": b"g",
        "tfmodel/variables/variables.index": b"v",
    }


def test_frozen_graph_is_copied_without_its_neighbours(
    connection: ClipperConnection, manager: FakeManager, tmp_path: Path
) -> None:
    (tmp_path / "graph.pb").write_bytes(b"g")
    (tmp_path / "other.bin").write_bytes(b"o")

    deploy_tensorflow(connection, str(tmp_path / "graph.pb"))

    assert bundled(manager) == {"tfmodel/graph.pb": b"g"}


@pytest.mark.parametrize("missing", ["m.meta", "m.index", "checkpoint", "m.data-00000-of-00001"])
def test_incomplete_checkpoint_is_refused(
    connection: ClipperConnection, tmp_path: Path, missing: str
) -> None:
    for name in {"m.meta", "m.index", "checkpoint", "m.data-00000-of-00001"} - {missing}:
        (tmp_path / name).touch()
    with pytest.raises(ClipperException, match=f"Frozen Tensorflow Model: {tmp_path} not found"):
        deploy_tensorflow(connection, str(tmp_path))


def test_missing_tensorflow_model_is_refused(connection: ClipperConnection, tmp_path: Path) -> None:
    with pytest.raises(ClipperException, match=r"Frozen Tensorflow Model: .*/none\.pb not found"):
        deploy_tensorflow(connection, str(tmp_path / "none.pb"))


@pytest.mark.parametrize(
    ("given", "saved"),
    [
        ("m.h5", "keras_model.h5"),
        ("m.hdf5", "keras_model.h5"),
        ("m.keras", "keras_model.keras"),
    ],
)
def test_keras_files_are_copied_under_the_suffix_of_their_format(
    connection: ClipperConnection, manager: FakeManager, tmp_path: Path, given: str, saved: str
) -> None:
    (tmp_path / given).write_bytes(b"model")

    keras.deploy_keras_model(connection, "m", 1, "ints", predict, str(tmp_path / given))

    assert bundled(manager) == {saved: b"model"}


@pytest.mark.parametrize("name", ["absent.h5", "model.bin"])
def test_other_files_are_no_keras_models(
    connection: ClipperConnection, tmp_path: Path, name: str
) -> None:
    (tmp_path / "model.bin").touch()
    with pytest.raises(ClipperException, match="a Keras Model object or a saved Model"):
        keras.deploy_keras_model(connection, "m", 1, "ints", predict, str(tmp_path / name))


class _Exportable:
    """Has the one method of a Gluon block that the deployer calls."""

    def export(self, path: str, epoch: int) -> None:
        Path(f"{path}-symbol.json").write_text("{}")
        Path(f"{path}-{epoch:04}.params").write_bytes(b"p")


def test_mxnet_shapes_are_saved_as_names_and_numbers(
    connection: ClipperConnection, manager: FakeManager
) -> None:
    shapes = [("data", (1, 785)), ("mask", [1])]

    mxnet.deploy_mxnet_model(connection, "m", 1, "ints", predict, _Exportable(), shapes)

    files = bundled(manager)
    assert json.loads(files.pop("mxnet_model_metadata.json")) == {
        "data_shapes": [["data", [1, 785]], ["mask", [1]]]
    }
    assert files == {"mxnet_model-symbol.json": b"{}", "mxnet_model-0000.params": b"p"}


@pytest.mark.parametrize("shapes", [(1, 785), [("data", "wide")], None])
def test_unreadable_mxnet_shapes_are_refused_with_an_example(
    connection: ClipperConnection, shapes: Any
) -> None:
    with pytest.raises(ClipperException, match=r'give a list of .*\("data", \(1, 784\)\)'):
        mxnet.deploy_mxnet_model(connection, "m", 1, "ints", predict, _Exportable(), shapes)


def test_object_without_mxnet_s_methods_is_refused(connection: ClipperConnection) -> None:
    with pytest.raises(ClipperException, match="neither an MXNet Module nor a HybridBlock"):
        mxnet.deploy_mxnet_model(connection, "m", 1, "ints", predict, 5, [("data", (1, 2))])


@pytest.mark.parametrize("model", [None, "path/to/model", {}])
def test_what_is_not_of_spark_is_refused(connection: ClipperConnection, model: object) -> None:
    with pytest.raises(ClipperException, match="pyspark_model argument was not a pyspark object"):
        pyspark.deploy_pyspark_model(connection, "m", 1, "ints", predict, model, None)
