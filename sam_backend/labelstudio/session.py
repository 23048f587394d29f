"""GET with the token that an address may carry; an access token that is refused is renewed once."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import NamedTuple

import requests

from sam_backend.labelstudio.addresses import Connection, credential_for, named_by
from sam_backend.labelstudio.networks import Gate, NamedBy, Networks
from sam_backend.labelstudio.tokens import Tokens
from sam_backend.labelstudio.transport import Deadline, Http


class _Way(NamedTuple):
    """Connections through one gate, and the access tokens that came through it."""

    http: Http
    tokens: Tokens


class Session:
    """Keeps connections and access tokens. Threads share it.

    Args:
        networks: where it may connect to.
    """

    def __init__(self, networks: Networks) -> None:
        # Each has connections of its own: what one gate let through is no way past another.
        self._ways = {named_by: _way(Gate(networks, named_by)) for named_by in NamedBy}

    @contextmanager
    def answer(
        self, url: str, connection: Connection, deadline: Deadline, headers: Mapping[str, str]
    ) -> Iterator[requests.Response]:
        """One address's answer, whatever its status is; redirects are not followed, its body is not read yet.

        Raises:
            ImageUrlError: its host is in a network that is not connected to.
            ImageUnavailableError: no connection, or Label Studio gives no access token.
            ImageTimeoutError: too slow.
        """
        http, tokens = self._ways[named_by(url, connection)]
        credential = credential_for(url, connection)
        if credential is None:
            with http.answer(url, headers, deadline) as response:
                yield response
            return
        authorization = tokens.authorization(credential, deadline)
        with ExitStack() as stack:
            response = stack.enter_context(http.answer(url, _with(headers, authorization), deadline))
            if response.status_code == requests.codes.unauthorized:
                renewed = tokens.authorization(credential, deadline, refused=authorization)
                if renewed != authorization:
                    response = stack.enter_context(http.answer(url, _with(headers, renewed), deadline))
            yield response


def _way(gate: Gate) -> _Way:
    http = Http(gate)
    return _Way(http, Tokens(http))


def _with(headers: Mapping[str, str], authorization: str) -> dict[str, str]:
    return {**headers, "Authorization": authorization}
