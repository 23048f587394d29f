"""Downloads from a real server on loopback: resumed, checked, and nothing wrong kept."""

import hashlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from model_export.architectures import Download
from model_export.download import CHUNK, fetch
from model_export.errors import ChecksumError, DownloadError

CONTENT = bytes(range(256)) * 2000
NAME = "checkpoint.pth"


@dataclass
class Behavior:
    """How the server misbehaves, and the offsets that it was asked for (None: from the start)."""

    ranges: bool = True
    stop_after: list[int] = field(default_factory=list)  # bytes to send before hanging up, one entry an answer
    status: int = 200
    content: bytes = CONTENT
    asked: list[int | None] = field(default_factory=list)


class Handler(BaseHTTPRequestHandler):
    behavior: Behavior

    def do_GET(self) -> None:
        wanted = self.headers.get("Range")
        offset = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted else None
        self.behavior.asked.append(offset)
        if self.behavior.status != 200:
            self.send_error(self.behavior.status)
            return
        start = offset if offset is not None and self.behavior.ranges else 0
        body = self.behavior.content[start:]
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(body)))
        if start:
            total = len(self.behavior.content)
            self.send_header("Content-Range", f"bytes {start}-{total - 1}/{total}")
        self.end_headers()
        self.wfile.write(body[: self.behavior.stop_after.pop(0)] if self.behavior.stop_after else body)

    def log_message(self, *_: object) -> None:
        """Nothing on the terminal."""


@pytest.fixture
def behavior() -> Behavior:
    return Behavior()


@pytest.fixture
def published(behavior: Behavior) -> Iterator[Download]:
    handler = type("ThisHandler", (Handler,), {"behavior": behavior})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        url = f"http://127.0.0.1:{server.server_port}/files/{NAME}"
        yield Download(url, len(CONTENT), hashlib.sha256(CONTENT).hexdigest())
        server.shutdown()
        thread.join()


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_checkpoint_is_downloaded_once(published: Download, behavior: Behavior, tmp_path: Path) -> None:
    for _ in range(2):
        assert fetch(published, tmp_path / "new" / "cache").read_bytes() == CONTENT
    assert behavior.asked == [None]
    assert files(tmp_path / "new" / "cache") == [NAME]


def test_a_broken_connection_is_resumed_at_once(published: Download, behavior: Behavior, tmp_path: Path) -> None:
    behavior.stop_after = [2 * CHUNK, 3 * CHUNK]
    assert fetch(published, tmp_path).read_bytes() == CONTENT
    assert behavior.asked == [None, 2 * CHUNK, 5 * CHUNK]


def test_a_download_that_was_given_up_goes_on_where_it_stopped(
    published: Download, behavior: Behavior, tmp_path: Path
) -> None:
    behavior.stop_after = [3 * CHUNK + 100, 0]
    with pytest.raises(DownloadError, match=r"196608 of 512000 bytes.*Run the command again"):
        fetch(published, tmp_path)
    assert files(tmp_path) == [f"{NAME}.part"]

    assert fetch(published, tmp_path).read_bytes() == CONTENT
    assert behavior.asked == [None, 3 * CHUNK, 3 * CHUNK]
    assert files(tmp_path) == [NAME]


def test_a_server_without_range_is_read_from_the_start(published: Download, behavior: Behavior, tmp_path: Path) -> None:
    behavior.ranges = False
    (tmp_path / f"{NAME}.part").write_bytes(b"\xff" * 1000)
    assert fetch(published, tmp_path).read_bytes() == CONTENT
    assert behavior.asked == [1000]


@pytest.mark.parametrize("content", [CONTENT[:-1] + b"?", CONTENT + b"more"], ids=["changed", "longer"])
def test_a_wrong_file_is_deleted(published: Download, behavior: Behavior, tmp_path: Path, content: bytes) -> None:
    behavior.content = content
    with pytest.raises(ChecksumError, match=r"has SHA-256 .* was published; it has been deleted"):
        fetch(published, tmp_path)
    assert files(tmp_path) == []


def test_a_wrong_part_is_deleted_and_the_next_run_gets_the_right_file(
    published: Download, behavior: Behavior, tmp_path: Path
) -> None:
    (tmp_path / f"{NAME}.part").write_bytes(b"\xff" * 1000)
    with pytest.raises(ChecksumError):
        fetch(published, tmp_path)
    assert fetch(published, tmp_path).read_bytes() == CONTENT
    assert behavior.asked == [1000, None]


def test_a_file_that_went_bad_in_the_cache_is_noticed(published: Download, tmp_path: Path) -> None:
    (tmp_path / NAME).write_bytes(b"\xff" * len(CONTENT))
    with pytest.raises(ChecksumError):
        fetch(published, tmp_path)
    assert files(tmp_path) == []


def test_the_servers_refusal_is_named(published: Download, behavior: Behavior, tmp_path: Path) -> None:
    behavior.status = 404
    with pytest.raises(DownloadError, match=r"0 of 512000 bytes.*the server answered 404 Not Found"):
        fetch(published, tmp_path)
    assert files(tmp_path) == []


def test_a_server_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match="the connection failed"):
        fetch(Download("http://127.0.0.1:9/sam.pth", 10, "0" * 64), tmp_path)


def test_a_cache_that_cannot_be_made_is_named(published: Download, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(DownloadError, match=r"cannot be written: Not a directory.*--cache"):
        fetch(published, tmp_path / "file" / "cache")
