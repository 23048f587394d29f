"""Simulated annotators: what a person at Label Studio does with one task, request by request, as was recorded.

A sitting is played on a task of its own, so that its answers depend on nothing but what is asked in it: whoever plays
it alone gets the answers that a crowd must get.
"""

import hashlib
import json
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import requests

from tests.support import recordings, scenes
from tests.support.image_host import TOKEN, ImageHost

SECONDS = 120
"""How long a client waits for an answer."""

Body = dict[str, Any]
Regions = list[dict[str, Any]]
Steps = Generator[Body, Regions, None]

_SIZES = [(480, 640), (640, 480), (600, 600), (400, 900), (801, 1203), (333, 257)]
_WEBHOOK = "S12_annotation_created__webhook_ANNOTATION_CREATED"


@dataclass(frozen=True)
class Picture:
    """An image of the project: its address in the tasks, (H, W), and how it was drawn."""

    address: str
    size: tuple[int, int]
    seed: int


def draw(host: ImageHost, count: int) -> list[Picture]:
    """Put so many different images on the host, of many sizes, at least two of each."""
    sizes = [_SIZES[seed // 2 % len(_SIZES)] for seed in range(count)]
    pictures = [Picture(f"/data/upload/1/{seed}.png", size, seed) for seed, size in enumerate(sizes)]
    for picture in pictures:
        height, width = picture.size
        drawn = scenes.draw(width, height, scenes.STAGE, picture.seed)
        host.put(picture.address, scenes.png(drawn.rgb), tagged=True)
    return pictures


# ------------------------------------------------------------------------------------------------------------ sittings


@dataclass(frozen=True)
class Sitting:
    """What an annotator does with one task. Equal sittings ask the same, whoever plays them."""

    picture: Picture
    kind: str
    seed: int

    def steps(self) -> Steps:
        """Bodies of clicks without task and project; it is sent the regions of each answer.

        The same on each image, so that one image's answer to them would be noticed as another one's.
        """
        return _KINDS[self.kind](self.picture, random.Random(f"{self.kind} {self.seed}"))


def sittings(pictures: Sequence[Picture], seeds: int, kinds: Sequence[str] = ()) -> list[Sitting]:
    """Each kind of sitting, or these, on each image, with so many seeds."""
    return [Sitting(picture, kind, seed) for picture in pictures for kind in kinds or _KINDS for seed in range(seeds)]


def _clicks(picture: Picture, dice: random.Random) -> Steps:
    """Click, click again, Alt+click: each request holds the prompts before it."""
    clicks = [_click(dice, "k1"), _click(dice, "k2"), _click(dice, "k3", positive=False)]
    for count in range(1, len(clicks) + 1):
        yield _ask(picture, clicks[:count])


def _rectangle(picture: Picture, dice: random.Random) -> Steps:
    yield _ask(picture, [_box(dice, "r1")])


def _join(picture: Picture, dice: random.Random) -> Steps:
    """A rectangle, then clicks in it: Label Studio sends them without the rectangle."""
    box = _box(dice, "r1")
    yield _ask(picture, [box])
    inside = [_inside(dice, box, "k1"), _inside(dice, box, "k2", positive=False)]
    yield _ask(picture, inside[:1])
    yield _ask(picture, inside)


def _correct(picture: Picture, dice: random.Random) -> Steps:
    """A mask is accepted and stands in the draft; Ctrl+clicks cut pieces off it."""
    ellipse = dice.choice([scenes.STAGE["left"], scenes.STAGE["bottom right"]])
    first = recordings.keypoint(*ellipse[:2], id="k1")
    standing = yield _ask(picture, [first])
    for number in (2, 3):
        if not standing:
            return
        cut = _click(dice, f"k{number}", ellipse, positive=False)
        drafted = [{"id": 7, "result": [*standing, first, cut]}]
        standing = yield _ask(picture, [cut], drafts=drafted)


def _two_labels(picture: Picture, dice: random.Random) -> Steps:
    """A box for one label, a click for another, then a click in the box."""
    box = _box(dice, "r1")
    yield _ask(picture, [box])
    yield _ask(picture, [_relabeled(_click(dice, "k1"), "Car")])
    yield _ask(picture, [_inside(dice, box, "k2")])


_KINDS: dict[str, Callable[[Picture, random.Random], Steps]] = {
    "clicks": _clicks,
    "rectangle": _rectangle,
    "join": _join,
    "correct": _correct,
    "two labels": _two_labels,
}


def _click(
    dice: random.Random, name: str, ellipse: scenes.Ellipse = (50.0, 50.0, 48.0, 48.0), *, positive: bool = True
) -> Body:
    x, y, across, down = ellipse
    place = x + dice.uniform(-0.7, 0.7) * across, y + dice.uniform(-0.7, 0.7) * down
    return recordings.keypoint(*place, positive=positive, id=name)


def _box(dice: random.Random, name: str) -> Body:
    box = recordings.rectangle(dice.uniform(1, 50), dice.uniform(1, 50), dice.uniform(10, 45), dice.uniform(10, 45))
    return box | {"id": name}


def _inside(dice: random.Random, box: Body, name: str, *, positive: bool = True) -> Body:
    value = box["value"]
    x, y = (
        value[start] + dice.uniform(0.2, 0.8) * value[length] for start, length in (("x", "width"), ("y", "height"))
    )
    return recordings.keypoint(x, y, positive=positive, id=name)


def _relabeled(prompt: Body, label: str) -> Body:
    return prompt | {"value": prompt["value"] | {"labels": [label], "keypointlabels": [label]}}


def _ask(picture: Picture, prompts: Sequence[Body], **task: Any) -> Body:
    body = recordings.ask(picture.address, picture.size, *prompts)
    body["tasks"][0] |= task
    return body


# ------------------------------------------------------------------------------------------------------------- playing


@dataclass
class Tally:
    """What happened to a crowd. Threads share it.

    Attributes:
        counts: requests by what became of them.
        wrong: (sitting, step) of the answers that were not the serial ones.
        errors: answers that were neither right nor a 503.
    """

    counts: Counter[str] = field(default_factory=Counter)
    wrong: list[tuple[Sitting, int]] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def compare(self, sitting: Sitting, step: int, answer: bytes, expected: bytes) -> None:
        """Note the answer to a click."""
        self.count("clicks answered")
        if answer != expected:
            self.wrong.append((sitting, step))

    def count(self, what: str) -> None:
        with self._lock:
            self.counts[what] += 1


Ask = Callable[[Body], Regions]
"""The regions of a click's answer."""


class NoAnswerError(Exception):
    """A click was answered with an error; the annotator gives this task up."""


def play(sitting: Sitting, ask: Ask, project: str, task: int) -> Iterator[bytes]:
    """Play a sitting on a task of its own; for each step, a digest of the answer, without the regions' random ids."""
    steps = sitting.steps()
    with suppress(StopIteration):
        body = next(steps)
        while True:
            body["project"] = project
            body["tasks"][0] |= {"id": task, "project": int(project.partition(".")[0])}
            regions = ask(body)
            yield digest(regions)
            body = steps.send(regions)


def digest(regions: Regions) -> bytes:
    """Equal for equal answers, whatever ids their regions have."""
    nameless = [{key: value for key, value in region.items() if key != "id"} for region in regions]
    return hashlib.sha256(json.dumps(nameless, sort_keys=True).encode()).digest()


def alone(url: str, project: str, played: Sequence[Sitting], first_task: int = 1) -> dict[Sitting, list[bytes]]:
    """The serial answers: each sitting after the other, asked of a service that nobody else asks."""

    def ask(body: Body) -> Regions:
        return recordings.answered(requests.post(f"{url}/predict", json=body, timeout=SECONDS))

    return {sitting: list(play(sitting, ask, project, first_task + n)) for n, sitting in enumerate(played)}


def introduce(url: str, host: ImageHost, project: str) -> None:
    """What Label Studio says when the project is connected: without it, its images cannot be had."""
    body = recordings.read("S1_connect__setup").body or {}
    about = {"project": project, "hostname": host.url, "access_token": TOKEN, "extra_params": None}
    requests.post(f"{url}/setup", json=body | about, timeout=SECONDS).raise_for_status()


@dataclass
class Annotator:
    """One person at work: plays sittings, and does between them what Label Studio does beside clicks.

    Attributes:
        url: the service's.
        number: tells the person's tasks from those of others.
        project: the person's.
        expected: the serial answers.
        tally: of the whole crowd.
        pause: the longest time to think between two requests, in seconds.
    """

    url: str
    number: int
    project: str
    expected: dict[Sitting, list[bytes]]
    tally: Tally
    host: ImageHost
    pause: float = 0.2

    def __post_init__(self) -> None:
        self._dice = random.Random(self.number)
        self._session = requests.Session()
        self._known = list(self.expected)

    def work(self, seconds: float) -> None:
        """Label one task after the other."""
        end, task = time.monotonic() + seconds, 1_000_000 * (self.number + 1)
        while time.monotonic() < end:
            task += 1
            self._sit(self._dice.choice(self._known), task)
            self._beside(task)

    def _sit(self, sitting: Sitting, task: int) -> None:
        self._open([sitting.picture], task)
        with suppress(NoAnswerError):
            for step, answer in enumerate(play(sitting, self._click, self.project, task)):
                self.tally.compare(sitting, step, answer, self.expected[sitting][step])
                time.sleep(self._dice.uniform(0, self.pause))

    def _click(self, body: Body) -> Regions:
        """As a person does: who is told to try again in a moment does so."""
        while True:
            answer = self._post("/predict", body)
            if answer is not None and answer.status_code == 503:
                time.sleep(float(answer.headers["Retry-After"]) * self._dice.uniform(0.5, 1))
                continue
            if answer is None or answer.status_code != 200:
                raise NoAnswerError
            return recordings.answered(answer)

    def _open(self, pictures: Sequence[Picture], task: int) -> None:
        """One task is opened; several are retrieved."""
        body = _ask(pictures[0], [])
        [shown] = body["tasks"]
        about = {"project": int(self.project.partition(".")[0])}
        body["tasks"] = [
            shown | about | {"id": task + n, "data": {"image": picture.address}} for n, picture in enumerate(pictures)
        ]
        body["project"], body["params"]["context"] = self.project, None
        self._post("/predict", body)

    def _beside(self, task: int) -> None:
        chance = self._dice.random()
        if chance < 0.15:
            self._hang_up(task)
        elif chance < 0.25:
            self._open([sitting.picture for sitting in self._dice.choices(self._known, k=5)], task)
        elif chance < 0.35:
            self._post("/webhook", recordings.read(_WEBHOOK).body or {})
        elif chance < 0.4:
            introduce(self.url, self.host, self.project)
        elif chance < 0.5:
            self._session.get(f"{self.url}/metrics", timeout=SECONDS).raise_for_status()

    def _hang_up(self, task: int) -> None:
        """Click on another task, and close the page before the answer is there."""
        sitting = self._dice.choice(self._known)
        body = next(sitting.steps())
        body["project"], body["tasks"][0]["id"] = self.project, -task
        self.tally.count("hung up")
        with suppress(requests.RequestException):
            requests.post(f"{self.url}/predict", json=body, timeout=(SECONDS, self._dice.uniform(0.001, 0.05)))

    def _post(self, path: str, body: Body) -> requests.Response | None:
        try:
            answer = self._session.post(f"{self.url}{path}", json=body, timeout=SECONDS)
        except requests.RequestException as error:
            self.tally.count("no answer")
            self.tally.errors.append(repr(error))
            return None
        self.tally.count(f"{path} {answer.status_code}")
        if answer.status_code not in {200, 201, 503}:
            self.tally.errors.append(f"{answer.status_code} {answer.text[:300]}")
        return answer
