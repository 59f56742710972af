"""`deploy`: from a file to a serving model."""

from __future__ import annotations

import dataclasses
import functools
import importlib.util
import json
import pathlib
import re
import sys
from collections.abc import Callable
from typing import Annotated, Any, cast

import typer

from clipper.admin.connection import ClipperConnection
from clipper.admin.settings import DEPLOY_TIMEOUT_S, DeployOptions
from clipper.cli import context
from clipper.cli.apps import choose_slo_micros
from clipper.cli.modes import IN_CONTAINERS, require_mode
from clipper.datatypes import ADAPTIVE_BATCH_SIZE
from clipper.deployers import endpoint
from clipper.deployers.python import deploy_python_closure
from clipper.deployers.sklearn import deploy_sklearn_model
from clipper.errors import ClipperException

_MODEL_FILES = (".pkl", ".pickle", ".joblib")

Deploy = Callable[..., None]
"""Called with the `DeployOptions`."""


@dataclasses.dataclass(frozen=True, slots=True)
class Request:
    """What the command line asks for, completed from the cluster."""

    file: str
    func: str | None
    name: str
    version: str
    input_type: str
    replicas: int
    batch_size: int
    pip: list[str] | None
    app: str | None
    slo_micros: int
    default: str
    registry: str | None
    options: DeployOptions


def add_commands(app: typer.Typer) -> None:
    """Add this file's commands."""
    app.command(epilog="Example: clipper deploy model.py:predict --app sums --slo-ms 100")(deploy)


def deploy(
    ctx: typer.Context,
    file: Annotated[
        str,
        typer.Argument(help="path.py:function, or a scikit-learn model (.pkl, .joblib)."),
    ],
    name: Annotated[
        str | None, typer.Option(help="Name of the model; default: from the file.")
    ] = None,
    version: Annotated[
        str | None, typer.Option(help="Default: one above the highest number so far.")
    ] = None,
    input_type: Annotated[
        str, typer.Option(help="bytes, integers, floats, doubles or strings.")
    ] = "doubles",
    replicas: Annotated[int, typer.Option(min=0, help="Containers to run.")] = 1,
    batch_size: Annotated[
        int, typer.Option(help="Largest batch; -1 adapts to the latency objective.")
    ] = ADAPTIVE_BATCH_SIZE,
    batch_policy: Annotated[str, typer.Option(help="aimd, quantile or fixed.")] = "aimd",
    batch_wait_ms: Annotated[float, typer.Option(help="Wait for fuller batches.")] = 0.0,
    cache: Annotated[bool, typer.Option(help="Cache predictions.")] = True,
    probe: Annotated[
        str | None, typer.Option(help="JSON of an input that replicas must answer first.")
    ] = None,
    func: Annotated[
        str | None,
        typer.Option(help="path.py:function(model, inputs) around a scikit-learn model."),
    ] = None,
    pip: Annotated[
        list[str] | None, typer.Option(help="Requirement to install; may be repeated.")
    ] = None,
    app: Annotated[
        str | None, typer.Option(help="Link to this application; registered if new.")
    ] = None,
    slo_ms: Annotated[
        float | None, typer.Option(help="Latency objective of a new application.")
    ] = None,
    default: Annotated[str, typer.Option(help="Default output of a new application.")] = "None",
    registry: Annotated[
        str | None,
        typer.Option(help="Docker, Kubernetes: push the model's image to this registry."),
    ] = None,
    timeout: Annotated[
        float, typer.Option(help="Seconds until replicas must be ready.")
    ] = DEPLOY_TIMEOUT_S,
) -> None:
    """Deploy a function or a model, and with --app or --slo-ms serve it at once."""
    session = context.of(ctx)
    if registry is not None:
        require_mode(session.choice.mode, "--registry", IN_CONTAINERS)
    connection = session.connected()
    name = name or default_name(file)
    request = Request(
        file=file,
        func=func,
        name=name,
        version=version or next_version(connection.get_all_models(verbose=True), name),
        input_type=input_type,
        replicas=replicas,
        batch_size=batch_size,
        pip=pip,
        app=app or (name if slo_ms is not None else None),
        slo_micros=choose_slo_micros(slo_ms, None),
        default=default,
        registry=registry,
        options={
            "batch_policy": batch_policy,
            "batch_wait_ms": batch_wait_ms,
            "cache": cache,
            "probe_input": None if probe is None else _json(probe),
            "timeout_s": timeout,
        },
    )
    run = _deployer(connection, request)
    with session.output.progress(f"Deploying {request.name}:{request.version}"):
        if request.app is None:
            run(**request.options)
        else:
            _serve(connection, request, request.app, run)
    _report(session, connection, request)


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise ClipperException(
            f"--probe is not JSON: {error}. For example --probe '[1.0]'"
        ) from error


def _report(session: context.Context, connection: ClipperConnection, request: Request) -> None:
    app = request.app or _asking(connection, request.name)
    if app is None:
        where = f"link it with `clipper link APP {request.name}`"
    else:
        where = f"ask http://{connection.get_query_addr()}/{app}/predict"
    session.output.done(
        f"Deployed {request.name}:{request.version}; {where}",
        name=request.name,
        version=request.version,
        app=request.app,
    )


def _asking(connection: ClipperConnection, model: str) -> str | None:
    """Return an application that asks the model; None: nobody does."""
    apps = connection.get_all_apps(verbose=True)
    return next((str(app["name"]) for app in apps if model in app["linked_models"]), None)


def _deployer(connection: ClipperConnection, request: Request) -> Deploy:
    """Return a function that deploys the file; loads the user's code, starts nothing."""
    path = pathlib.Path(request.file)
    arguments: dict[str, Any] = {
        "num_replicas": request.replicas,
        "batch_size": request.batch_size,
        "pkgs_to_install": request.pip,
        "registry": request.registry,
    }
    identity = (request.name, request.version, request.input_type)
    if path.suffix in _MODEL_FILES:
        if not path.is_file():
            raise ClipperException(f"There is no file {path}")
        function = None if request.func is None else load_function(request.func)
        return functools.partial(
            deploy_sklearn_model, connection, *identity, function, path, **arguments
        )
    if request.func is not None:
        raise ClipperException("--func is for scikit-learn models only")
    closure = load_function(request.file)
    return functools.partial(deploy_python_closure, connection, *identity, closure, **arguments)


def _serve(connection: ClipperConnection, request: Request, app: str, run: Deploy) -> None:
    """Deploy for an application: a new one is registered, an old one keeps its settings."""
    model = request.name
    if app not in connection.get_all_apps():
        settings = (app, request.input_type, request.default, request.slo_micros)
        options = cast(endpoint.EndpointOptions, request.options)
        endpoint.create(connection, settings, model, request.version, options, run)
        return
    linked = connection.get_linked_models(app)
    if linked and model not in linked:
        raise ClipperException(
            f"Application {app} asks model {linked[0]} already. Deploy under that name, or "
            f"first run `clipper unlink {app} {linked[0]}`"
        )
    run(**request.options)
    if model not in linked:
        connection.link_model_to_app(app, model)


def default_name(file: str) -> str:
    """Return a model name made of the function's or file's name."""
    path, _, function = file.partition(":")
    stem = function or pathlib.Path(path).stem
    return re.sub(r"[^a-z0-9]+", "-", stem.lower()).strip("-") or "model"


def next_version(models: list[dict[str, Any]], name: str) -> str:
    """Return one above the highest whole-number version, ``1`` for a new model."""
    versions = [str(one["model_version"]) for one in models if one["model_name"] == name]
    return str(max((int(v) for v in versions if v.isdecimal()), default=0) + 1)


def load_function(target: str) -> Callable[..., Any]:
    """Import ``path.py:function`` from the user's file.

    Raises:
        ClipperException: not of that form, no such file or function, or the file does not load.
    """
    path_text, _, name = target.rpartition(":")
    path = pathlib.Path(path_text).absolute()
    if not name or path.suffix != ".py":
        raise ClipperException(
            f"{target} is not path.py:function, nor a model file ({', '.join(_MODEL_FILES)})"
        )
    if not path.is_file():
        raise ClipperException(f"There is no file {path_text}")
    function = getattr(_load_module(path), name, None)
    if not callable(function):
        raise ClipperException(f"{path_text} has no function {name}")
    return function  # type: ignore[no-any-return]


def _load_module(path: pathlib.Path) -> object:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise ClipperException(f"{path} cannot be imported")
    module = importlib.util.module_from_spec(spec)
    # As `python path.py` would find it: its neighbours can be imported, and it by its name.
    sys.path.insert(0, str(path.parent))
    sys.modules[path.stem] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise ClipperException(f"Loading {path} failed: {type(error).__name__}: {error}") from error
    return module
