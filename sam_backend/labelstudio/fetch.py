"""Get an image's bytes: a data URI, an upload, a local file or a cloud storage of Label Studio, an http(s) address.

Redirects are followed by hand: each hop decides anew which token it may carry (`addresses`).
"""

import base64
import binascii
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from urllib.parse import unquote_to_bytes, urljoin

import requests

from sam_backend.errors import ImageTooLargeError, ImageUnavailableError, ImageUnreadableError
from sam_backend.labelstudio.addresses import (
    Connection,
    TaskId,
    checked,
    credential_for,
    is_cloud,
    is_label_studio,
    resolve,
    shown,
)
from sam_backend.labelstudio.images import Limits
from sam_backend.labelstudio.tokens import Tokens
from sam_backend.labelstudio.transport import Deadline, Http, read

__all__ = ["Connection", "Fetcher"]

MAX_REDIRECTS = 5
_HEADERS = {"Accept": "image/*,*/*;q=0.8", "Accept-Encoding": "identity", "User-Agent": "sam-backend"}


class Fetcher:
    """Fetches images; keeps connections and access tokens. Threads share it."""

    def __init__(self) -> None:
        self._http = Http()
        self._tokens = Tokens(self._http)

    def fetch(self, address: str, connection: Connection, limits: Limits, task_id: TaskId | None = None) -> bytes:
        """The image file that a task names.

        Args:
            address: as it stands in the task.
            connection: Label Studio's address and tokens.
            limits: `timeout` is for everything together, `max_bytes` for the decoded body.
            task_id: the task's, which a cloud storage's URI needs.

        Raises:
            ImageUrlError: an address that we do not fetch from.
            ImageTooLargeError: more bytes than the limit.
            ImageUnreadableError: a data URI that is none.
            ImageUnavailableError: an error status, too many redirects, no connection.
            ImageTimeoutError: too slow.
        """
        if address.lstrip()[:5].lower() == "data:":
            return _from_data_uri(address.strip(), limits)
        deadline = Deadline(limits.timeout)
        url = resolve(address, connection, task_id)
        for _ in range(MAX_REDIRECTS + 1):
            with self._answer(url, connection, deadline) as response:
                if not response.is_redirect:
                    _check_status(response, url, address, connection)
                    return read(response, limits.max_bytes)
                if is_cloud(address) and response.status_code == requests.codes.see_other:
                    connection = Connection()  # a signed address opens by itself, and some refuse a token beside it
                url = checked(urljoin(url, response.headers["Location"]))
        raise ImageUnavailableError(
            f"The image {shown(address)} redirects more than {MAX_REDIRECTS} times.", "Correct its address."
        )

    @contextmanager
    def _answer(self, url: str, connection: Connection, deadline: Deadline) -> Iterator[requests.Response]:
        """One hop's answer, with the token that this hop may carry; an access token that is refused is renewed once."""
        credential = credential_for(url, connection)
        if credential is None:
            with self._http.answer(url, _HEADERS, deadline) as response:
                yield response
            return
        authorization = self._tokens.authorization(credential, deadline)
        with ExitStack() as stack:
            response = stack.enter_context(self._http.answer(url, _with(authorization), deadline))
            if response.status_code == requests.codes.unauthorized:
                renewed = self._tokens.authorization(credential, deadline, refused=authorization)
                if renewed != authorization:
                    response = stack.enter_context(self._http.answer(url, _with(renewed), deadline))
            yield response


def _with(authorization: str) -> dict[str, str]:
    return {**_HEADERS, "Authorization": authorization}


def _check_status(response: requests.Response, url: str, address: str, connection: Connection) -> None:
    status = response.status_code
    if status == requests.codes.ok:
        return
    remedy = "Check that the image exists."
    is_closed = status in (requests.codes.unauthorized, requests.codes.forbidden)
    if is_cloud(address) and not (is_closed and is_label_studio(url, connection)):
        remedy = (
            "Check that the task's project has an import storage for it, with valid keys, and that the file is there."
        )
    elif is_closed:
        remedy = "Set LABEL_STUDIO_URL and LABEL_STUDIO_API_KEY to a Label Studio and a token that may see the image."
    name = f"{shown(address)}, at {shown(url)}" if is_cloud(address) else shown(url)
    raise ImageUnavailableError(f"The image's server answered {status} for {name}.", remedy)


def _from_data_uri(address: str, limits: Limits) -> bytes:
    """The bytes in "data:[type][;base64],..."."""
    header, comma, text = address.partition(",")
    is_base64 = header.lower().endswith(";base64")
    try:
        data = unquote_to_bytes(text)
        data = _from_base64(data) if is_base64 else data
    except (binascii.Error, ValueError) as error:
        raise ImageUnreadableError(f"The data URI cannot be read: {error}.", "Correct it in the task.") from error
    if not comma or not data:
        raise ImageUnreadableError("The data URI has no data.", "Correct it in the task.")
    if len(data) > limits.max_bytes:
        raise ImageTooLargeError(
            f"The data URI's image has {len(data)} bytes, more than {limits.max_bytes}.",
            "Make it smaller, or raise SAM_MAX_IMAGE_BYTES.",
        )
    return data


def _from_base64(text: bytes) -> bytes:
    """As browsers read it: white space does not count, padding may be missing."""
    text = b"".join(text.split())
    return base64.b64decode(text + b"=" * (-len(text) % 4), validate=True)
