"""Deploy TensorFlow models. TensorFlow is imported only when a model is saved."""

from __future__ import annotations

import functools
import pathlib
import shutil
from collections.abc import Callable, Sequence
from typing import Any, Unpack

from clipper.admin.connection import ClipperConnection
from clipper.admin.settings import DeployOptions
from clipper.artifacts import TENSORFLOW_DIR
from clipper.deployers import endpoint
from clipper.deployers.deployment import Framework, Needs, deploy
from clipper.errors import ClipperException

_FRAMEWORK = Framework("TensorFlow", family="tf", noun="TensorFlow")


def create_endpoint(
    clipper_conn: ClipperConnection,
    name: str,
    input_type: str,
    func: Callable[[Any, list[Any]], Any],
    tf_sess_or_saved_model_path: Any,
    default_output: str = "None",
    version: str | int = 1,
    slo_micros: int = 3000000,
    labels: Sequence[str] | None = None,
    registry: str | None = None,
    base_image: str = "default",
    num_replicas: int = 1,
    batch_size: int = -1,
    pkgs_to_install: Sequence[str] | None = None,
    **options: Unpack[endpoint.EndpointOptions],
) -> None:
    """Register an application, deploy the model under the same name and link them.

    When a step fails, what the earlier ones made is removed.

    Raises:
        ClipperException: as `register_application` and `deploy_tensorflow_model`.
    """
    run = functools.partial(
        deploy_tensorflow_model, clipper_conn, name, version, input_type, func,
        tf_sess_or_saved_model_path, base_image, labels, registry, num_replicas, batch_size,
        pkgs_to_install,
    )  # fmt: skip
    app = (name, input_type, default_output, slo_micros)
    endpoint.create(clipper_conn, app, name, str(version), options, run)


def deploy_tensorflow_model(
    clipper_conn: ClipperConnection,
    name: str,
    version: str | int,
    input_type: str,
    func: Callable[[Any, list[Any]], Any],
    tf_sess_or_saved_model_path: Any,
    base_image: str = "default",
    labels: Sequence[str] | None = None,
    registry: str | None = None,
    num_replicas: int = 1,
    batch_size: int = -1,
    pkgs_to_install: Sequence[str] | None = None,
    **options: Unpack[DeployOptions],
) -> None:
    """Deploy a TensorFlow model behind ``func(sess, inputs)``, one output per input.

    Args:
        func: gets a ``tf.compat.v1.Session``; for a SavedModel of TensorFlow 2 what
            ``tf.saved_model.load`` returns.
        tf_sess_or_saved_model_path: a ``tf.compat.v1.Session``, or the path of a SavedModel, of a
            directory with a checkpoint and its ``.meta`` file, or of a frozen graph (``.pb``).
        pkgs_to_install: pip requirements for the image; None records those installed here that
            the function and the model use.
        options: `batch_policy`, `batch_wait_ms`, `cache`, `probe_input`, `timeout_s` of
            `ClipperConnection.deploy_model`.

    Raises:
        ClipperException: no model there, or it cannot be saved, no image for this Python, or as
            `build_and_deploy_model`.
    """
    deploy(
        _FRAMEWORK, func, functools.partial(_save, tf_sess_or_saved_model_path), clipper_conn,
        name, version, input_type, base_image, labels, registry, num_replicas, batch_size,
        pkgs_to_install, options,
    )  # fmt: skip


_CHECKPOINT_FILES = ("*.meta", "*.index", "checkpoint", "*.data*")


def _save(session_or_path: Any, directory: pathlib.Path) -> Needs:
    target = directory / TENSORFLOW_DIR
    if isinstance(session_or_path, str | pathlib.Path):
        _copy(pathlib.Path(session_or_path), target)
    else:
        _save_session(session_or_path, target)
    return Needs(modules=("tensorflow",))


def _copy(path: pathlib.Path, target: pathlib.Path) -> None:
    if path.name == "saved_model.pb":
        path = path.parent  # its variables lie beside it
    if path.is_dir() and (_holds(path, "*.pb") or all(_holds(path, p) for p in _CHECKPOINT_FILES)):
        shutil.copytree(path, target)
    elif path.is_file() and path.suffix == ".pb":
        target.mkdir()
        shutil.copyfile(path, target / path.name)
    else:
        raise ClipperException(
            f"Frozen Tensorflow Model: {path} not found or some files are missing. Give a "
            "tf.compat.v1.Session, a SavedModel directory, a directory with a checkpoint "
            f"({', '.join(_CHECKPOINT_FILES)}), or a frozen graph in a .pb file"
        )


def _holds(directory: pathlib.Path, pattern: str) -> bool:
    return any(directory.glob(pattern))


def _save_session(session: Any, target: pathlib.Path) -> None:
    import tensorflow as tf

    v1 = tf.compat.v1
    if not isinstance(session, v1.Session | v1.InteractiveSession):
        raise ClipperException(
            f"Frozen Tensorflow Model: {session!r} not found: it is neither a "
            "tf.compat.v1.Session nor a path. Save models of TensorFlow 2 with "
            "tf.saved_model.save and give the directory"
        )
    target.mkdir()
    with session.graph.as_default():
        if v1.global_variables():
            v1.train.Saver().save(session, str(target / "model.ckpt"))
        else:
            tf.io.write_graph(session.graph.as_graph_def(), str(target), "graph.pb", as_text=False)
