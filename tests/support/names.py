"""Names of hosts that no resolver knows, with addresses that may change from one look to the next."""

import socket
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest


@dataclass
class Names:
    """A resolver in place of the system's, which is asked for all other names and for addresses.

    Attributes:
        known: for each name the addresses that it has at each look; the last ones stay.
        asked: the names that were looked up here.
    """

    known: dict[str, list[Sequence[str]]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def know(self, name: str, *looks: Sequence[str]) -> None:
        """At each look a name has these addresses."""
        self.known[name] = list(looks)

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Be asked by this process from now on."""
        system = socket.getaddrinfo

        def getaddrinfo(host: Any, *args: Any, **options: Any) -> Any:
            if host not in self.known:
                return system(host, *args, **options)
            if options.get("flags", 0) & socket.AI_NUMERICHOST:
                raise socket.gaierror(socket.EAI_NONAME, "a name, not an address")
            self.asked.append(host)
            looks = self.known[host]
            addresses = looks.pop(0) if len(looks) > 1 else looks[0]
            return [found for address in addresses for found in system(address, *args, **options)]

        monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
