"""Bodies of ``POST /<app>/update`` → feedback (spec §2.7 and docs/http-api.md).

Three forms: one label for an input (``uid``, ``input``, ``label``: the original's), one label for a
query (``query_id``, ``label``), and ``updates``, a list of either.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from clipper import jsonfaults
from clipper.datatypes import InputType
from clipper.errors import InvalidRequest, JsonFault
from clipper.frontend.decoding import UPDATE_SCHEMA, canonical_uid, slow_object
from clipper.inputs import pack_input
from clipper.query.feedback import Feedback
from clipper.selection.losses import LossKind, check_label
from clipper.store.selection import APPLICATION

MAX_UPDATES = 10_000
"""Labels in one request."""

_LONGEST_KEY = 256
_LONGEST_LABEL = 4096
_MAX_QUERY_ID = 1 << 53
_ORIGINAL = frozenset(("uid", "input", "label"))
_FORMS = " Feedback has query_id and label, or uid, input and label."
_KNOWN = _ORIGINAL | {"query_id", "idempotency_key"}
_BESIDE_UPDATES = frozenset(("updates", "idempotency_key"))


class FeedbackBody(NamedTuple):
    """What one request says."""

    feedback: list[Feedback]
    original: bool
    """Whether it has the original's form, whose answer is plain text."""


def decode_feedback(
    body: bytes, input_type: InputType, kind: LossKind, idempotency_key: str | None = None
) -> FeedbackBody:
    """Return the feedback in a body.

    Args:
        idempotency_key: of the whole request, from its header.

    Raises:
        InvalidRequest: naming the field that is wrong; nothing of the body is to be used.
    """
    value = slow_object(body, UPDATE_SCHEMA)
    if "updates" not in value:
        key = _key(idempotency_key, "")
        original = key is None and value.keys() <= _ORIGINAL
        return FeedbackBody([_one(value, "", input_type, kind, key)], original)
    _refuse_unknown(value, "", _BESIDE_UPDATES)
    updates = value["updates"]
    key = _key(value.get("idempotency_key", idempotency_key), "")
    if not isinstance(updates, list) or not updates:
        raise InvalidRequest("updates: expected a list with at least one object in it.")
    if len(updates) > MAX_UPDATES:
        raise InvalidRequest(
            f"updates: {len(updates)} labels in one request; at most {MAX_UPDATES} are allowed."
        )
    feedback = []
    for index, item in enumerate(updates):
        where = f"updates[{index}]"
        if not isinstance(item, dict):
            raise InvalidRequest(f"{where}: expected an object.")
        item_key = None if key is None else f"{key}#{index}"
        feedback.append(_one(item, where + ".", input_type, kind, item_key))
    return FeedbackBody(feedback, False)


def _one(
    item: dict[str, Any], where: str, input_type: InputType, kind: LossKind, key: str | None
) -> Feedback:
    """``key`` is the feedback's unless it has one of its own."""
    if where or "query_id" in item:
        _refuse_unknown(item, where, _KNOWN)
    query_id = item.get("query_id")
    packed: bytes | None = None
    if "query_id" not in item and not where:
        # As old clients know it, with the original's words for every fault.
        with jsonfaults.expecting(UPDATE_SCHEMA):
            jsonfaults.require(item, "uid")
            packed = pack_input(jsonfaults.require(item, "input"), input_type)
            jsonfaults.require(item, "label")
    else:
        for field in ("input", "label") if query_id is None else ("label",):
            if field not in item:
                raise InvalidRequest(f"{where}{field}: missing.{_FORMS}")
        if "input" in item:
            packed = _packed(item, where, input_type)
    return Feedback(
        label=_label(item.get("label"), kind, where),
        query_id=_query_id(query_id, where),
        uid=_uid(item.get("uid"), where),
        input=packed,
        idempotency_key=_key(item.get("idempotency_key"), where) or key,
        field=f"{where}query_id",
    )


def _refuse_unknown(item: dict[str, Any], where: str, known: frozenset[str]) -> None:
    unknown = sorted(item.keys() - known)
    if unknown:
        raise InvalidRequest(
            f"{where}{unknown[0]}: unknown field; known: {', '.join(sorted(known))}."
        )


def _label(value: Any, kind: LossKind, where: str) -> str:
    label = check_label(value, kind, f"{where}label")
    if len(label) > _LONGEST_LABEL:
        raise InvalidRequest(
            f"{where}label: {len(label)} characters; at most {_LONGEST_LABEL} are allowed."
        )
    return label


def _packed(item: dict[str, Any], where: str, input_type: InputType) -> bytes:
    try:
        return pack_input(item["input"], input_type)
    except JsonFault as error:
        raise InvalidRequest(f"{where}input: {error.msg}") from error


def _query_id(value: Any, where: str) -> int | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < _MAX_QUERY_ID:
        raise InvalidRequest(f"{where}query_id: expected the query_id of a prediction, an integer.")
    return value


def _uid(value: Any, where: str) -> str:
    if value is None:
        return APPLICATION
    try:
        return canonical_uid(value)
    except ValueError as error:
        raise InvalidRequest(f"{where}uid: {error}") from error


def _key(value: Any, where: str) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str) or not 0 < len(value) <= _LONGEST_KEY:
        raise InvalidRequest(
            f"{where}idempotency_key: expected a string of 1 to {_LONGEST_KEY} characters."
        )
    return f"key {value}"
