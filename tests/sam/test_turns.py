"""Who waits for an image's encoding waits for nothing less urgent; what was broken off begins anew, and is the same."""

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from sam_backend.errors import ModelError
from sam_backend.labelstudio.images import digest
from sam_backend.sam import turns
from sam_backend.sam.model import infer
from sam_backend.sam.turns import Turns, Urgency
from sam_backend.sam.types import Image
from sam_backend.segmenter import Segmenter
from sam_backend.settings import Settings
from tests.support import scenes
from tests.support.waiting import until

CLICK, OPENED, LATER = Urgency


class Endless:
    """Stands where a network of many seconds would: it runs until it is let go or cancelled."""

    def __init__(self, name: str, log: list[str]) -> None:
        self.name = name
        self.log = log
        self.go_on = threading.Event()
        self.cancelled = False

    def infer(self, _: Any, **options: Any) -> None:
        self.log.append(f"{self.name} begins")
        assert self.go_on.wait(30)
        if self.cancelled:
            self.log.append(f"{self.name} broken off")
            raise RuntimeError("Infer Request was canceled")

    def cancel(self) -> None:
        self.cancelled = True
        self.go_on.set()


class Encoder:
    """Makes requests, and runs them in threads."""

    def __init__(self) -> None:
        self.turns = Turns()
        self.log: list[str] = []
        self.requests: dict[str, Endless] = {}
        self.pool = ThreadPoolExecutor(8)

    def encode(self, name: str, urgency: Urgency) -> "Future[str]":
        def new() -> Endless:
            self.requests[name] = Endless(name, self.log)
            return self.requests[name]

        def run(request: turns.Request) -> str:
            infer(request, {})
            return name

        return self.pool.submit(lambda: self.turns.take(name, urgency, new, run))

    def end(self, name: str) -> None:
        self.requests[name].go_on.set()

    def until(self, *log: str) -> None:
        until(lambda: self.log == list(log))


@pytest.fixture
def encoder() -> Encoder:
    return Encoder()


def test_a_click_breaks_off_what_was_opened_and_that_begins_anew(encoder: Encoder) -> None:
    opened = encoder.encode("opened", OPENED)
    encoder.until("opened begins")
    click = encoder.encode("click", CLICK)
    until(lambda: len(encoder.log) == 3)
    assert set(encoder.log) == {"opened begins", "opened broken off", "click begins"}
    encoder.end("click")
    assert click.result(30) == "click"
    until(lambda: encoder.log[-1] == "opened begins")
    encoder.end("opened")
    assert opened.result(30) == "opened"


def test_what_is_less_urgent_waits_and_equals_do_not(encoder: Encoder) -> None:
    first = encoder.encode("first", OPENED)
    encoder.until("first begins")
    later = encoder.encode("later", LATER)
    second = encoder.encode("second", OPENED)
    encoder.until("first begins", "second begins")
    encoder.end("first")
    assert first.result(30)
    assert not later.done()
    encoder.end("second")
    assert second.result(30)
    encoder.until("first begins", "second begins", "later begins")
    encoder.end("later")
    assert later.result(30)


def test_what_somebody_has_come_to_wait_for_is_not_broken_off(encoder: Encoder) -> None:
    """A click on the very image that is encoded for later."""
    later = encoder.encode("image", LATER)
    encoder.until("image begins")
    with encoder.turns.claim("image", CLICK):
        click = encoder.encode("click", CLICK)
        encoder.until("image begins", "click begins")
        encoder.end("image")
        assert later.result(30)
    encoder.end("click")
    assert click.result(30)


def test_what_waits_begins_when_somebody_comes_to_wait_for_it(encoder: Encoder) -> None:
    opened = encoder.encode("opened", OPENED)
    encoder.until("opened begins")
    later = encoder.encode("image", LATER)
    with encoder.turns.claim("another", CLICK):
        until(lambda: len(encoder.turns._turns) == 2)
        assert encoder.log == ["opened begins"]
    with encoder.turns.claim("image", CLICK):
        until(lambda: "image begins" in encoder.log)
        until(lambda: "opened broken off" in encoder.log)
        encoder.end("image")
        assert later.result(30)
    until(lambda: encoder.log[-1] == "opened begins")
    encoder.end("opened")
    assert opened.result(30)


def test_what_somebody_waits_for_already_is_urgent_from_its_beginning(encoder: Encoder) -> None:
    """A click may have joined it while the model was compiled, or the cache was asked."""
    opened = encoder.encode("opened", OPENED)
    encoder.until("opened begins")
    with encoder.turns.claim("image", CLICK):
        later = encoder.encode("image", LATER)
        until(lambda: "image begins" in encoder.log)
        encoder.end("image")
        assert later.result(30)
    until(lambda: encoder.log[-1] == "opened begins")
    encoder.end("opened")
    assert opened.result(30)


def test_a_failure_is_one_and_leaves_the_way_free(encoder: Encoder) -> None:
    def fail(_: turns.Request) -> None:
        raise ModelError("OpenVINO failed.")

    with pytest.raises(ModelError):
        encoder.turns.take("broken", CLICK, lambda: Endless("broken", []), fail)
    later = encoder.encode("later", LATER)
    encoder.until("later begins")
    encoder.end("later")
    assert later.result(30)


def test_closing_ends_what_nobody_waits_for_and_lets_a_click_finish(encoder: Encoder) -> None:
    later = encoder.encode("later", LATER)
    encoder.until("later begins")
    encoder.turns.close()
    with pytest.raises(ModelError, match="stops"):
        later.result(30)
    with pytest.raises(ModelError, match="stops"):
        encoder.encode("opened", OPENED).result(30)
    click = encoder.encode("click", CLICK)
    until(lambda: encoder.log[-1] == "click begins")
    encoder.end("click")
    assert click.result(30)


def test_embeddings_do_not_depend_on_who_was_in_a_hurry() -> None:
    """The built-in model, all at once, each image for several reasons."""
    images = [_image(seed) for seed in range(6)]
    alone = Segmenter(Settings())
    expected = [alone.embed(image).features["image_embeddings"] for image in images]
    segmenter = Segmenter(Settings())
    segmenter.load()
    with ThreadPoolExecutor(18) as pool:
        ask: Callable[[int, Urgency], Any] = lambda number, urgency: segmenter.embed(images[number], urgency)  # noqa: E731
        asked = [(number, pool.submit(ask, number, urgency)) for urgency in reversed(Urgency) for number in range(6)]
        for number, future in asked:
            assert np.array_equal(future.result(60).features["image_embeddings"], expected[number])


def _image(seed: int) -> Image:
    rgb = scenes.draw(500, 400, scenes.STAGE, seed=seed).rgb
    return Image(rgb, digest(rgb))
