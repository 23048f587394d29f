"""Get an image's bytes: a data URI, an upload, a local file or a cloud storage of Label Studio, an http(s) address.

Redirects are followed by hand: each hop decides anew which token it may carry (`addresses`). What a server says of a
file's version (`Stamp`) goes back to the address that said it, and to no other.
"""

import base64
import binascii
from dataclasses import dataclass, field, replace
from typing import Self
from urllib.parse import unquote_to_bytes, urljoin

import requests

from sam_backend.errors import ImageTooLargeError, ImageUnavailableError, ImageUnreadableError
from sam_backend.labelstudio.addresses import (
    Connection,
    TaskId,
    checked,
    is_cloud,
    is_label_studio,
    resolve,
    shown,
)
from sam_backend.labelstudio.images import Limits
from sam_backend.labelstudio.networks import Networks
from sam_backend.labelstudio.session import Session
from sam_backend.labelstudio.transport import Deadline, read

__all__ = ["Connection", "Fetcher", "File", "Stamp"]

MAX_REDIRECTS = 5
_HEADERS = {"Accept": "image/*,*/*;q=0.8", "Accept-Encoding": "identity", "User-Agent": "sam-backend"}


@dataclass(frozen=True, slots=True)
class Stamp:
    """By what a server knows one version of a file.

    Attributes:
        url: the address that gave it, behind all redirects; it may carry a signature.
        etag: its `ETag`, or empty.
        modified: its `Last-Modified`, or empty.
    """

    url: str = field(default="", repr=False)
    etag: str = ""
    modified: str = ""

    @classmethod
    def of(cls, url: str, response: requests.Response) -> Self:
        """What an answer says."""
        return cls(url, response.headers.get("ETag", ""), response.headers.get("Last-Modified", ""))

    def questions(self, url: str) -> dict[str, str]:
        """The headers that ask this address whether it is the same still; none for another address."""
        asked = {"If-None-Match": self.etag, "If-Modified-Since": self.modified} if url == self.url else {}
        return {name: value for name, value in asked.items() if value}


@dataclass(frozen=True, slots=True)
class File:
    """An image's file."""

    data: bytes = field(repr=False)
    stamp: Stamp = field(default_factory=Stamp)


class Fetcher:
    """Fetches images; keeps connections and access tokens. Threads share it.

    Args:
        networks: where images may come from.
    """

    def __init__(self, networks: Networks) -> None:
        self._session = Session(networks)

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
        file = self.ask(address, connection, limits, task_id)
        assert file is not None  # noqa: S101 (without a stamp there is no "the same still")
        return file.data

    def ask(
        self,
        address: str,
        connection: Connection,
        limits: Limits,
        task_id: TaskId | None = None,
        known: Stamp | None = None,
    ) -> File | None:
        """The file, or None where the server says that it is the `known` one still.

        Args and Raises: as `fetch`.
        """
        if address.lstrip()[:5].lower() == "data:":
            return File(_from_data_uri(address.strip(), limits))
        deadline = Deadline(limits.timeout)
        url = resolve(address, connection, task_id)
        for _ in range(MAX_REDIRECTS + 1):
            questions = known.questions(url) if known else {}
            with self._session.answer(url, connection, deadline, _HEADERS | questions) as response:
                if questions and response.status_code == requests.codes.not_modified:
                    return None
                if not response.is_redirect:
                    _check_status(response, url, address, connection)
                    return File(read(response, limits.max_bytes), Stamp.of(url, response))
                if is_cloud(address) and response.status_code == requests.codes.see_other:
                    connection = replace(
                        connection, is_anonymous=True
                    )  # a signed address opens by itself, and some refuse a token beside it
                url = checked(urljoin(url, response.headers["Location"]))
        raise ImageUnavailableError(
            f"The image {shown(address)} redirects more than {MAX_REDIRECTS} times.", "Correct its address."
        )


def _check_status(response: requests.Response, url: str, address: str, connection: Connection) -> None:
    status = response.status_code
    if status == requests.codes.ok:
        return
    remedy = "Check that the image exists."
    is_closed = status in (requests.codes.unauthorized, requests.codes.forbidden)
    is_label_studios = is_label_studio(url, connection) and not connection.is_anonymous
    if is_cloud(address) and not (is_closed and is_label_studios):
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
