"""OpenAPI description, by hand, of the paths that bypass FastAPI's router."""

from __future__ import annotations

from typing import Any

_APP = {
    "name": "app",
    "in": "path",
    "required": True,
    "description": "Name of a registered application",
    "schema": {"type": "string"},
}

_INPUT: dict[str, Any] = {
    "description": (
        "One input of the application's type: an array of numbers (doubles, floats, integers), "
        "a string (strings), or a base64 string (bytes)."
    ),
    "oneOf": [{"type": "array", "items": {"type": "number"}}, {"type": "string"}],
}

_UID: dict[str, Any] = {
    "description": "The user whose selection state counts; 0 or none: the application's own",
    "oneOf": [{"type": "integer"}, {"type": "string", "minLength": 1, "maxLength": 256}],
}

_LABEL: dict[str, Any] = {
    "description": "The truth",
    "oneOf": [{"type": "number"}, {"type": "string"}, {"type": "boolean"}],
}

_KEY: dict[str, Any] = {
    "type": "string",
    "description": "Feedback with the same key counts once; also as header Idempotency-Key",
}

_UPDATE: dict[str, Any] = {
    "oneOf": [
        {
            "type": "object",
            "required": ["uid", "input", "label"],
            "properties": {
                "uid": _UID,
                "input": _INPUT,
                "label": _LABEL,
                "idempotency_key": _KEY,
            },
        },
        {
            "type": "object",
            "required": ["query_id", "label"],
            "properties": {
                "query_id": {"type": "integer"},
                "label": _LABEL,
                "idempotency_key": _KEY,
            },
        },
    ]
}

_ERROR: dict[str, Any] = {
    "type": "object",
    "required": ["error", "cause"],
    "properties": {"error": {"type": "string"}, "cause": {"type": "string"}},
}

_PREDICTION: dict[str, Any] = {
    "type": "object",
    "required": ["query_id", "output", "default"],
    "properties": {
        "query_id": {"type": "integer"},
        "output": {"description": "The model's output: its JSON value, or its text"},
        "default": {"type": "boolean", "description": "The default output was used"},
        "default_explanation": {"type": "string"},
        "confidence": {
            "type": "number",
            "description": "That the output is right; where the policy knows",
        },
        "models": {
            "type": "object",
            "description": "Where the policy combines models: who answered, who was late",
            "properties": {
                "answered": {"type": "array", "items": {"type": "string"}},
                "late": {"type": "array", "items": {"type": "string"}},
            },
        },
    },
    "example": {"query_id": 17, "output": 6.6, "default": False},
}


def _json(schema: dict[str, Any], description: str) -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"schema": schema}}}


_ERRORS: dict[str, Any] = {
    "404": _json(_ERROR, "No such application"),
    "405": _json(_ERROR, "Not POST"),
    "408": _json(_ERROR, "The body did not arrive in time"),
    "413": _json(_ERROR, "The body is too large"),
}

PREDICT_PATHS: dict[str, Any] = {
    "/{app}/predict": {
        "post": {
            "tags": ["predictions"],
            "summary": "Predict one input or a batch",
            "operationId": "predict",
            "parameters": [_APP],
            "requestBody": {
                "required": True,
                "content": {
                    "application/json": {
                        "schema": {
                            "type": "object",
                            "properties": {
                                "input": _INPUT,
                                "input_batch": {"type": "array", "items": _INPUT},
                                "version": {
                                    "type": "string",
                                    "description": "A version of the linked model",
                                },
                                "uid": _UID,
                            },
                        },
                        "example": {"input": [1.1, 2.2, 3.3]},
                    }
                },
            },
            "responses": {
                "200": {
                    **_json(
                        {
                            "oneOf": [
                                _PREDICTION,
                                {
                                    "type": "object",
                                    "required": ["batch_predictions"],
                                    "properties": {
                                        "batch_predictions": {
                                            "type": "array",
                                            "items": _PREDICTION,
                                        }
                                    },
                                },
                            ]
                        },
                        "The prediction, or the default output",
                    ),
                    "headers": {
                        "X-Clipper-Default": {
                            "description": (
                                "Why the default was used: slo, no-replica, shed, model-error "
                                "or low-confidence"
                            ),
                            "schema": {"type": "string"},
                        }
                    },
                },
                "400": _json(_ERROR, "The body or the version is wrong"),
                **_ERRORS,
                "503": _json(_ERROR, 'No prediction, in applications with on_default "error"'),
                "504": _json(_ERROR, 'Too late, in applications with on_default "error"'),
            },
        }
    },
    "/{app}/update": {
        "post": {
            "tags": ["predictions"],
            "summary": "Tell the truth about an input",
            "operationId": "update",
            "parameters": [_APP],
            "requestBody": {
                "required": True,
                "content": {
                    "application/json": {
                        "schema": {
                            "oneOf": [
                                *_UPDATE["oneOf"],
                                {
                                    "type": "object",
                                    "required": ["updates"],
                                    "properties": {
                                        "updates": {"type": "array", "items": _UPDATE},
                                        "idempotency_key": _KEY,
                                    },
                                },
                            ]
                        },
                        "example": {"uid": 0, "input": [1.1, 2.2, 3.3], "label": 1.0},
                    }
                },
            },
            "responses": {
                "200": {
                    "description": "Plain text `Feedback received? 1`, or 0, for uid, input and "
                    'label; for the other forms {"accepted", "duplicates"}: labels that were new, '
                    "and labels that had been stored before"
                },
                "400": {"description": "Plain text: what is wrong with the body"},
                "503": {"description": "Plain text: the state cannot be stored now"},
                **_ERRORS,
            },
        }
    },
}
