"""`predict` and `feedback`: ask an application."""

from __future__ import annotations

import base64
import json
import pathlib
import sys
from typing import Annotated, Any

import typer

from clipper.admin.http import Reply
from clipper.admin.query import QueryClient
from clipper.cli import context
from clipper.datatypes import InputType
from clipper.errors import ClipperException

_MARGIN_S = 10.0

App = Annotated[str, typer.Argument(help="Name of the application.")]
Input = Annotated[str, typer.Argument(help="JSON of the input; - for stdin, @FILE for a file.")]


def add_commands(app: typer.Typer) -> None:
    """Add this file's commands."""
    app.command(epilog="Example: clipper predict my-app '[1.5, 2.0]'")(predict)
    app.command(
        epilog="Example: clipper feedback my-app '[1.5, 2.0]' 1.0",
        context_settings={"ignore_unknown_options": True},  # labels such as -1
    )(feedback)


def predict(
    ctx: typer.Context,
    app: App,
    value: Input,
    batch: Annotated[bool, typer.Option(help="INPUT is a JSON list of inputs.")] = False,
    version: Annotated[str | None, typer.Option(help="Ask this version of the model.")] = None,
    uid: Annotated[str | None, typer.Option(help="User whose selection state counts.")] = None,
    allow_default: Annotated[
        bool, typer.Option(help="Exit with 0 when the answer is the default output.")
    ] = False,
) -> None:
    """Print a prediction; a default output is a failure unless --allow-default."""
    session = context.of(ctx)
    client, kind = _client(session, app)
    one_input = parse_input(read(value), kind, batch)
    body = _answer(
        client.predict(
            app, one_input, batch=batch, version=version, uid=None if uid is None else _uid(uid)
        )
    )
    predictions = body.get("batch_predictions", [body])
    if session.output.is_json:
        session.output.json(body)
    else:
        for one in predictions:
            session.output.text(_shown(one["output"]))
    defaults = [one for one in predictions if one.get("default")]
    for one in defaults:
        reason = one.get("default_explanation", "no reason was given")
        session.output.note(f"Default output: {reason}")
    if defaults and not allow_default:
        session.output.note("Run `clipper doctor` to look for the cause")
        raise typer.Exit(1)


def feedback(
    ctx: typer.Context,
    app: App,
    words: Annotated[
        list[str],
        typer.Argument(
            metavar="[INPUT] LABEL",
            help="Input as for `predict`, and its true label; the label alone with --query-id.",
        ),
    ],
    query_id: Annotated[
        int | None, typer.Option(help="The query_id of the prediction that the label is for.")
    ] = None,
    uid: Annotated[str, typer.Option(help="User whose state learns.")] = "0",
) -> None:
    """Tell an application the true label of an input or of a prediction."""
    session = context.of(ctx)
    if len(words) != (2 if query_id is None else 1):
        raise ClipperException(
            "Give an input and its label, or --query-id and the label alone. "
            "`clipper feedback --help` has an example"
        )
    client, kind = _client(session, app)
    label = _json_or_text(words[-1])
    if query_id is None:
        one_input = parse_input(read(words[0]), kind, batch=False)
        reply = client.update(app, one_input, label, _uid(uid))
    else:
        reply = client.update_query(app, query_id, label)
    if reply.status != 200:
        raise ClipperException(f"The feedback was refused ({reply.status}): {reply.text}")
    session.output.done(reply.text)


def _uid(word: str) -> int | str:
    """Return an integer where it is one: some applications take no other, and 0 is nobody."""
    return int(word) if word.removeprefix("-").isdecimal() else word


def _json_or_text(word: str) -> Any:
    """Return a number or whatever else JSON the word is, or else the word."""
    try:
        return json.loads(word)
    except ValueError:
        return word


def _client(session: context.Context, app: str) -> tuple[QueryClient, InputType]:
    connection = session.connected()
    info = connection.get_app_info(app)
    if info is None:
        raise ClipperException(
            f"There is no application {app}. `clipper apps` lists them, `clipper apps add` "
            "registers one"
        )
    timeout_s = info["latency_slo_micros"] / 1e6 + _MARGIN_S
    client = QueryClient(connection.get_query_addr(), session.http, timeout_s)
    return client, InputType(info["input_type"])


def read(value: str) -> bytes:
    """Return the text of an argument, of stdin for ``-``, of a file for ``@path``."""
    if value == "-":
        return sys.stdin.buffer.read()
    if value.startswith("@"):
        return pathlib.Path(value[1:]).read_bytes()
    return value.encode()


def parse_input(raw: bytes, kind: InputType, batch: bool) -> Any:
    """Return the JSON value to send.

    For a single input of `strings` and `bytes` applications, what is no JSON string is taken as
    it is: text, or bytes to be sent as base64.
    """
    try:
        value = json.loads(raw)
    except ValueError as error:
        value = None
        if batch or kind not in (InputType.STRINGS, InputType.BYTES):
            raise ClipperException(
                f"The input is not JSON: {error}. For example '[1.0, 2.0]' for {kind}"
            ) from error
    if batch or kind not in (InputType.STRINGS, InputType.BYTES) or isinstance(value, str):
        return value
    if kind is InputType.BYTES:
        return base64.b64encode(raw).decode()
    return raw.decode()


def _answer(reply: Reply) -> dict[str, Any]:
    if reply.status == 200:
        body = reply.json()
        return dict(body)
    try:
        body = json.loads(reply.text)
        text = f"{body['error']}: {body['cause']}"
    except (ValueError, KeyError, TypeError):
        text = reply.text
    raise ClipperException(f"The query was refused ({reply.status}): {text}")


def _shown(output: object) -> str:
    return output if isinstance(output, str) else json.dumps(output)
