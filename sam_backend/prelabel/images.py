"""Source: images of a folder, of a pattern, or of a list; each becomes a task with one address.

Label Studio reads local files as `/data/local-files/?d=PATH`, where PATH is relative to its
`LOCAL_FILES_DOCUMENT_ROOT` and escaped as in any query.
"""

import functools
import glob
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sam_backend.errors import JobError
from sam_backend.labelstudio.config import LabelConfig
from sam_backend.prelabel.types import Item

LOCAL_FILES = "/data/local-files/?d="
SUFFIXES = (".avif", ".bmp", ".gif", ".jfif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")

_FOLDERS = 1024
"""Whose real paths are remembered: to follow all links of each file would take as long as to find it."""

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://|data:|/data/(upload|local-files)/")
_FIELD = re.compile(r"\$(\w+)")


@dataclass(frozen=True, slots=True)
class Field:
    """Where a task has its image's address: the field's name, and whether it is a list there."""

    name: str
    is_list: bool

    @classmethod
    def of(cls, config: LabelConfig) -> "Field":
        """The one field of the label config's one `<Image>`.

        Raises:
            JobError: it has several images, or the value is no simple field.
        """
        values = {(image.value, image.is_list) for image in config.images}
        found = _FIELD.fullmatch(config.images[0].value)
        if len(values) > 1 or not found:
            raise JobError(
                f"The label config reads images from {', '.join(sorted(value for value, _ in values))}; --images fills "
                "one field, such as $image.",
                "Write the tasks yourself, and give them as --tasks FILE.json.",
            )
        return cls(found[1], config.images[0].is_list)

    def data(self, url: str) -> dict[str, Any]:
        """A task's data."""
        return {self.name: [url] if self.is_list else url}


class Images:
    """The images that a folder, a pattern or a list names.

    Args:
        what: a folder, which is searched with all its sub-folders but hidden ones; a pattern; an image; or a text file
            with a path or an address on each line. Paths of a list are relative to the current folder.
        field: where the tasks have their address.
        prefix: stands before the escaped path of a file, relative to `root`.
        root: Label Studio's `LOCAL_FILES_DOCUMENT_ROOT`; None: the folder itself, the pattern's part before its first
            wildcard, or the current folder.

    Raises:
        JobError: there are no images, or one is not below `root`: by its path, or behind symbolic links.
    """

    def __init__(self, what: str, field: Field, prefix: str = LOCAL_FILES, root: Path | None = None) -> None:
        self._field = field
        self._prefix = prefix
        self._base, self._names = _find(what)
        self._root = _absolute(root or self._base)
        self._real = functools.lru_cache(_FOLDERS)(os.path.realpath)
        self._count = sum(1 for name in self._names() if self._url(name))
        if not self._count:
            raise JobError(f"There are no images in {what}.", f"Files with these endings count: {' '.join(SUFFIXES)}.")

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Item]:
        for name in self._names():
            path = None if _URL.match(name) else _absolute(self._base / name)
            # What is no UTF-8 in a file's name could not be written into JSON.
            key = os.fsencode(name).decode("utf-8", "backslashreplace")
            yield Item(key, {"data": self._field.data(self._url(name))}, path)

    def _url(self, name: str) -> str:
        if _URL.match(name):
            return name
        path = _absolute(self._base / name)
        try:
            below = path.relative_to(self._root)
        except ValueError:
            raise JobError(
                f"{path} is not below {self._root}, so it has no address in Label Studio.",
                "Give --document-root DIR, the folder that Label Studio's LOCAL_FILES_DOCUMENT_ROOT names.",
            ) from None
        self._check_links(path)
        return self._prefix + quote(os.fsencode(below.as_posix()))

    def _check_links(self, path: Path) -> None:
        """A folder that somebody else made may have links to files that are none of his.

        Raises:
            JobError: the file itself is not below the root.
        """
        real = Path(os.path.realpath(path) if path.is_symlink() else self._real(path.parent))
        if not real.is_relative_to(self._real(self._root)):
            raise JobError(
                f"{path} leads to {real}, which is not below {self._root}.",
                "Give --document-root DIR, a folder that has both, or put the file itself there.",
            )


def _absolute(path: Path) -> Path:
    """Absolute and without `..`, but with its symbolic links: they are part of what Label Studio is asked for."""
    return Path(os.path.abspath(path))  # noqa: PTH100 - `resolve` follows links


def _find(what: str) -> tuple[Path, Callable[[], Iterator[str]]]:
    """The folder that names are relative to, and the names, always in one order; they are looked up at each call."""
    path = Path(what)
    if path.is_dir():
        return path, lambda: _in_folder(path)
    if path.is_file() and what.lower().endswith(SUFFIXES):
        return path.parent, lambda: iter([path.name])
    if path.is_file():
        listed = _listed(path)
        return Path(), lambda: iter(listed)
    if not glob.has_magic(what):
        raise JobError(f"{what} is no folder, no list and no pattern.", "Check the path.")
    base = next(parent for parent in path.parents if not glob.has_magic(str(parent)))
    return base, lambda: _matching(base, str(path.relative_to(base)))


def _matching(base: Path, pattern: str) -> Iterator[str]:
    found = glob.iglob(pattern, root_dir=base, recursive=True)  # noqa: PTH207 - Path.glob matches hidden files
    return (name for name in sorted(found) if (base / name).is_file())


def _in_folder(folder: Path) -> Iterator[str]:
    """The images of a folder and its sub-folders, one folder's names in memory at a time."""
    for here, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            if name.lower().endswith(SUFFIXES) and not name.startswith("."):
                yield str(Path(here, name).relative_to(folder))


def _listed(path: Path) -> list[str]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise JobError(
            f"The list {path} cannot be read: {error}.", "Give a text file with one path or address on each line."
        ) from None
    return list(dict.fromkeys(line.strip() for line in lines if line.strip()))
