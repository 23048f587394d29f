"""Download a published checkpoint: resumed where it stopped, and used only when its checksum is right."""

import hashlib
from pathlib import Path

import requests
from tqdm import tqdm

from model_export.architectures import Download
from model_export.errors import ChecksumError, DownloadError

TIMEOUT = (10, 60)
CHUNK = 1 << 16  # what a broken connection costs at most


def fetch(download: Download, cache: Path) -> Path:
    """The checkpoint's path in `cache`, after downloading what is missing of it.

    An unfinished download stays as `<name>.part`, and the next call goes on from there; `<name>` exists only once its
    checksum was right.

    Raises:
        DownloadError: the server could not be reached, or the disk refuses.
        ChecksumError: what came is not the published file; it has been deleted.
    """
    path = cache / download.url.rpartition("/")[2]
    part = path.with_name(f"{path.name}.part")
    try:
        if path.is_file():
            _check(download, path)
            return path
        cache.mkdir(parents=True, exist_ok=True)
        _complete(download, part)
        _check(download, part)
        part.replace(path)
    except OSError as error:
        raise DownloadError(
            f"{part} cannot be written: {error.strerror or error}.", "Choose another --cache."
        ) from None
    return path


def _check(download: Download, path: Path) -> None:
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != download.sha256:
        path.unlink()
        raise ChecksumError(
            f"{path.name} has SHA-256 {found[:16]}…, {download.sha256[:16]}… was published; it has been deleted.",
            "Run the command again to download it anew.",
        )


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _complete(download: Download, part: Path) -> None:
    """Ask again, from where the last answer broke off, as long as that gets anywhere."""
    while (have := _size(part)) < download.size:
        reason = "the server closed the connection"
        try:
            _receive(download, part)
        except requests.RequestException as error:
            reason = _reason(error)
        if _size(part) <= have:
            raise DownloadError(
                f"{download.url} was not downloaded ({_size(part)} of {download.size} bytes): {reason}.",
                "Run the command again to go on from there, or fetch the file yourself and give it to --checkpoint.",
            )


def _reason(error: requests.RequestException) -> str:
    if error.response is not None:
        return f"the server answered {error.response.status_code} {error.response.reason}"
    return {"ConnectTimeout": "no connection in time", "ReadTimeout": "the server fell silent"}.get(
        type(error).__name__, "the connection failed"
    )


def _receive(download: Download, part: Path) -> None:
    have = _size(part)
    headers = {"Range": f"bytes={have}-", "Accept-Encoding": "identity"} if have else {"Accept-Encoding": "identity"}
    with requests.get(download.url, headers=headers, stream=True, timeout=TIMEOUT) as response:
        response.raise_for_status()
        resumed = response.status_code == requests.codes.partial_content
        _write(response, part, download.size, have if resumed else 0)


def _write(response: requests.Response, part: Path, total: int, have: int) -> None:
    bar = tqdm(total=total, initial=have, unit="B", unit_scale=True, desc=part.stem, leave=False)
    with bar, part.open("ab" if have else "wb") as file:
        for chunk in response.iter_content(CHUNK):
            file.write(chunk)
            bar.update(len(chunk))
            if file.tell() > total:
                return
