"""Label Studio's API for a bulk job: patient with a server that is slow or restarts, not with a wrong token.

The SDK sends both kinds of tokens. Its own retries are off: they repeat a POST whose answer was lost, although it may
have been done. Its redirects are off too: a personal access token travels in a body, which would follow them anywhere.
"""

import json
import logging
import time
from collections.abc import Callable
from typing import Any, TypeVar

from sam_backend.errors import JobError, LabelStudioError, RefusedError
from sam_backend.settings import Settings

logger = logging.getLogger(__name__)

Answer = TypeVar("Answer")

INSTALL = "pip install --no-deps -r requirements-project.txt"
WAITS = (1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0, 60.0, 60.0, 60.0)
"""Seconds between tries: five minutes in all, in which a Label Studio restarts."""

_TRIES_WHEN_BROKEN = 5
_TIMEOUT = 120.0
_LONGEST_WAIT = 60.0
_UNAUTHORIZED, _FORBIDDEN = 401, 403
_BUSY = (408, 429, 502, 503, 504)
_CHECK = "Check LABEL_STUDIO_API_KEY: a legacy token or a personal access token of somebody who may see the project."


class _TryAgain(Exception):  # noqa: N818 (it is no error yet)
    """Label Studio may answer another time: after `wait` seconds at least, and not more than `tries` times."""

    def __init__(self, error: LabelStudioError, tries: int, wait: float = 0.0) -> None:
        super().__init__(error)
        self.error = error
        self.tries = tries
        self.wait = wait


class Studio:
    """Label Studio at `LABEL_STUDIO_URL`, with the token of `LABEL_STUDIO_API_KEY`. Threads may share it.

    Raises:
        JobError: the SDK is not installed, or one of the two is not set.
        LabelStudioError: the token has expired.
    """

    def __init__(self, settings: Settings, sleep: Callable[[float], None] = time.sleep) -> None:
        self.url = settings.label_studio_url
        self._key = settings.label_studio_api_key.get_secret_value()
        self._sleep = sleep
        if not self.url or not self._key:
            missing = "LABEL_STUDIO_API_KEY" if self.url else "LABEL_STUDIO_URL"
            raise JobError(f"A project needs {missing}.", "Set LABEL_STUDIO_URL and LABEL_STUDIO_API_KEY.")
        self._http: Any = None
        self._client = self._connect()

    def close(self) -> None:
        """Let go of the connections. It may be called twice."""
        self._http.close()

    def ask(self, question: Callable[[Any], Answer]) -> Answer:
        """What Label Studio answers; the question is put again while the server is away, busy or broken.

        Args:
            question: is given the SDK's client (`label_studio_sdk.base_client.LabelStudioBase`). It is called from its
                start each time: what must not be done twice has to look first.

        Raises:
            RefusedError: not this; something else may be answered.
            LabelStudioError: the token is wrong or has expired, or Label Studio is not there.
        """
        renewed = False
        for tried, wait in enumerate((*WAITS, 0.0), start=1):
            try:
                return self._once(question)
            except _TryAgain as again:
                if tried >= again.tries:
                    raise again.error from None
                logger.warning("%s Trying again.", again.error.message)
                self._sleep(max(wait, again.wait))
            except LabelStudioError as error:
                # An access token lives for minutes, and may expire on its way.
                if renewed or error.answered != _UNAUTHORIZED:
                    raise
                renewed, self._client = True, self._connect()
        raise AssertionError

    def _connect(self) -> Any:
        try:
            import httpx
            from label_studio_sdk.base_client import LabelStudioBase
            from label_studio_sdk.core.api_error import ApiError
        except ImportError as error:
            raise JobError(f"A project needs label-studio-sdk ({error}).", f"Install it: {INSTALL}") from None
        logging.getLogger("httpx").setLevel(logging.WARNING)  # it would tell of each request
        self._http = self._http or httpx.Client(timeout=_TIMEOUT, follow_redirects=False)
        # The slash at the end keeps a path in the address when the SDK joins that of the tokens to it.
        url = f"{self.url}/"
        try:
            return LabelStudioBase(base_url=url, api_key=self._key, max_retries=0, httpx_client=self._http)
        except ApiError as error:  # it looks at when a token expires
            raise LabelStudioError(f"The token for Label Studio is not valid: {_said(error.body)}.", _CHECK) from None

    def _once(self, question: Callable[[Any], Answer]) -> Answer:
        import httpx
        from label_studio_sdk.core.api_error import ApiError

        try:
            return question(self._client)
        except httpx.TransportError as error:
            message = f"There is no connection to Label Studio at {self.url}: {str(error) or type(error).__name__}."
            raise _TryAgain(LabelStudioError(message, "Check LABEL_STUDIO_URL."), len(WAITS) + 1) from error
        except json.JSONDecodeError as error:  # in place of an access token
            message = f"Label Studio at {self.url} does not answer in JSON."
            raise _TryAgain(LabelStudioError(message, "Check LABEL_STUDIO_URL."), _TRIES_WHEN_BROKEN) from error
        except ApiError as error:
            raise self._meaning(error) from None

    def _meaning(self, error: Any) -> Exception:
        """What is to be done about an answer that is none."""
        status, headers = error.status_code or 0, error.headers or {}
        message = f"Label Studio answered {status}: {_said(error.body)}."
        if status in (_UNAUTHORIZED, _FORBIDDEN):
            return LabelStudioError(message, _CHECK, status)
        if status in _BUSY:
            busy = LabelStudioError(
                message, "Run the same command again when it is well; it goes on from there.", status
            )
            return _TryAgain(busy, len(WAITS) + 1, _seconds(headers.get("retry-after")))
        if status >= 500:
            return _TryAgain(RefusedError(message, "See Label Studio's log.", status), _TRIES_WHEN_BROKEN)
        if 300 <= status < 400:
            where = headers.get("location", "elsewhere")
            return LabelStudioError(f"{self.url} redirects to {where}.", "Set LABEL_STUDIO_URL to that server.", status)
        return RefusedError(message, answered=status)


def _seconds(retry_after: str | None) -> float:
    """A server's wish to be left alone, within reason."""
    return min(float(retry_after), _LONGEST_WAIT) if retry_after and retry_after.isdecimal() else 0.0


def _said(body: Any) -> str:
    """What an answer complains of, in short."""
    if isinstance(body, dict):
        found = body.get("validation_errors") or body.get("detail") or body
        return (found if isinstance(found, str) else json.dumps(found)).rstrip(".")[:300]
    return " ".join(str(body or "nothing").split())[:100]
