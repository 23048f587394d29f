"""GET with the token that an address may carry; an access token that is refused is renewed once."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager

import requests

from sam_backend.labelstudio.addresses import Connection, credential_for
from sam_backend.labelstudio.tokens import Tokens
from sam_backend.labelstudio.transport import Deadline, Http


class Session:
    """Keeps connections and access tokens. Threads share it."""

    def __init__(self) -> None:
        self._http = Http()
        self._tokens = Tokens(self._http)

    @contextmanager
    def answer(
        self, url: str, connection: Connection, deadline: Deadline, headers: Mapping[str, str]
    ) -> Iterator[requests.Response]:
        """One address's answer, whatever its status is; redirects are not followed, its body is not read yet.

        Raises:
            ImageUnavailableError: no connection, or Label Studio gives no access token.
            ImageTimeoutError: too slow.
        """
        credential = credential_for(url, connection)
        if credential is None:
            with self._http.answer(url, headers, deadline) as response:
                yield response
            return
        authorization = self._tokens.authorization(credential, deadline)
        with ExitStack() as stack:
            response = stack.enter_context(self._http.answer(url, _with(headers, authorization), deadline))
            if response.status_code == requests.codes.unauthorized:
                renewed = self._tokens.authorization(credential, deadline, refused=authorization)
                if renewed != authorization:
                    response = stack.enter_context(self._http.answer(url, _with(headers, renewed), deadline))
            yield response


def _with(headers: Mapping[str, str], authorization: str) -> dict[str, str]:
    return {**headers, "Authorization": authorization}
