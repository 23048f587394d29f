"""Addresses of images: what they resolve to, whose they are, which token they may carry.

A token goes to one origin (scheme, host, port) and nowhere else: the environment's to `LABEL_STUDIO_URL`'s, the one
that `/setup` brought to the origin of the host that this `/setup` named. Where both are the same, the environment's
wins.
"""

import re
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import requests
from urllib3.util import parse_url

from sam_backend.errors import ImageUrlError

Origin = tuple[str, str, int]

_PORTS = {"http": 80, "https": 443}
_READ_IN_TWO_WAYS = re.compile(r"[\\\x00-\x1f\x7f]")
_USER = re.compile(r"//[^/?#]*@")
_SHOWN = 200


@dataclass(frozen=True, slots=True)
class Connection:
    """The Label Studio that a request belongs to.

    Attributes:
        label_studio_url: `LABEL_STUDIO_URL`, or empty.
        api_key: `LABEL_STUDIO_API_KEY`, or empty.
        setup_hostname: the address that the project's `/setup` named, or empty.
        setup_token: the token that came with it, or empty.
    """

    label_studio_url: str = ""
    api_key: str = field(default="", repr=False)
    setup_hostname: str = ""
    setup_token: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Credential:
    """A token and the address of the Label Studio that it is for."""

    base: str
    token: str = field(repr=False)


def resolve(address: str, connection: Connection) -> str:
    """The http(s) address of what a task names, as it will be requested.

    Args:
        address: "/data/upload/...", "/data/local-files/?d=...", or an http(s) address.
        connection: paths belong to `LABEL_STUDIO_URL` if that is set, else to the host that `/setup` named.

    Raises:
        ImageUrlError: another scheme, or a path without a Label Studio that it belongs to.
    """
    address = address.strip()
    if not address.startswith("/") or address.startswith("//"):
        return checked(address)
    base = connection.label_studio_url or connection.setup_hostname
    if _origin(base) is None:
        raise ImageUrlError(
            f"The image {shown(address)} is a path, and Label Studio's address is not known.", "Set LABEL_STUDIO_URL."
        )
    parts = urlsplit(_prepared(base))
    prefix = parts.path.rstrip("/")
    path = address if prefix and address.startswith(f"{prefix}/") else prefix + address
    return checked(f"{parts.scheme}://{parts.netloc}{path}")


def checked(url: str) -> str:
    """The address as it will be requested.

    Raises:
        ImageUrlError: no http(s) address, one with a user in it, or one that parsers may read in two ways.
    """
    if _scheme(url) not in _PORTS:
        raise ImageUrlError(
            f"Images are not fetched from {shown(url)}.", "Use uploads, local files, or http(s) addresses."
        )
    if _origin(url) is None:
        raise ImageUrlError(f"The image's address {shown(url)} is not valid.", "Correct it in the task.")
    return _prepared(url)


def credential_for(url: str, connection: Connection) -> Credential | None:
    """The one token that may be sent to this address, or None."""
    origin = _origin(url)
    pairs = ((connection.label_studio_url, connection.api_key), (connection.setup_hostname, connection.setup_token))
    for base, token in pairs:
        if token and origin is not None and origin == _origin(base):
            return Credential(base.rstrip("/"), token)
    return None


def shown(address: str) -> str:
    """The address as messages may show it: short, without a user, and without the query, which may hold a signature.

    The query of Label Studio's local files stays: it is the file's name.
    """
    path, _, query = _USER.sub("//", address).partition("?")
    name = f"{path}?{query}" if query and path.endswith("/data/local-files/") else path
    return repr(name if len(name) <= _SHOWN else name[:_SHOWN] + "…")


def _scheme(url: str) -> str:
    """The scheme in lower case, or empty."""
    scheme, colon, _ = url.partition(":")
    return scheme.lower() if colon else ""


def _origin(url: str) -> Origin | None:
    """Whom a request to this address reaches; None where that is not beyond doubt.

    Both parsers that stand between here and the socket must agree, and a user name ("http://mine@theirs/") is refused.
    """
    try:
        prepared = _prepared(url)
        parts, other = urlsplit(prepared), parse_url(prepared)
        port = parts.port or _PORTS[parts.scheme]
    except (ImageUrlError, KeyError, ValueError):
        return None
    host = parts.hostname or ""
    agree = (parts.scheme, host, parts.port) == (other.scheme, (other.host or "").strip("[]").lower(), other.port)
    return (parts.scheme, host, port) if host and agree and "@" not in parts.netloc else None


def _prepared(url: str) -> str:
    """The address as requests writes it: host in lower case and ASCII, spaces and letters of the path escaped."""
    if _READ_IN_TWO_WAYS.search(url):
        raise ImageUrlError(f"The image's address {shown(url)} has a backslash or a control character.", "Escape it.")
    try:
        return str(requests.Request("GET", url).prepare().url)
    except (requests.RequestException, ValueError) as error:
        raise ImageUrlError(f"The image's address {shown(url)} is not valid.", "Correct it in the task.") from error
