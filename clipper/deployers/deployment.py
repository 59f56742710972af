"""What the deployers of all frameworks have in common (spec §10.7).

To add a framework:

1. ``clipper/artifacts.py``: names of the files that its models are saved in;
   ``clipper/managers/stock_images.py``: its family of images.
2. ``clipper/deployers/<framework>.py``: a `Framework`, a function that saves a model into a
   directory and returns what the model needs (`Needs`), and the two public functions with the
   signatures of §10.7, which end in `deploy` and in `endpoint.create`. ``sklearn.py`` is the
   example. The framework is imported inside functions, never at the top, so that importing a
   deployer costs nothing.
3. ``clipper/container/frameworks/<framework>.py``: a `Model` that loads those files and calls
   ``func(model, inputs)``; one line in ``FRAMEWORKS`` of ``clipper/container/__main__.py``.
4. ``clipper_admin/deployers/<framework>.py``: the names again, for old scripts.
"""

from __future__ import annotations

import dataclasses
import logging
import pathlib
import tempfile
from collections.abc import Callable, Sequence
from typing import Any

from clipper.admin.connection import ClipperConnection
from clipper.admin.settings import DeployOptions
from clipper.deployers.base_image import choose_base_image
from clipper.deployers.closures import save_function
from clipper.deployers.environment import Environment, find_environment
from clipper.deployers.local_sources import save_local_sources
from clipper.deployers.used_modules import NO_MODULES, UsedModules, used_modules
from clipper.errors import ClipperException
from clipper.managers.stock_images import FAMILIES

_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, slots=True)
class Framework:
    """What errors call a framework, and which images load its models."""

    title: str
    """As in ``PyTorch deployer only supports Python ...``."""
    family: str
    """Key of `clipper.managers.stock_images.FAMILIES`."""
    noun: str
    """As in ``Error saving torch model: ...``."""


@dataclasses.dataclass(frozen=True, slots=True)
class Needs:
    """What a saved model needs at run time, besides what its function needs."""

    objects: tuple[object, ...] = ()
    """Their pickles are searched for the packages that they refer to."""
    used: UsedModules = NO_MODULES
    """What a `RecordingPickler` found while it saved; instead of ``objects``, to pickle once."""
    modules: tuple[str, ...] = ()
    """Top-level names of modules that the container imports, such as ``xgboost``. The
    distribution that provides one here is recorded; one that is not installed here is not."""


Save = Callable[[pathlib.Path], Needs]
"""Writes a model's files into a directory. What it raises becomes ``Error saving <noun> model: ``
in a `ClipperException`; a `ClipperException` passes as it is."""


def deploy(
    framework: Framework,
    func: Callable[..., Any],
    save: Save,
    clipper_conn: ClipperConnection,
    name: str,
    version: str | int,
    input_type: str,
    base_image: str,
    labels: Sequence[str] | None,
    registry: str | None,
    num_replicas: int,
    batch_size: int,
    pkgs_to_install: Sequence[str] | None,
    options: DeployOptions,
) -> None:
    """Save the function and its model, record the packages they need, build and deploy.

    Args:
        pkgs_to_install: replaces the recorded packages.

    Raises:
        ClipperException: there is no image for this Python (found before anything is saved),
            function or model cannot be saved, or as `build_and_deploy_model`.
    """
    image = choose_base_image(base_image, FAMILIES[framework.family], framework.title)
    with tempfile.TemporaryDirectory(prefix="clipper-") as temporary:
        directory = pathlib.Path(temporary)
        save_function(func, directory)
        needs = _save_model(framework, save, directory)
        used = used_modules([func, *needs.objects]) | needs.used
        used = _save_own_modules(used, directory)
        if pkgs_to_install is None:
            environment = find_environment(used, needs.modules)
            environment.save(directory)
            _show(environment, f"{name}:{version}")
        clipper_conn.build_and_deploy_model(
            name,
            str(version),
            input_type,
            temporary,
            image,
            labels,
            registry,
            num_replicas,
            batch_size,
            pkgs_to_install,
            **options,
        )


def _save_own_modules(used: UsedModules, directory: pathlib.Path) -> UsedModules:
    """Save local modules that only the code's import statements name; what they use counts too."""
    try:
        further = save_local_sources(used.imported, directory)
    except SyntaxError as error:
        raise ClipperException(f"A module that the function imports is broken: {error}") from error
    return used | UsedModules(frozenset(), further)


def _show(environment: Environment, model: str) -> None:
    """The command line prints what this logger says; see `clipper.cli.output`."""
    _log.info("%s", environment.describe(model))
    for problem in environment.problems:
        _log.warning("%s", problem)


def nothing_to_save(_directory: pathlib.Path) -> Needs:
    """Save nothing: the model is inside the function."""
    return Needs()


def model_file(model: object, noun: str) -> pathlib.Path | None:
    """Return the path if the model was given as a path, None if it is an object.

    Raises:
        ClipperException: a path, but there is no such file.
    """
    if not isinstance(model, str | pathlib.Path):
        return None
    path = pathlib.Path(model)
    if not path.is_file():
        raise ClipperException(f"No {noun} model file at {model}")
    return path


def plain_predict() -> Callable[[Any, list[Any]], Any]:
    """Return the function that calls ``model.predict(inputs)``, for models that answer so."""

    # Nested, so that it travels by value: containers have no deployers to import it from.
    def predict(model: Any, inputs: list[Any]) -> Any:
        return model.predict(inputs)

    return predict


def _save_model(framework: Framework, save: Save, directory: pathlib.Path) -> Needs:
    try:
        return save(directory)
    except ClipperException:
        raise
    except Exception as error:
        raise ClipperException(f"Error saving {framework.noun} model: {error}") from error
