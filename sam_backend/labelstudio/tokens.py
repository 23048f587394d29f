"""What to write into `Authorization`: Label Studio has two kinds of tokens.

A legacy token is sent as it is. A personal access token is a JWT that Label Studio accepts nowhere but at
`/api/token/refresh/`, which gives an access token for five minutes; that one is sent.
"""

import json
import re
import threading
import time
from dataclasses import dataclass, field

import requests
from cachetools import LRUCache

from sam_backend.errors import ImageUnavailableError
from sam_backend.labelstudio.addresses import Credential, shown
from sam_backend.labelstudio.transport import Deadline, Http, read

_JWT = re.compile(r"eyJ[\w-]+\.[\w-]+\.[\w-]+")
LIFETIME = 300.0
"""Seconds that Label Studio's access tokens are valid; where they are not, a 401 renews them."""
MARGIN = 30.0
_MAX_KEPT = 256
_MAX_ANSWER = 64 * 1024
_REMEDY = "Check LABEL_STUDIO_API_KEY, or create a new token in Label Studio."


def is_personal(token: str) -> bool:
    """Whether it is a personal access token, and not a legacy one."""
    return bool(_JWT.fullmatch(token))


@dataclass(slots=True)
class _Access:
    """The newest access token for one credential; who holds the lock may replace it."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    token: str = field(default="", repr=False)
    until: float = 0.0


class Tokens:
    """Keeps access tokens until shortly before they expire. Threads share it; each refresh happens once for all."""

    def __init__(self, http: Http) -> None:
        self._http = http
        self._lock = threading.Lock()
        self._kept: LRUCache[Credential, _Access] = LRUCache(_MAX_KEPT)

    def authorization(self, credential: Credential, deadline: Deadline, refused: str = "") -> str:
        """The header's value.

        Args:
            credential: whose token.
            deadline: for the refresh, where one is needed, and for waiting for another thread's.
            refused: the value that was answered with 401, so that a newer one is wanted.

        Returns:
            "Token ..." or "Bearer ...". For a legacy token it is always the same.

        Raises:
            ImageUnavailableError: Label Studio gives no access token.
            ImageTimeoutError: not in time.
        """
        if not is_personal(credential.token):
            return f"Token {credential.token}"
        with self._lock:
            access = self._kept.setdefault(credential, _Access())
        if not access.lock.acquire(timeout=deadline.remaining()):
            raise deadline.error()
        try:
            if refused == f"Bearer {access.token}" or time.monotonic() >= access.until:
                start = time.monotonic()
                access.token = self._refresh(credential, deadline)
                access.until = start + LIFETIME - MARGIN
            return f"Bearer {access.token}"
        finally:
            access.lock.release()

    def _refresh(self, credential: Credential, deadline: Deadline) -> str:
        url = f"{credential.base}/api/token/refresh/"
        with self._http.answer(url, {}, deadline, json={"refresh": credential.token}) as response:
            if response.is_redirect:
                raise ImageUnavailableError(
                    f"{shown(url)} redirects to {shown(response.headers['Location'])}, and a token must not follow.",
                    "Set LABEL_STUDIO_URL to the address that it redirects to.",
                )
            if response.status_code != requests.codes.ok:
                raise ImageUnavailableError(
                    f"Label Studio answered {response.status_code} to the personal access token.", _REMEDY
                )
            return _access_token(response)


def _access_token(response: requests.Response) -> str:
    try:
        token = json.loads(read(response, _MAX_ANSWER))["access"]
    except (ValueError, KeyError, TypeError) as error:
        raise ImageUnavailableError("Label Studio's answer to the token has no access token.", _REMEDY) from error
    return str(token)
