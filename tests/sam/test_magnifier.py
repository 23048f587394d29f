"""The magnifier: which part of an image is shown follows from the image and the ordered prompts."""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from sam_backend.sam import views
from sam_backend.sam.magnifier import Find, Magnifier
from sam_backend.sam.types import Image, Prompt
from sam_backend.sam.views import Finding, View

SIDE = 64
MAGNIFIER = Magnifier(SIDE, 0.1, large=100)
Box = tuple[float, float, float, float]

SMALL: Box = (400, 300, 420, 310)
LARGE: Box = (100, 50, 700, 500)


def blank(height: int, width: int) -> Image:
    return Image(np.zeros((height, width, 3), np.uint8), f"blank-{height}-{width}")


IMAGE = blank(600, 800)


def frame(box: Box, *points: tuple[float, float]) -> View:
    return MAGNIFIER.frame(IMAGE, np.array(box, np.float64), np.array(points, np.float64).reshape(-1, 2))


def is_whole(view: View) -> bool:
    return view.image.original_size == view.original_size


# ------------------------------------------------------------------------------------------ an extent that is known


def test_a_small_object_is_cut_out_at_full_resolution() -> None:
    left, top, right, bottom = frame(SMALL).rectangle
    assert (right - left, bottom - top) == (SIDE, SIDE)
    assert (left < SMALL[0], top < SMALL[1], right > SMALL[2], bottom > SMALL[3]) == (True,) * 4


def test_a_larger_one_with_as_much_around_it() -> None:
    left, _, right, _ = frame((400, 300, 460, 310)).rectangle
    assert 3 * 60 <= right - left <= 3 * 60 * 2**0.5


def test_a_large_object_is_seen_in_the_whole_image() -> None:
    assert not is_whole(frame((400, 300, 479, 310)))
    assert is_whole(frame((400, 300, 480, 310)))


def test_clicks_near_a_small_object_are_shown_with_it_and_far_ones_with_the_whole_image() -> None:
    near, beside, far = (425.0, 300.0), (470.0, 300.0), (700.0, 300.0)
    assert frame(SMALL, near).rectangle == frame(SMALL).rectangle
    assert frame(SMALL, near, beside).holds(np.array([near, beside]))
    assert not is_whole(frame(SMALL, near, beside))
    assert is_whole(frame(SMALL, near, far))


def test_neighbors_share_a_crop() -> None:
    boxes = [(400 + dx, 300 + dy, 420 + dx, 310 + dy + dx) for dx in range(5) for dy in range(5)]
    assert len({frame(box).image.digest for box in boxes}) == 1


@pytest.mark.parametrize("wrong", [float("nan"), float("inf")])
def test_what_is_no_number_is_left_to_the_decoder_to_refuse(wrong: float) -> None:
    assert is_whole(frame((400, 300, wrong, 310)))
    assert is_whole(frame(SMALL, (wrong, 300)))


def test_a_box_beyond_the_image_gets_the_corner() -> None:
    assert frame((-30, -30, 5, 5)).rectangle[:2] == (0, 0)
    assert frame((795, 595, 830, 640)).rectangle[2:] == (800, 600)


def test_only_large_images_have_crops_and_none_has_when_nothing_is_small() -> None:
    box, points = np.array([0.0, 0, 3, 1]), np.zeros((0, 2))
    assert not is_whole(MAGNIFIER.frame(blank(1, 2 * SIDE), box, points))
    assert is_whole(MAGNIFIER.frame(blank(2 * SIDE - 1, 2 * SIDE - 1), box, points))
    assert is_whole(Magnifier(SIDE, 0.1, large=801).frame(IMAGE, box, points))
    assert is_whole(Magnifier(SIDE, 0, large=100).frame(IMAGE, box, points))


def test_images_of_ordinary_size_are_shown_whole() -> None:
    find = model(LARGE, SMALL)
    for image in (blank(1080, 1920), blank(2047, 100)):
        assert is_whole(Magnifier(SIDE, 0.1).choose(image, clicks((410, 305)), find))
    assert not is_whole(Magnifier(SIDE, 0.1).choose(blank(600, 2048), clicks((410, 305)), find))


# ----------------------------------------------------------------------------------------------------- prompts


def clicks(*points: tuple[float, float]) -> Prompt:
    return Prompt(points=np.array(points, np.float64), point_labels=np.ones(len(points), np.int64))


def boxed(box: Box, *points: tuple[float, float]) -> Prompt:
    return Prompt(np.array(points, np.float64).reshape(-1, 2), np.ones(len(points), np.int64), np.array([box], float))


def shown(view: View, box: Box) -> NDArray[np.float64]:
    """What a view shows of an object."""
    left, top, right, bottom = view.rectangle
    return np.clip(box, (left, top, left, top), (right, bottom, right, bottom)).astype(np.float64)


def model(seen: Box, closer: Box, score: float = 0.6) -> Find:
    """One that takes clicks for an object in the whole image, and for another, with less certainty, in crops."""

    def find(view: View, prompt: Prompt) -> Finding:
        assert view.holds(prompt.points)
        if is_whole(view):
            return Finding(np.array(seen), 0.9, is_broken=False)
        extent = shown(view, closer)
        return Finding(extent, score, view.breaks(extent))

    return find


def rectangle(prompt: Prompt, find: Find) -> tuple[int, ...]:
    return MAGNIFIER.choose(IMAGE, prompt, find).rectangle


ALL = views.whole(IMAGE).rectangle


def test_a_click_on_something_small_is_decoded_in_a_window_around_it() -> None:
    left, top, right, bottom = rectangle(clicks((410, 305)), model(LARGE, SMALL))
    assert (right - left, bottom - top) == (SIDE, SIDE)
    assert (left < SMALL[0], top < SMALL[1], right > SMALL[2], bottom > SMALL[3]) == (True,) * 4


@pytest.mark.parametrize(
    "find",
    [model(LARGE, LARGE), model(LARGE, SMALL, score=0.4), model(LARGE, (405, 300, 700, 310))],
    ids=["it is large in the window too", "the model is far less sure", "it goes on behind the window"],
)
def test_a_click_on_something_large_is_decoded_in_the_whole_image(find: Find) -> None:
    assert rectangle(clicks((410, 305)), find) == ALL


def test_a_click_on_something_too_long_for_the_window_gets_a_crop_of_its_size() -> None:
    long: Box = (370, 300, 445, 310)
    left, _, right, _ = rectangle(clicks((410, 305)), model(long, long))
    assert 3 * 75 <= right - left < 800


def test_further_clicks_keep_the_view_of_the_first_while_it_shows_them() -> None:
    find = model(LARGE, SMALL)
    first = rectangle(clicks((410, 305)), find)
    assert rectangle(clicks((410, 305), (402, 301), (418, 309)), find) == first
    assert rectangle(clicks((410, 305), (700, 305)), find) == ALL


def test_the_view_of_what_turns_out_larger_grows() -> None:
    """A second click says that the small thing was a part: what now breaks at the window's edge needs more room."""

    def grows(to: Box) -> Callable[[View, Prompt], Finding]:
        return lambda view, prompt: model(LARGE, SMALL if len(prompt.points) == 1 else to)(view, prompt)

    both = clicks((410, 305), (430, 305))
    grown = rectangle(both, grows((370, 300, 446, 310)))
    assert 64 < grown[2] - grown[0] < 800
    assert rectangle(both, grows(LARGE)) == ALL


def test_a_box_says_how_large_its_object_is() -> None:
    assert rectangle(boxed(SMALL), model(LARGE, SMALL)) == frame(SMALL).rectangle
    assert rectangle(boxed(SMALL, (410, 305)), model(LARGE, SMALL)) == frame(SMALL).rectangle
    assert rectangle(boxed(LARGE), model(LARGE, SMALL)) == ALL


def test_nothing_is_found_of_an_empty_mask() -> None:
    nothing = Finding(np.full(4, np.nan), 0.0, is_broken=False)
    assert rectangle(clicks((410, 305)), lambda *_: nothing) == ALL


def test_a_mask_of_the_whole_image_is_refined_in_the_whole_image() -> None:
    prompt = Prompt(np.array([[410.0, 305]]), np.array([1]), mask_input=np.zeros((1, 4, 4), np.float32))
    assert rectangle(prompt, model(LARGE, SMALL)) == ALL
