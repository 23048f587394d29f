"""Answers in JSON, those to errors among them: the one place where an error becomes HTTP."""

import logging
import re
from typing import Any

import orjson
from flask import Response, request
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge

from sam_backend import logs, metrics
from sam_backend.errors import BodyTooLargeError, BusyError, CredentialsError, SamBackendError
from sam_backend.labelstudio import streams

logger = logging.getLogger(__name__)

REASON_CHARACTERS = 300


def respond(document: dict[str, Any], status: int) -> Response:
    """A JSON answer."""
    return Response(orjson.dumps(document, default=streams.plain), status, mimetype="application/json")


def answer_error(error: Exception) -> Response:
    """An error as JSON: its name, what was wrong, what to do next; logged once, counted by name."""
    named = _named(error)
    if named is None:
        return _answer_unnamed(error)
    metrics.count_error(named)
    trace = logs.current()
    logger.warning("%s (%s)", logs.describe(named), trace.subject if trace else "-")
    response = respond(as_json(named), named.status)
    response.status = f"{named.status} {_reason(named)}"
    if isinstance(named, CredentialsError):
        response.headers["WWW-Authenticate"] = 'Basic realm="sam-backend", charset="UTF-8"'
    if isinstance(named, BusyError):
        response.headers["Retry-After"] = "1"
    return response


def as_json(error: SamBackendError) -> dict[str, Any]:
    """What clients are told of a named error."""
    return _body(type(error).__name__, error.message, error.remedy)


def _reason(error: SamBackendError) -> str:
    """The error as the status line's reason: of a failed connection, Label Studio shows its users that line alone.

    Plain ASCII without markup, as it must be in a status line and may be on Label Studio's page.
    """
    text = f"{error.message} {error.remedy}".translate(str.maketrans("", "", "<>&"))
    return re.sub(r"[^ -~]", "?", text)[:REASON_CHARACTERS]


def _named(error: Exception) -> SamBackendError | None:
    if isinstance(error, RequestEntityTooLarge):
        limit = request.max_content_length
        remedy = "Raise SAM_MAX_BODY_BYTES." if request.path in ("/predict", "/setup") else "Send less."
        return BodyTooLargeError(f"The body is larger than {limit} bytes.", remedy)
    return error if isinstance(error, SamBackendError) else None


def _answer_unnamed(error: Exception) -> Response:
    metrics.count_error(error)
    if isinstance(error, HTTPException):
        name, status = type(error).__name__, error.code or 500
        remedy = "The endpoints are /, /health, /ready, /setup, /predict, /versions, /webhook and /metrics."
        response = respond(_body(name, f"{request.method} {request.path}: {error.name}.", remedy), status)
        response.headers.extend({key: value for key, value in error.get_headers() if key == "Allow"})
        return response
    logger.error("A bug; please report it with this traceback.", exc_info=error)
    remedy = "The backend's log has the cause, under the request's X-Request-ID."
    return respond(_body("InternalError", "The backend failed.", remedy), 500)


def _body(name: str, message: str, remedy: str) -> dict[str, Any]:
    return {"error": name, "message": message, "remedy": remedy}
