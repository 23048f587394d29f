"""Our own small Flask application around `SamBackend`, and the process that serves it.

label-studio-ml's server of the 1.x line holds one model for all projects, fails before `/setup` and knows no GET
`/versions`; 2.x is not on PyPI. Both can serve `SamBackend`, this one is made for it.
"""

import hmac
from collections.abc import Callable
from typing import Any

import orjson
from flask import Flask, Response, request
from werkzeug.exceptions import RequestEntityTooLarge

from sam_backend import metrics, services
from sam_backend.errors import BodyError, CredentialsError, WebPageError
from sam_backend.labelstudio.bodies import MOST_LEVELS, is_too_deep
from sam_backend.labelstudio.streams import Streams
from sam_backend.services import Services
from sam_backend.serving.answers import answer_error, respond
from sam_backend.serving.endpoints import Answer, Body, Endpoints
from sam_backend.serving.listener import watch
from sam_backend.serving.observer import Observer
from sam_backend.settings import Settings

_STEP = 1024**2
_WEBHOOK_BYTES = 16 * 1024**2
"""Label Studio's events carry annotations and tasks, whole, which nobody here looks at."""
_OTHER_BYTES = 64 * 1024

# Label Studio sends its events without credentials; a health check has none, and neither has whoever gathers metrics.
STATUS = frozenset({"/health", "/ready", "/metrics"})
WITHOUT_CREDENTIALS = STATUS | {"/webhook"}


def create_app(settings: Settings) -> Flask:
    """Make the application; its model is compiled in the background.

    Raises:
        StartError: the model folder or the device cannot be used.
    """
    shared = services.build(settings)
    app = Flask("sam_backend", static_folder=None)
    app.extensions["sam_backend"] = shared
    _add_endpoints(app, shared)
    app.before_request(_refuse_web_pages)
    app.before_request(lambda: _check_credentials(settings))
    app.before_request(lambda: _limit_body(settings))
    app.register_error_handler(Exception, answer_error)
    app.wsgi_app = Observer(app.wsgi_app, {rule.rule for rule in app.url_map.iter_rules()})  # type: ignore[method-assign]
    shared.loader.start()
    return app


def serve(settings: Settings) -> None:
    """Listen, until a signal says to stop.

    Raises:
        StartError: the port is taken, or the model cannot be used.
    """
    from sam_backend.serving.process import run

    run(settings, create_app, body_limit)


def body_limit(settings: Settings, path: str) -> int:
    """The most bytes that a body may have which is sent to that path."""
    if path in ("/predict", "/setup"):
        return settings.max_body_bytes
    return min(settings.max_body_bytes, _WEBHOOK_BYTES if path == "/webhook" else _OTHER_BYTES)


def _add_endpoints(app: Flask, shared: Services) -> None:
    endpoints = Endpoints(shared, lambda: watch(request.environ))
    for path, methods, answer in (
        ("/", ["GET"], endpoints.health),
        ("/health", ["GET"], endpoints.health),
        ("/ready", ["GET"], endpoints.ready),
        ("/versions", ["GET", "POST"], endpoints.versions),
    ):
        app.add_url_rule(path, path, _json(answer), methods=methods)
    for path, answer_body in (("/setup", endpoints.setup), ("/predict", endpoints.predict)):
        app.add_url_rule(path, path, _json_of_body(answer_body, shared.streams), methods=["POST"])
    app.add_url_rule("/webhook", "/webhook", lambda: respond(*endpoints.webhook(_received())), methods=["POST"])
    app.add_url_rule("/metrics", "/metrics", _metrics, methods=["GET"])


def _json(answer: Callable[[], Answer]) -> Callable[[], Response]:
    return lambda: respond(*answer())


def _json_of_body(answer: Callable[[Body], Answer], streams: Streams) -> Callable[[], Response]:
    return lambda: respond(*answer(_read_body(streams)))


def _metrics() -> Response:
    return Response(metrics.exposition(), mimetype="text/plain; version=0.0.4")


def _read_body(streams: Streams) -> dict[str, Any]:
    try:
        body = streams.loads(_received())
    except orjson.JSONDecodeError as error:
        raise BodyError(f"The body is not JSON: {error}.", "Send a JSON object.") from None
    if not isinstance(body, dict):
        raise BodyError("The body is JSON, but not an object.", "Send a JSON object.")
    if is_too_deep(body):
        raise BodyError(f"The body has more than {MOST_LEVELS} levels.", "Nest less in tasks and regions.")
    return body


def _received() -> bytes:
    """The request's body; in steps, where its length is known: werkzeug's own are small and copy it many times."""
    if request.content_length is None:
        data = request.get_data(cache=False)
        if request.max_content_length is not None and len(data) >= request.max_content_length:
            raise RequestEntityTooLarge  # a body in chunks comes cut off at the limit, without a word
        return data
    step = min(_STEP, request.content_length)
    return b"".join(iter(lambda: request.stream.read(step), b""))


def _limit_body(settings: Settings) -> None:
    request.max_content_length = body_limit(settings, request.path)


def _refuse_web_pages() -> None:
    """Any page that is open on this machine could post to loopback; browsers say so, servers have no reason to."""
    if request.method == "POST" and request.origin:
        raise WebPageError(f"A page of {request.origin[:100]!r} sent this, not a server.", "Leave `Origin` out.")


def _check_credentials(settings: Settings) -> None:
    open_to_all = WITHOUT_CREDENTIALS - STATUS if settings.protect_status else WITHOUT_CREDENTIALS
    if not settings.basic_auth_user or request.path in open_to_all:
        return
    given = request.authorization
    user, password = (given.username or "", given.password or "") if given and given.type == "basic" else ("", "")
    # Both are compared whole, whatever the first one says: the time taken tells nothing.
    right_user = hmac.compare_digest(user.encode(), settings.basic_auth_user.encode())
    right_password = hmac.compare_digest(password.encode(), settings.basic_auth_pass.get_secret_value().encode())
    if not (right_user and right_password):
        raise CredentialsError(
            "User or password is missing or wrong.",
            "Give BASIC_AUTH_USER and BASIC_AUTH_PASS in Label Studio's model connection.",
        )
