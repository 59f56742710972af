"""A TensorFlow model with a pickled prediction function (spec §9.3)."""

from __future__ import annotations

import pathlib
from collections.abc import Callable
from typing import Any

import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from clipper.artifacts import TENSORFLOW_DIR
from clipper.container.frameworks.python_closure import load_function
from clipper.container.model import Model
from clipper.errors import ClipperException
from clipper.rpc.codec import InputBatch


class TensorflowModel(Model):
    """Calls ``f(sess, inputs)``.

    ``sess`` is a ``tf.compat.v1.Session`` with the model's graph and variables. For a SavedModel
    of TensorFlow 2 it is what ``tf.saved_model.load`` returns: such a model has functions and
    signatures, and tensors whose names its author never chose.
    """

    _function: Callable[..., Any]
    _session: Any

    def load(self, path: str) -> None:
        """Load the function, then the model.

        Raises:
            ImportError: TensorFlow or a package that the function needs is not installed.
            ClipperException: the directory holds no model.
        """
        self._function = load_function(path)
        self._session = _load_model(pathlib.Path(path) / TENSORFLOW_DIR)

    def predict_batch(self, inputs: InputBatch) -> Any:
        """Return what the function returns; the runtime checks it."""
        return self._function(self._session, inputs)


def _load_model(directory: pathlib.Path) -> Any:
    if tf.saved_model.contains_saved_model(str(directory)):
        if _has_objects(directory / "saved_model.pb"):
            return tf.saved_model.load(str(directory))
        return _session_of_saved_model(directory)
    frozen = sorted(directory.glob("*.pb"))
    if frozen:
        return _session_of_frozen_graph(frozen[0])
    if any(directory.glob("*.meta")):
        return _session_of_checkpoint(_checkpoint_prefix(directory))
    raise ClipperException(f"{directory} holds no SavedModel, frozen graph or checkpoint")


def _has_objects(file: pathlib.Path) -> bool:
    """Whether a SavedModel was written from TensorFlow 2's objects and not from a session."""
    if not file.is_file():  # saved_model.pbtxt, which only TensorFlow 1 writes
        return False
    saved_model = saved_model_pb2.SavedModel.FromString(file.read_bytes())
    return any(graph.HasField("object_graph_def") for graph in saved_model.meta_graphs)


def _session_of_saved_model(directory: pathlib.Path) -> Any:
    session = _new_session()
    tf.compat.v1.saved_model.loader.load(
        session, [tf.saved_model.SERVING], str(directory), clear_devices=True
    )
    return session


def _session_of_frozen_graph(file: pathlib.Path) -> Any:
    session = _new_session()
    graph = tf.compat.v1.GraphDef.FromString(file.read_bytes())
    with session.graph.as_default():
        tf.import_graph_def(graph, name="")
    return session


def _session_of_checkpoint(prefix: pathlib.Path) -> Any:
    session = _new_session()
    with session.graph.as_default():
        # Devices of the training machine need not exist here; TensorFlow places by itself.
        saver = tf.compat.v1.train.import_meta_graph(f"{prefix}.meta", clear_devices=True)
        saver.restore(session, str(prefix))
        # A checkpoint holds variables only; lookup tables are filled anew.
        session.run(tf.compat.v1.tables_initializer())
    return session


def _checkpoint_prefix(directory: pathlib.Path) -> pathlib.Path:
    """The checkpoint that the training called its latest, or the first of those that are here."""
    state = tf.train.get_checkpoint_state(str(directory))
    if state is not None:
        latest = directory / pathlib.Path(state.model_checkpoint_path).name
        if latest.with_name(f"{latest.name}.meta").is_file():
            return latest
    return sorted(directory.glob("*.meta"))[0].with_suffix("")


def _new_session() -> Any:
    config = tf.compat.v1.ConfigProto(allow_soft_placement=True)
    return tf.compat.v1.Session(graph=tf.Graph(), config=config)
