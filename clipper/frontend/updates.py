"""``POST /<app>/update``: feedback in, an acknowledgement out once it is stored."""

from __future__ import annotations

import logging

import msgspec

from clipper.errors import InvalidRequest, StoreUnavailable
from clipper.frontend import decoding
from clipper.frontend.feedback_bodies import decode_feedback
from clipper.frontend.responses import Response, plain_response
from clipper.query.applications import Application
from clipper.query.feedback import FeedbackService

log = logging.getLogger(__name__)


class Updates:
    """Answers the update requests of one worker."""

    def __init__(self, service: FeedbackService) -> None:
        self._service = service

    async def answer(
        self, application: Application, body: bytes, idempotency_key: str | None
    ) -> Response:
        """Learn from a complete body.

        Args:
            idempotency_key: of the request, from its header, if it has one.
        """
        record = application.record
        try:
            if application.plain:
                # Nothing learns; only the application itself has what the original calls state.
                uid, _, _ = decoding.decode_update(body, record.input_type)
                return _received(not uid)
            feedback, original = decode_feedback(
                body, record.input_type, application.loss, idempotency_key
            )
            news = await self._service.learn(application, feedback)
        except InvalidRequest as invalid:
            return plain_response(400, invalid.msg)
        except StoreUnavailable as unavailable:
            return plain_response(503, unavailable.msg)
        if original:
            return _received(True)
        counts = {"accepted": sum(news), "duplicates": len(news) - sum(news)}
        return Response(200, msgspec.json.encode(counts))


def _received(known: bool) -> Response:
    return plain_response(200, f"Feedback received? {int(known)}")
