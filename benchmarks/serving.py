"""Clicks over HTTP: beside the example's path, on a busy task, on a task just opened, and while an image is encoded.

    python benchmarks/serving.py --json serving.json

The peer does what label-studio-ml-backend's `segment_anything_model` does. It and the service run vit_b with the same
seeded random weights, each in a process of its own, and fetch pictures from one host on loopback; requests are those
that Label Studio sends. `request_click_*` sends two positive clicks at once, which both sides answer with SAM's one
mask for several prompts; the service does not chain them then (SAM_CHAIN=0), nor look closer at small objects
(SAM_CROP_BELOW=0), for the example does neither. The other rows compare the service with itself, as it is, one click
each: the answers must be the same.
"""

import contextlib
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks import busy, clients, report, work
from benchmarks.clients import Client, Size
from benchmarks.machine import Precision, best_precision
from benchmarks.opener import opening
from benchmarks.rows import BF16, EQUAL, F32, Row, compared
from tests.support.image_host import ImageHost, image_host

Place = tuple[int, int]

SMALL, LARGE = (800, 1200), (3000, 4000)
LIMIT = {"f32": F32, "bf16": BF16}
REQUESTS = {"request_click_1200x800": SMALL, "request_click_4000x3000": LARGE}
BUSY, FIRST, UNDER = "request_click_busy_task", "first_click_after_open", "click_p95_under_encode"
PAUSE = 5.0
LIKE_THE_EXAMPLE = {"SAM_CHAIN": "0", "SAM_CROP_BELOW": "0"}


def main() -> None:
    given = report.options(__doc__)
    precision = best_precision()
    with tempfile.TemporaryDirectory() as folder, image_host() as host:
        rows = report.attempt(list(REQUESTS), lambda: beside_example(Path(folder), host, precision, short=given.short))
        rows += _alone(Path(folder), host, precision, short=given.short)
    sys.exit(report.finish("Clicks over HTTP", rows, given))


def _settings(folder: Path, precision: Precision) -> dict[str, str]:
    return {"SAM_MODEL": folder.name, "SAM_MODEL_DIR": str(folder.parent), "SAM_PRECISION": precision}


def beside_example(folder: Path, host: ImageHost, precision: Precision, *, short: bool) -> Iterator[Row]:
    """Both sizes of picture. Masks of random weights say nothing in bf16: there the built-in model's are compared."""
    clicks = 10 if short else 40
    trained = None
    if precision != "f32":
        with _pair(folder, host, work.BUILTIN, precision, "builtin", None) as pair:
            trained = {name: _in_turn(*pair, host, size, clicks)[2] for name, size in REQUESTS.items()}
    with _pair(folder, host, work.vit_b(), precision, work.ARCHITECTURE, work.SEED) as (mine, theirs):
        for name, size in REQUESTS.items():
            seconds, peer, agreement = _in_turn(mine, theirs, host, size, clicks)
            row = compared(name, seconds, peer, trained[name] if trained else agreement, LIMIT[precision])
            memory = {"ours": round(mine.peak_mb()), "peer": round(theirs.peak_mb())}
            yield row.adding(precision=precision, peaks_mb=memory, body_bytes=len(_body(host, size, 0)))


@contextlib.contextmanager
def _pair(
    folder: Path, host: ImageHost, model: Path, precision: Precision, architecture: str, seed: int | None
) -> Iterator[tuple[Client, Client]]:
    with (
        clients.ours(folder, host, **_settings(model, precision), **LIKE_THE_EXAMPLE) as mine,
        clients.example(folder, host, architecture, seed) as theirs,
    ):
        yield mine, theirs


def _body(host: ImageHost, size: Size, number: int) -> bytes:
    places = np.random.default_rng(number).integers((0, 0), size[::-1], (2, 2)).tolist()
    return clients.click(clients.picture(host, size), size, [(x, y) for x, y in places])


def _in_turn(
    mine: Client, theirs: Client, host: ImageHost, size: Size, clicks: int
) -> tuple[list[float], list[float], float]:
    """Seconds of both sides on the same clicks, and the mean IoU of their masks."""
    bodies = [_body(host, size, number) for number in range(clicks + 2)]
    ran = [(mine.send(body), theirs.send(body)) for body in bodies][2:]  # the first ones encode, and warm
    agreement = [clients.agreement(a[1], b[1], size) for a, b in ran]
    return [a[0] for a, _ in ran], [b[0] for _, b in ran], float(np.mean(agreement))


def _alone(folder: Path, host: ImageHost, precision: Precision, *, short: bool) -> list[Row]:
    """The rows that compare the service with itself."""
    measures: dict[str, Callable[[Client], Row]] = {
        BUSY: lambda client: busy_task(client, host, 15 if short else 60),
        FIRST: lambda client: first_click(client, host, 2 if short else 6),
        UNDER: lambda client: under_encode(client, host, 2 if short else 4, 20 if short else 50),
    }
    try:
        with clients.ours(folder, host, **_settings(work.vit_b(), precision)) as client:
            rows = [row for name, measure in measures.items() for row in report.attempt([name], _one(measure, client))]
            return [row.adding(precision=precision, peak_mb=round(client.peak_mb())) for row in rows]
    except AssertionError as error:
        return [Row(name, faults=(str(error),)) for name in measures]


def _one(measure: Callable[[Client], Row], client: Client) -> Callable[[], list[Row]]:
    return lambda: [measure(client)]


def busy_task(client: Client, host: ImageHost, clicks: int) -> Row:
    """The request carries what a hundred regions of the task are; the click is on none of its label.

    Each click that is timed is a new one, for what was decoded a moment ago is remembered.
    """
    address, regions = clients.picture(host, SMALL), busy.regions(SMALL)
    drafts = [{"id": 1, "annotation": None, "result": regions}]

    def bodies(place: Place) -> tuple[bytes, bytes]:
        return clients.click(address, SMALL, [place], drafts=drafts), clients.click(address, SMALL, [place])

    laden, plain, same = [], [], []
    places = busy.free_places(SMALL, 2 * clicks)
    for one, other in zip(places[::2], places[1::2], strict=True):
        (with_them, without), (other_with, other_without) = bodies(one), bodies(other)
        first, second = client.send(with_them), client.send(other_without)
        laden.append(first[0])
        plain.append(second[0])
        same.append(clients.streams(first[1]) == clients.streams(client.send(without)[1]))
        same.append(clients.streams(second[1]) == clients.streams(client.send(other_with)[1]))
    return compared(BUSY, laden[1:], plain[1:], float(np.mean(same)), EQUAL).adding(
        regions=len(regions), body_mb=round(len(bodies((1, 1))[0]) / 1e6, 2)
    )


def first_click(client: Client, host: ImageHost, pictures: int) -> Row:
    """Each time: open a task with a picture of its own, wait, click; then click elsewhere on it, which is cached.

    In the end the first clicks are repeated, when most of their answers are forgotten and are decoded again.
    """
    first, again, answers, place = [], [], [], (420, 320)
    for number in range(pictures):
        address = clients.picture(host, SMALL, 100 + number)
        client.send(clients.opened(address, SMALL))
        time.sleep(PAUSE)
        body = clients.click(address, SMALL, [place])
        seconds, answer = client.send(body)
        first.append(seconds)
        answers.append((body, clients.streams(answer)))
        others = [clients.click(address, SMALL, [(place[0] + 9 * step, place[1])]) for step in range(1, 26)]
        again += [client.send(other)[0] for other in others]
    same = float(np.mean([clients.streams(client.send(body)[1]) == streams for body, streams in answers]))
    return compared(FIRST, first, again, same, EQUAL).adding(pause=PAUSE)


def under_encode(client: Client, host: ImageHost, blocks: int, clicks: int) -> Row:
    """Blocks of clicks on a cached picture, with and without another client that opens new pictures all the time.

    In the end clicks of the loud blocks are repeated in quiet.
    """
    address, random = clients.picture(host, SMALL), np.random.default_rng(5)

    def send() -> tuple[float, bytes, list[list[int]]]:
        x, y = random.integers((0, 0), SMALL[::-1]).tolist()
        body = clients.click(address, SMALL, [(x, y)])
        seconds, answer = client.send(body)
        return seconds, body, clients.streams(answer)

    send()
    quiet, loud, encoded = [], [], 0
    for block in range(blocks):
        quiet += [send()[0] for _ in range(clicks)]
        with opening(client.url, client.pid, host, 1000 * (block + 1)) as opener:
            loud += [send() for _ in range(clicks)]
            while time.monotonic() < opener.enough:
                loud.append(send())
        encoded += opener.encoded
    same = float(np.mean([clients.streams(client.send(body)[1]) == streams for _, body, streams in loud[:clicks]]))
    seconds = [ran[0] for ran in loud]
    faults = () if encoded else ("no image was encoded meanwhile",)
    return Row(UNDER, _p95(seconds), _p95(quiet), same, EQUAL, faults=faults).adding(
        medians=[float(np.median(seconds)), float(np.median(quiet))], encoded=encoded, clicks=[len(loud), len(quiet)]
    )


def _p95(seconds: Sequence[float]) -> float:
    return float(np.percentile(seconds, 95))


if __name__ == "__main__":
    main()
