"""The values that travel through a bulk job: an `Item` goes to a worker, an `Outcome` comes back to the one writer.

    source ─ Item ─▶ executor (this process, processes, Ray) ─ Outcome ─▶ sink (a file, a project)

All of them can be pickled: they cross processes and machines.
"""

from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from sam_backend.automatic_settings import AutomaticSettings
from sam_backend.settings import Settings


@dataclass(frozen=True, slots=True)
class Item:
    """One task to label.

    Attributes:
        key: names it within its source, equal in each run: a file's path, a task's id.
        task: Label Studio's task, `data` at least; of a project `id` too, and in `boxes` mode its rectangles.
        path: the image's file on this machine, where the source is a folder; else the image is fetched by the
            addresses in `data`.
    """

    key: str
    task: dict[str, Any]
    path: Path | None = None


@dataclass(frozen=True, slots=True)
class Order:
    """What a worker must know, once.

    Attributes:
        settings: the service's; its `automatic` is what is asked for, with the options of the command line.
        label_config: the project's, XML.
        preview: a folder for pictures of the masks, or None.
        embed_only: compute embeddings into the cache, and label nothing.
        pause: seconds to wait after each image; 0 but in tests that need a run to last.
    """

    settings: Settings
    label_config: str
    preview: Path | None = None
    embed_only: bool = False
    pause: float = 0.0

    @property
    def automatic(self) -> AutomaticSettings:
        """What is asked for."""
        return self.settings.automatic


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of an item.

    Attributes:
        item: the item.
        prediction: JSON of `{"result": [...], "score": ..., "model_version": ...}`; None where there is nothing to
            label (`boxes` mode and no box), or where it failed.
        error: why it failed, in one line; empty where it did not.
        regions: how many regions the prediction has.
        left_out: how many masks the caps left out.
        seconds: what it took.
    """

    item: Item
    prediction: bytes | None = None
    error: str = ""
    regions: int = 0
    left_out: int = 0
    seconds: float = 0.0


class Source(Protocol):
    """Where tasks come from."""

    def __len__(self) -> int:
        """How many items there are, those that are done already included."""

    def __iter__(self) -> Iterator[Item]:
        """The items, always in one order; at a constant cost each, and not all in memory."""


class Sink(Protocol):
    """The one writer, used by one thread. What it was given is safe when `add` returns, `kill -9` included."""

    def is_done(self, key: str) -> bool:
        """Whether this item was kept by this run or an earlier one of the same parameters."""

    def add(self, outcome: Outcome) -> None:
        """Keep an outcome without an error.

        Raises:
            RefusedError: this one cannot be kept; the run goes on without it.
        """

    def finish(self, *, complete: bool) -> str:
        """Make the output appear; one line that says where.

        Args:
            complete: all items are done. If not (some failed, or `--limit`), the same command will go on later.
        """

    def close(self) -> None:
        """Let go of files and connections, whatever happened; nothing is lost. It may be called twice."""


class Executor(Protocol):
    """Labels items somewhere; items go in as fast as they are worked off, outcomes come out as they are done."""

    def __call__(self, order: Order, items: Iterable[Item]) -> Generator[Outcome, None, None]:
        """Exactly one outcome for each item, in any order.

        Closing the generator stops the workers at once; what is under way is lost.
        """
