"""Deploy Keras models. Keras is imported only when a model is saved."""

from __future__ import annotations

import functools
import json
import pathlib
import shutil
import sys
import zipfile
from collections.abc import Callable, Sequence
from typing import Any, Unpack

from clipper.admin.connection import ClipperConnection
from clipper.admin.settings import DeployOptions
from clipper.artifacts import KERAS_CUSTOM_OBJECTS_FILE, KERAS_MODEL_STEM
from clipper.deployers import endpoint
from clipper.deployers.deployment import Framework, Needs, deploy
from clipper.deployers.used_modules import RecordingPickler
from clipper.errors import ClipperException

_FRAMEWORK = Framework("Keras", family="keras", noun="Keras")


def create_endpoint(
    clipper_conn: ClipperConnection,
    name: str,
    input_type: str,
    func: Callable[[Any, list[Any]], Any],
    model_path_or_object: Any,
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
        ClipperException: as `register_application` and `deploy_keras_model`.
    """
    run = functools.partial(
        deploy_keras_model, clipper_conn, name, version, input_type, func,
        model_path_or_object, base_image, labels, registry, num_replicas, batch_size,
        pkgs_to_install,
    )  # fmt: skip
    app = (name, input_type, default_output, slo_micros)
    endpoint.create(clipper_conn, app, name, str(version), options, run)


def deploy_keras_model(
    clipper_conn: ClipperConnection,
    name: str,
    version: str | int,
    input_type: str,
    func: Callable[[Any, list[Any]], Any],
    model_path_or_object: Any,
    base_image: str = "default",
    labels: Sequence[str] | None = None,
    registry: str | None = None,
    num_replicas: int = 1,
    batch_size: int = -1,
    pkgs_to_install: Sequence[str] | None = None,
    **options: Unpack[DeployOptions],
) -> None:
    """Deploy a Keras model behind ``func(model, inputs)``, one output per input.

    Args:
        func: ``inputs`` is a list; ``model.predict(numpy.array(inputs), verbose=0)`` computes a
            batch at once.
        model_path_or_object: a model, or the path of a ``.keras`` or ``.h5`` file. The user's own
            layers travel along, for files if they are registered with Keras here.
        pkgs_to_install: pip requirements for the image; None records those installed here that
            the function and the model use.
        options: `batch_policy`, `batch_wait_ms`, `cache`, `probe_input`, `timeout_s` of
            `ClipperConnection.deploy_model`.

    Raises:
        ClipperException: neither a model nor a file of one, or it cannot be saved, no image for
            this Python, or as `build_and_deploy_model`.
    """
    deploy(
        _FRAMEWORK, func, functools.partial(_save, model_path_or_object), clipper_conn,
        name, version, input_type, base_image, labels, registry, num_replicas, batch_size,
        pkgs_to_install, options,
    )  # fmt: skip


_SUFFIXES = {".keras": ".keras", ".h5": ".h5", ".hdf5": ".h5"}


def _save(model_path_or_object: Any, directory: pathlib.Path) -> Needs:
    if isinstance(model_path_or_object, str | pathlib.Path):
        path = pathlib.Path(model_path_or_object)
        suffix = _SUFFIXES.get(path.suffix)
        if suffix is None or not path.is_file():
            raise _not_a_model(model_path_or_object)
        target = directory / f"{KERAS_MODEL_STEM}{suffix}"
        shutil.copyfile(path, target)
        layers: list[Any] = []
    else:
        target = directory / f"{KERAS_MODEL_STEM}.keras"
        layers = _save_object(model_path_or_object, target)
    data, used = RecordingPickler().pickle(_custom_objects(target, layers))
    (directory / KERAS_CUSTOM_OBJECTS_FILE).write_bytes(data)
    # Keras computes with another package, which it does not require.
    return Needs(used=used, modules=("keras", "tensorflow"))


def _save_object(model: Any, target: pathlib.Path) -> list[Any]:
    import keras

    if not isinstance(model, keras.Model):
        raise _not_a_model(model)
    model.save(target)
    return [model, *model._flatten_layers(include_self=False)]


def _custom_objects(file: pathlib.Path, layers: Sequence[Any]) -> dict[str, Any]:
    """What the saved model names and Keras has not: the container cannot import it."""
    if "keras" not in sys.modules or not zipfile.is_zipfile(file):
        return {}
    import keras

    with zipfile.ZipFile(file) as archive:
        names = _names_in(json.loads(archive.read("config.json")))
    own = {keras.saving.get_registered_name(type(layer)): type(layer) for layer in layers}
    found = {name: keras.saving.get_registered_object(name) or own.get(name) for name in names}
    return {name: one for name, one in found.items() if one is not None}


def _names_in(config: Any) -> set[str]:
    """Names of classes (``registered_name``) and of functions (``config``) in a description."""
    if isinstance(config, list):
        return set().union(*(_names_in(one) for one in config))
    if not isinstance(config, dict):
        return set()
    own = (config.get("registered_name"), config.get("config"))
    return _names_in(list(config.values())) | {name for name in own if isinstance(name, str)}


def _not_a_model(model: object) -> ClipperException:
    return ClipperException(
        f"{model!r} should be wither a Keras Model object or a saved Model ('.h5'). A path must "
        "be that of a .keras or .h5 file"
    )
