"""Addresses of images: what they resolve to, whose they are, which token they may carry.

What lies in a cloud storage is asked of Label Studio, which has the storage's keys: it answers with a redirect to a
signed address, or with the file itself.

A token goes to one origin (scheme, host, port) and nowhere else: the environment's to `LABEL_STUDIO_URL`'s, the one
that `/setup` brought to the origin of the host that this `/setup` named. Where both are the same, the environment's
wins.
"""

import base64
import re
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import requests
from urllib3.util import parse_url

from sam_backend.errors import ImageUrlError
from sam_backend.labelstudio.networks import NamedBy

Origin = tuple[str, str, int]

TaskId = int | str

CLOUD = ("s3", "gs", "azure-blob")
"""The schemes that Label Studio's import storages open."""

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
        is_anonymous: no token is sent, not even to them.
    """

    label_studio_url: str = ""
    api_key: str = field(default="", repr=False)
    setup_hostname: str = ""
    setup_token: str = field(default="", repr=False)
    is_anonymous: bool = False


@dataclass(frozen=True, slots=True)
class Credential:
    """A token and the address of the Label Studio that it is for."""

    base: str
    token: str = field(repr=False)


def resolve(address: str, connection: Connection, task_id: TaskId | None = None) -> str:
    """The http(s) address of what a task names, as it will be requested.

    Args:
        address: "/data/upload/...", "/data/local-files/?d=...", an http(s) address, or a cloud storage's URI.
        connection: paths and cloud storages belong to `LABEL_STUDIO_URL` if that is set, else to the host that `/setup`
            named.
        task_id: the task's; Label Studio opens a cloud storage for a task of its project.

    Raises:
        ImageUrlError: another scheme; a path or a URI without a Label Studio that it belongs to, or a URI without the
            task's id.
    """
    address = address.strip()
    if is_cloud(address):
        return _below(connection, _door(address, task_id), address)
    if not address.startswith("/") or address.startswith("//"):
        return checked(address)
    return _below(connection, address, address)


def is_cloud(address: str) -> bool:
    """It is a cloud storage's URI."""
    return _scheme(address.strip()) in CLOUD


def _door(uri: str, task_id: TaskId | None) -> str:
    """The path at which Label Studio opens a cloud storage's URI for a task."""
    if not re.fullmatch("[0-9]+", str(task_id)):
        raise ImageUrlError(
            f"The image {shown(uri)} is in a cloud storage, which Label Studio opens for a task, and the task's id is "
            f"{shown(str(task_id))}.",
            "Send the task as Label Studio does, with its id.",
        )
    try:
        encoded = base64.urlsafe_b64encode(uri.encode()).decode()
    except UnicodeEncodeError as error:
        raise ImageUrlError(f"The image's address {shown(uri)} is not valid.", "Correct it in the task.") from error
    return f"/tasks/{task_id}/presign/?fileuri={encoded}"


def _below(connection: Connection, path: str, address: str) -> str:
    """The path at Label Studio's own address, which may have a path itself."""
    base = connection.label_studio_url or connection.setup_hostname
    if _origin(base) is None:
        raise ImageUrlError(
            f"The image {shown(address)} has to be asked of Label Studio, whose address is not known.",
            "Set LABEL_STUDIO_URL.",
        )
    parts = urlsplit(_prepared(base))
    prefix = parts.path.rstrip("/")
    path = path if prefix and path.startswith(f"{prefix}/") else prefix + path
    return checked(f"{parts.scheme}://{parts.netloc}{path}")


def checked(url: str) -> str:
    """The address as it will be requested.

    Raises:
        ImageUrlError: no http(s) address, one with a user in it, or one that parsers may read in two ways.
    """
    if _scheme(url) not in _PORTS:
        raise ImageUrlError(
            f"Images are not fetched from {shown(url)}.", "Use uploads, Label Studio's storages, or http(s) addresses."
        )
    if _origin(url) is None:
        raise ImageUrlError(f"The image's address {shown(url)} is not valid.", "Correct it in the task.")
    return _prepared(url)


def credential_for(url: str, connection: Connection) -> Credential | None:
    """The one token that may be sent to this address, or None."""
    origin = _origin(url)
    pairs = ((connection.label_studio_url, connection.api_key), (connection.setup_hostname, connection.setup_token))
    for base, token in pairs if not connection.is_anonymous else ():
        if token and origin is not None and origin == _origin(base):
            return Credential(base.rstrip("/"), token)
    return None


def is_label_studio(url: str, connection: Connection) -> bool:
    """It is an address of the Label Studio that the request belongs to."""
    ours = {_origin(connection.label_studio_url), _origin(connection.setup_hostname)}
    return _origin(url) in ours - {None}


def named_by(url: str, connection: Connection) -> NamedBy:
    """Who named the host of an address. Where `LABEL_STUDIO_URL` is set, what `/setup` names is not needed."""
    origin = _origin(url)
    if origin is not None and origin == _origin(connection.label_studio_url):
        return NamedBy.OPERATOR
    if origin is not None and not connection.label_studio_url and origin == _origin(connection.setup_hostname):
        return NamedBy.SETUP
    return NamedBy.ANYBODY


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
