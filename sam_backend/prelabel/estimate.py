"""What a run would take and give, from a few of its images."""

import datetime as dt
from collections.abc import Iterator

from sam_backend.prelabel.local import in_this_process
from sam_backend.prelabel.machine import share
from sam_backend.prelabel.output import with_prediction
from sam_backend.prelabel.types import Item, Order, Outcome, Source


def estimate(source: Source, done: int, order: Order, workers: int, sample: int, version: str) -> list[str]:
    """Label a few items, evenly picked, and keep nothing of them but pictures where `order` asks for them.

    Args:
        source: the items.
        done: how many of them are done already.
        order: what is asked for.
        workers: so many work at the same time, each with its share of the cores.
        sample: how many to label.
        version: the predictions'.

    Returns:
        Lines that say what came of it.

    Raises:
        SamBackendError: the model cannot be used.
    """
    outcomes = list(in_this_process(share(order, workers), _picked(source, sample)))
    good = [outcome for outcome in outcomes if not outcome.error]
    failed = [f"failed: {outcome.item.key}: {outcome.error}" for outcome in outcomes if outcome.error]
    if not good:
        return [*failed, "None of the sample could be labeled, so nothing can be said."]
    return [*failed, *_in_words(good, version, len(source) - done, workers)]


def _in_words(good: list[Outcome], version: str, left: int, workers: int) -> Iterator[str]:
    each = sum(outcome.seconds for outcome in good) / len(good)
    regions = sum(outcome.regions for outcome in good) / len(good)
    left_out = sum(outcome.left_out for outcome in good)
    size = sum(len(with_prediction(outcome, version)) for outcome in good) / len(good)
    fastest, slowest = (choose(outcome.seconds for outcome in good) for choose in (min, max))
    capped = f" ({left_out} masks left out by the caps)" if left_out else ""
    yield f"{len(good)} labeled as {version}: {each:.2f} s each ({fastest:.2f} to {slowest:.2f}),"
    yield f"  {regions:.1f} regions{capped}, {_size(size)} of JSON."
    took = dt.timedelta(seconds=round(each * left / workers))
    yield f"{left} are left: about {took} (h:mm:ss) with {workers} worker{'s' * (workers > 1)}, {_size(size * left)}."


def _size(count: float) -> str:
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"


def _picked(source: Source, sample: int) -> Iterator[Item]:
    """So many items, each from the middle of its share."""
    count = len(source)
    wanted = {(2 * number + 1) * count // (2 * sample) for number in range(sample)}
    return (item for number, item in enumerate(source) if number in wanted)
