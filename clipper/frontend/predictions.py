"""Predict bodies in, responses out, whichever of the two doors a body came through.

`predict` is the ASGI door; `predict_protocol` the one that goes past ASGI (design decision 5).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from clipper.clock import Clock
from clipper.datatypes import VersionedModelId
from clipper.errors import InvalidRequest, JsonFault
from clipper.frontend import decoding
from clipper.frontend.responses import (
    Response,
    error_response,
    output_response,
    plain_response,
    predict_response,
)
from clipper.query.applications import Application
from clipper.query.processor import QueryProcessor
from clipper.query.query import PredictRequest

log = logging.getLogger(__name__)

_LARGE_BODY_BYTES = 1 << 20
"""In anything smaller the inputs are counted once they are decoded."""


def split_path(path: str) -> tuple[str, str]:
    """Return application name and verb of ``/<app>/<verb>``; a name may contain slashes."""
    name, _, verb = path[1 : -1 if path.endswith("/") else None].rpartition("/")
    return name, verb


def unknown_application(name: str) -> Response:
    """The answer to a request for an application that is not registered."""
    return error_response(404, "Unknown application", f"No application with name '{name}' exists.")


class Predictions:
    """Answers the predict requests of one worker. Belongs to the event loop's thread."""

    def __init__(
        self,
        processor: QueryProcessor,
        clock: Clock,
        max_batch_inputs: int,
        count_response: Callable[[int], None],
    ) -> None:
        """``count_response`` is told the status of each response; the doors call it."""
        self.applications = processor.applications
        self.count_response = count_response
        self._processor = processor
        self._now = clock.now
        self._max_batch_inputs = max_batch_inputs
        self._known = decoding.BodyCache()

    def begin(self, application: Application, body: bytes) -> PredictRequest | Response:
        """Start the queries of a complete body; the moment of the call is their arrival.

        Returns:
            The request, which may be finished already, or the response that refuses it.
        """
        arrival_s = self._now()
        input_type, plain = application.record.input_type, application.plain
        try:
            known = self._known.get(input_type, body) if plain else None
            if known is None:
                if len(body) > _LARGE_BODY_BYTES:
                    self._refuse_crowds(application, body)
                decoded = decoding.decode_predict(input_type, body)
                if decoded is None:
                    return self._submit_slowly(application, body, arrival_s)
                inputs, version, uid = decoded
                if not plain or len(inputs) != 1 or version is not None:
                    candidates = self._processor.candidates(application, version)
                    return self._submit(application, candidates, inputs, arrival_s, uid)
                input_bytes = inputs[0]
            else:
                input_bytes = known
            one = self._processor.submit_one(application, input_bytes, arrival_s)
            if isinstance(one, PredictRequest):
                return one
            if known is None:
                self._known.keep(input_type, body, input_bytes)
            return output_response(*one)
        except JsonFault as fault:
            return error_response(400, "Json error", fault.msg)
        except InvalidRequest as invalid:
            return error_response(400, "Query processing error", invalid.msg)
        except Exception:
            return self._failed(application)

    def response(self, request: PredictRequest) -> Response:
        """Return the response of a finished request, and let go of its queries."""
        application = request.application
        if request.error is not None:
            return self._failed(application, request.error)
        try:
            response = predict_response(request.queries, application.record.on_default)
        except Exception:
            # Whoever finished the request has others to tell.
            return self._failed(application)
        # Queries and request refer to each other; the garbage collector should not have to know.
        request.queries = ()
        return response

    def _submit_slowly(
        self, application: Application, body: bytes, arrival_s: float
    ) -> PredictRequest:
        """Submit what `decode_predict` refused, or name the fault."""
        value = decoding.slow_object(body, decoding.PREDICT_SCHEMA)
        candidates = self._processor.candidates(application, decoding.slow_version(value))
        inputs = decoding.slow_inputs(value, application.record.input_type)
        uid = decoding.slow_uid(value)
        return self._submit(application, candidates, inputs, arrival_s, uid)

    def _submit(
        self,
        application: Application,
        candidates: Sequence[VersionedModelId],
        inputs: Sequence[bytes],
        arrival_s: float,
        uid: str,
    ) -> PredictRequest:
        if len(inputs) > self._max_batch_inputs:
            raise InvalidRequest(
                f"input_batch has {len(inputs)} inputs; at most "
                f"{self._max_batch_inputs} are allowed in one request"
            )
        return self._processor.submit(application, candidates, inputs, arrival_s, uid)

    def _refuse_crowds(self, application: Application, body: bytes) -> None:
        """Refuse millions of tiny inputs before they are decoded.

        That would hold up every other query of the worker for seconds.
        """
        arrays = body.count(b"[") if application.record.input_type.numpy_dtype else 0
        if arrays > self._max_batch_inputs + 1:
            raise InvalidRequest(
                f"input_batch has {arrays - 1} inputs; at most {self._max_batch_inputs} are "
                "allowed in one request"
            )

    @staticmethod
    def _failed(application: Application, error: Exception | None = None) -> Response:
        """Log the error, by default the one being handled, and return what the client gets."""
        log.error("predict request for %s failed", application.name, exc_info=error or True)
        return plain_response(500, "An unexpected error occurred!")
