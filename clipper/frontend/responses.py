"""Answers as bytes: predictions, defaults, errors (spec §2.4, §2.5; design decision 10)."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from clipper.datatypes import DefaultReason, OnDefault
from clipper.outputs import Output
from clipper.query.query import Query

_encode = msgspec.json.encode

_OUTPUT = b'{"query_id":%d,"output":%b,"default":false%b}'
_ERROR_STATUS = {
    DefaultReason.SLO: 504,
    DefaultReason.NO_REPLICA: 503,
    DefaultReason.SHED: 503,
    DefaultReason.MODEL_ERROR: 503,
    DefaultReason.LOW_CONFIDENCE: 503,
}


class Response(msgspec.Struct, frozen=True, gc=False):
    """What goes out on one HTTP request. A struct of msgspec is made in no time."""

    status: int
    body: bytes
    headers: Sequence[tuple[bytes, bytes]] = ()


def plain_response(status: int, text: str) -> Response:
    """A bare sentence. The original labels even those as JSON (spec §2.1)."""
    return Response(status, text.encode("utf-8", "replace"))


def error_response(
    status: int, error: str, cause: str, headers: Sequence[tuple[bytes, bytes]] = ()
) -> Response:
    """The error object of spec §2.5."""
    return Response(status, _encode({"error": error, "cause": _printable(cause)}), headers)


def output_response(query_id: int, output: Output) -> Response:
    """Answer the one query of a request with a model's output."""
    return Response(200, _OUTPUT % (query_id, output.json, b""))


def predict_response(queries: Sequence[Query], on_default: OnDefault) -> Response:
    """Answer one request's finished queries; a single one has the single form (spec §2.4)."""
    if len(queries) == 1:
        query = queries[0]
        output = query.output
        if output is not None:
            return Response(200, _OUTPUT % (query.query_id, output.json, query.extra))
        headers = [(b"x-clipper-default", str(query.reason).encode())]
        if on_default is OnDefault.ERROR:
            return Response(_status(query), _render_error(query), headers)
        return Response(200, _render_default(query), headers)
    render_missing = _render_error if on_default is OnDefault.ERROR else _render_default
    parts = [_render_output(q) if q.output is not None else render_missing(q) for q in queries]
    missing = [query for query in queries if query.output is None]
    reasons = ",".join(sorted({str(query.reason) for query in missing}))
    headers = [(b"x-clipper-default", reasons.encode())] if missing else []
    all_failed = bool(missing) and len(missing) == len(queries)
    status = 200
    if all_failed and on_default is OnDefault.ERROR:
        status = max(_status(query) for query in missing)
    return Response(status, b'{"batch_predictions":[' + b",".join(parts) + b"]}", headers)


def _render_output(query: Query) -> bytes:
    assert query.output is not None
    return _OUTPUT % (query.query_id, query.output.json, query.extra)


def _render_default(query: Query) -> bytes:
    return b'{"query_id":%d,"output":%b,"default":true,"default_explanation":%b%b}' % (
        query.query_id,
        query.application.default.json,
        _encode(_explanation(query)),
        query.extra,
    )


def _render_error(query: Query) -> bytes:
    body = {
        "query_id": query.query_id,
        "error": "No prediction",
        "cause": _explanation(query),
        "reason": str(query.reason),
    }
    return _encode(body)[:-1] + query.extra + b"}"


def _explanation(query: Query) -> str:
    assert query.reason is not None
    return _printable(query.application.explain(query.reason, query.detail))


def _status(query: Query) -> int:
    assert query.reason is not None
    return _ERROR_STATUS[query.reason]


def _printable(text: str) -> str:
    return text.encode("utf-8", "replace").decode()
