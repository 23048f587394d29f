"""A name server on loopback, as Docker has one for the containers of a network: an address for each replica."""

import contextlib
import socketserver
import struct
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from ipaddress import IPv4Address

_A, _NO_SUCH_NAME = 1, 3


@dataclass
class NameServer:
    """What it knows: addresses by name; and the port where it is asked, by UDP on 127.0.0.1."""

    port: int = 0
    addresses: dict[str, list[str]] = field(default_factory=dict)

    def answer(self, query: bytes) -> bytes:
        """The addresses of the name that is asked for; there are only those of IPv4."""
        end, labels = 12, []
        while length := query[end]:
            labels.append(query[end + 1 : end + 1 + length].decode())
            end += length + 1
        kind = struct.unpack("!H", query[end + 1 : end + 3])[0]
        known = self.addresses.get(".".join(labels))
        found = [] if kind != _A else known or []
        flags = 0x8180 | (_NO_SUCH_NAME if known is None else 0)
        header = query[:2] + struct.pack("!HHHHH", flags, 1, len(found), 0, 0)
        record = struct.pack("!HHHIH", 0xC00C, _A, 1, 1, 4)  # the name that was asked; one second
        return header + query[12 : end + 5] + b"".join(record + IPv4Address(one).packed for one in found)


@contextlib.contextmanager
def name_server() -> Iterator[NameServer]:
    """Run one while inside."""
    server = NameServer()

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            data, sock = self.request
            sock.sendto(server.answer(data), self.client_address)

    with socketserver.ThreadingUDPServer(("127.0.0.1", 0), Handler) as listener:
        server.port = listener.server_address[1]
        thread = threading.Thread(target=listener.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield server
        finally:
            listener.shutdown()
            thread.join()
