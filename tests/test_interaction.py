"""Prompts that belong together, through the backend's own path, with the built-in model."""

import base64
import logging
import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sam_backend import services
from sam_backend.backend import SamBackend
from sam_backend.cache.disk import DiskCache
from sam_backend.errors import PromptError
from sam_backend.joins import Joins
from sam_backend.labelstudio import images, rle
from sam_backend.recent import Recent
from sam_backend.sam.types import Image, Prompt
from sam_backend.services import Services
from sam_backend.settings import Settings
from tests.support import recordings, scenes
from tests.support.scenes import Bitmap, Scene

SIZE = (400, 600)
BOX = (20.0, 20.0, 30.0, 40.0)
ON_THE_OBJECT, BESIDE_IT, ELSEWHERE = (35.0, 40.0), (22.0, 22.0), (75.0, 72.0)
Regions = list[dict[str, Any]]


@pytest.fixture(scope="module")
def scene() -> Scene:
    return scenes.draw(SIZE[1], SIZE[0], scenes.STAGE)


@pytest.fixture(scope="module")
def image(scene: Scene) -> Image:
    return images.decode(scenes.png(scene.rgb), images.Limits.of(Settings()))


@pytest.fixture(scope="module")
def built() -> Iterator[Services]:
    shared = services.build(Settings())
    yield shared
    shared.close()


def with_settings(built: Services, **changes: Any) -> Services:
    """The same services, their settings and what they remember of prompts apart."""
    settings = built.settings.model_copy(update=changes)
    return replace(built, settings=settings, joins=Joins(settings.join_seconds), recent=Recent())


@pytest.fixture
def shared(built: Services) -> Services:
    return with_settings(built)


def address(scene: Scene) -> str:
    return "data:image/png;base64," + base64.b64encode(scenes.png(scene.rgb)).decode()


def rectangle(*place: float, name: str = "r") -> dict[str, Any]:
    return recordings.rectangle(*place) | {"id": name}


def keypoint(place: tuple[float, float], *, positive: bool = True, name: str = "k") -> dict[str, Any]:
    return recordings.keypoint(*place, positive=positive, id=name)


def ask(
    shared: Services,
    scene: Scene,
    *prompts: dict[str, Any],
    project: Any = "6.1",
    seen: Any = SIZE,
    **task: Any,
) -> Regions:
    """The regions of one answer."""
    body = recordings.ask(address(scene), seen, *prompts, project=project)
    body["tasks"][0] |= task
    backend = SamBackend(project_id=project, label_config=body["label_config"], shared=shared)
    [prediction] = backend.predict(body["tasks"], body["params"]["context"])
    return list(prediction["result"])


def in_pixels(place: tuple[float, ...]) -> list[float]:
    return [place[0] / 100 * SIZE[1], place[1] / 100 * SIZE[0]]


def expected(
    shared: Services, image: Image, box: tuple[float, ...] | None, *clicks: tuple[tuple[float, float], int]
) -> Bitmap:
    """What the segmenter says to a box, in percent with its size, and clicks."""
    corners = [[*in_pixels(box[:2]), *in_pixels((box[0] + box[2], box[1] + box[3]))]] if box else []
    prompt = Prompt(
        points=np.array([in_pixels(place) for place, _ in clicks]).reshape(-1, 2),
        point_labels=np.array([label for _, label in clicks], np.int64),
        boxes=np.array(corners).reshape(-1, 4),
    )
    [mask] = shared.segmenter.segment(image, prompt)
    return mask.bitmap


def only(regions: Regions) -> Bitmap:
    [region] = regions
    return recordings.bitmap(region)


def test_a_click_in_the_rectangle_before_it_is_decoded_with_the_box(
    shared: Services, scene: Scene, image: Image
) -> None:
    ask(shared, scene, rectangle(*BOX))
    joined = only(ask(shared, scene, keypoint(BESIDE_IT)))
    assert np.array_equal(joined, expected(shared, image, BOX, (BESIDE_IT, 1)))
    assert not np.array_equal(joined, expected(shared, image, None, (BESIDE_IT, 1)))


def test_each_further_click_stays_with_the_box(shared: Services, scene: Scene, image: Image) -> None:
    first, second = keypoint(ON_THE_OBJECT, name="k1"), keypoint(BESIDE_IT, positive=False, name="k2")
    ask(shared, scene, rectangle(*BOX))
    ask(shared, scene, first)
    joined = only(ask(shared, scene, first, second))
    assert np.array_equal(joined, expected(shared, image, BOX, (ON_THE_OBJECT, 1), (BESIDE_IT, 0)))
    assert scenes.iou(joined, scene.objects["left"]) >= 0.8


def test_a_negative_click_alone_in_the_rectangle_cuts_from_its_mask(
    shared: Services, scene: Scene, image: Image
) -> None:
    whole = only(ask(shared, scene, rectangle(*BOX)))
    cut = only(ask(shared, scene, keypoint(BESIDE_IT, positive=False)))
    assert np.array_equal(cut, expected(shared, image, BOX, (BESIDE_IT, 0)))
    assert scenes.iou(whole, scene.objects["left"]) >= 0.8


def test_a_cut_keeps_the_id_of_the_region_that_it_cuts_and_a_click_beside_the_mask_does_not(
    shared: Services, scene: Scene
) -> None:
    """The rectangle's answer may have been accepted a moment ago, which no draft says yet: it must not come twice."""
    [whole] = ask(shared, scene, rectangle(*BOX))
    [cut] = ask(shared, scene, keypoint(ON_THE_OBJECT, positive=False))
    [other] = ask(shared, scene, keypoint(BESIDE_IT))
    assert cut["id"] == whole["id"] != other["id"]


def test_a_click_outside_of_the_rectangle_stands_alone(shared: Services, scene: Scene, image: Image) -> None:
    ask(shared, scene, rectangle(*BOX))
    assert np.array_equal(only(ask(shared, scene, keypoint(ELSEWHERE))), expected(shared, image, None, (ELSEWHERE, 1)))


@pytest.mark.parametrize("place", ["drafts", "annotations"])
def test_a_rectangle_whose_answer_was_accepted_is_done_with(
    shared: Services, scene: Scene, image: Image, place: str
) -> None:
    [answered] = ask(shared, scene, rectangle(*BOX))
    joined = only(ask(shared, scene, keypoint(BESIDE_IT)))
    accepted = {place: [{"id": 1, "result": [answered]}]}
    alone = only(ask(shared, scene, keypoint(BESIDE_IT), **accepted))
    assert np.array_equal(alone, expected(shared, image, None, (BESIDE_IT, 1)))
    assert not np.array_equal(alone, joined)


def test_joining_can_be_turned_off(built: Services, scene: Scene, image: Image) -> None:
    apart = with_settings(built, join_seconds=0.0)
    ask(apart, scene, rectangle(*BOX))
    assert np.array_equal(only(ask(apart, scene, keypoint(BESIDE_IT))), expected(apart, image, None, (BESIDE_IT, 1)))


def test_two_annotators_on_the_same_task_and_label_share_a_rectangle(
    shared: Services, scene: Scene, image: Image
) -> None:
    """Label Studio names no user: what the documentation says of it is what happens."""
    ask(shared, scene, rectangle(*BOX, name="of-ann"))
    of_bob = only(ask(shared, scene, keypoint(BESIDE_IT, name="of-bob")))
    assert np.array_equal(of_bob, expected(shared, image, BOX, (BESIDE_IT, 1)))


@pytest.mark.parametrize("other", [{"project": "6.2"}, {"id": 77}], ids=["project", "task"])
def test_equal_region_ids_of_another_project_or_task_mean_nothing(
    shared: Services, scene: Scene, image: Image, other: dict[str, Any]
) -> None:
    ask(shared, scene, rectangle(*BOX))
    alone = only(ask(shared, scene, keypoint(BESIDE_IT), **other))
    assert np.array_equal(alone, expected(shared, image, None, (BESIDE_IT, 1)))


def test_a_lone_negative_click_is_answered_with_nothing_and_the_log_says_so(
    shared: Services, scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "sam_backend.interaction"):
        assert ask(shared, scene, keypoint(ON_THE_OBJECT, positive=False)) == []
    assert "Negative clicks alone" in caplog.text


def test_of_several_rectangles_the_last_is_answered(shared: Services, scene: Scene) -> None:
    regions = ask(shared, scene, rectangle(*BOX, name="r1"), rectangle(60, 54, 30, 36, name="r2"))
    assert scenes.iou(only(regions), scene.objects["bottom right"]) >= 0.8


def test_or_each_of_them_and_a_click_refines_the_one_that_it_is_in(built: Services, scene: Scene, image: Image) -> None:
    each = with_settings(built, multi_box="each")
    boxes = [rectangle(*BOX, name="r1"), rectangle(60, 54, 30, 36, name="r2")]
    left, right = (recordings.bitmap(region) for region in ask(each, scene, *boxes))
    assert scenes.iou(left, scene.objects["left"]) >= 0.8
    assert scenes.iou(right, scene.objects["bottom right"]) >= 0.8
    regions = ask(each, scene, keypoint(BESIDE_IT, positive=False))
    refined, same = (recordings.bitmap(region) for region in regions)
    assert np.array_equal(refined, expected(each, image, BOX, (BESIDE_IT, 0)))
    assert np.array_equal(same, right)
    assert len({region["id"] for region in regions}) == 2


# --------------------------------------------------------------------------------------------- correcting what is there


def standing(bitmap: Bitmap, name: str = "sam-accepted", **more: Any) -> dict[str, Any]:
    """A brush region as it stands in a draft."""
    return {
        "id": name,
        "type": "brushlabels",
        "from_name": "brush",
        "to_name": "image",
        "origin": "manual",
        "original_width": SIZE[1],
        "original_height": SIZE[0],
        "image_rotation": 0,
        "value": {"format": "rle", "rle": rle.encode(bitmap), "brushlabels": ["Airplane"]},
    } | more


def drafts(*results: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"id": 1, "annotation": None, "result": list(results)}]


@pytest.fixture(scope="module")
def both(scene: Scene) -> Bitmap:
    """Two objects in one region, as a careless mask has them."""
    return scene.objects["left"] | scene.objects["top"]


@pytest.mark.parametrize("place", ["drafts", "annotations", "predictions"])
def test_a_negative_click_cuts_a_piece_off_a_region_that_stands(
    shared: Services, scene: Scene, both: Bitmap, place: str
) -> None:
    [region] = ask(shared, scene, keypoint((46.0, 12.0), positive=False), **{place: drafts(standing(both))})
    cut = recordings.bitmap(region)
    assert region["id"] == "sam-accepted"
    assert np.array_equal(cut & scene.objects["left"], scene.objects["left"])
    assert (cut & scene.objects["top"]).sum() < 0.1 * scene.objects["top"].sum()


def test_a_positive_click_on_a_region_adds_to_it_or_leaves_it_and_never_takes_away(
    shared: Services, scene: Scene
) -> None:
    half = scene.objects["left"].copy()
    half[:, : int(0.35 * SIZE[1])] = False
    beside = (100 * (0.35 * SIZE[1] - 2) / SIZE[1], 40.0)
    [region] = ask(shared, scene, keypoint(beside), drafts=drafts(standing(half)))
    grown = recordings.bitmap(region)
    assert region["id"] == "sam-accepted"
    assert np.array_equal(grown & half, half)
    assert scenes.iou(grown, scene.objects["left"]) > scenes.iou(half, scene.objects["left"]) + 0.2


def test_what_stands_under_the_regions_id_comes_back_with_it(shared: Services, scene: Scene, both: Bitmap) -> None:
    """Accepting it replaces everything that has the id: what is not in the answer would be lost."""
    choice = {
        "id": "sam-accepted",
        "type": "choices",
        "from_name": "c",
        "to_name": "image",
        "value": {"choices": ["x"]},
    }
    painted = standing(both, meta={"text": ["seen"]})
    painted["value"]["brushlabels"] = ["Airplane"]
    region, beside = ask(shared, scene, keypoint((46.0, 12.0), positive=False), drafts=drafts(choice, painted))
    assert region["meta"] == {"text": ["seen"]}
    assert beside == choice


def test_correcting_can_be_turned_off(built: Services, scene: Scene, both: Bitmap) -> None:
    apart = with_settings(built, correct=False)
    assert ask(apart, scene, keypoint((46.0, 12.0), positive=False), drafts=drafts(standing(both))) == []


@pytest.mark.parametrize("other", [{"label": "Car"}, {"image": "second"}], ids=["label", "image"])
def test_a_region_of_another_label_or_image_is_not_corrected(
    shared: Services, scene: Scene, both: Bitmap, other: dict[str, str]
) -> None:
    region = standing(both, to_name=other.get("image", "image"))
    region["value"]["brushlabels"] = [other.get("label", "Airplane")]
    assert ask(shared, scene, keypoint((46.0, 12.0), positive=False), drafts=drafts(region)) == []


def test_a_mask_that_was_accepted_a_moment_ago_can_be_cut_before_the_draft_says_so(
    shared: Services, scene: Scene
) -> None:
    [region] = ask(shared, scene, keypoint(ON_THE_OBJECT, name="k1"))
    [cut] = ask(shared, scene, keypoint(ON_THE_OBJECT, positive=False, name="k2"))
    assert cut["id"] == region["id"]
    assert not (recordings.bitmap(cut) & ~recordings.bitmap(region)).any()


def test_a_second_cut_keeps_the_first_while_the_draft_still_lacks_it(
    shared: Services, scene: Scene, both: Bitmap
) -> None:
    three = standing(both | scene.objects["bottom left"])
    [first] = ask(shared, scene, keypoint((46.0, 12.0), positive=False, name="k1"), drafts=drafts(three))
    [second] = ask(shared, scene, keypoint((8.0, 62.0), positive=False, name="k2"), drafts=drafts(three))
    left = recordings.bitmap(second)
    assert first["id"] == second["id"] == "sam-accepted"
    assert (left & scene.objects["top"]).sum() < 0.1 * scene.objects["top"].sum()
    assert (left & scene.objects["bottom left"]).sum() < 0.1 * scene.objects["bottom left"].sum()
    assert np.array_equal(left & scene.objects["left"], scene.objects["left"])


def test_two_cuts_that_wait_together_are_both_made_on_what_stands(shared: Services, scene: Scene, both: Bitmap) -> None:
    three = standing(both | scene.objects["bottom left"])
    cuts = [keypoint((46.0, 12.0), positive=False, name="k1"), keypoint((8.0, 62.0), positive=False, name="k2")]
    ask(shared, scene, cuts[0], drafts=drafts(three))
    together = only(ask(shared, scene, *cuts, drafts=drafts(three)))
    alone = only(ask(with_settings(shared), scene, *cuts, drafts=drafts(three)))
    assert np.array_equal(together, alone)


# --------------------------------------------------------------------------------------------------- several replicas


DIALOGUES: dict[str, list[list[dict[str, Any]]]] = {
    "clicks in a box": [
        [rectangle(*BOX)],
        [keypoint(ON_THE_OBJECT, name="k1")],
        [keypoint(ON_THE_OBJECT, name="k1"), keypoint(BESIDE_IT, positive=False, name="k2")],
    ],
    "a box is cut": [[rectangle(*BOX)], [keypoint(ON_THE_OBJECT, positive=False)]],
    "what was accepted a moment ago is cut": [
        [keypoint(ON_THE_OBJECT, name="k1")],
        [keypoint(ON_THE_OBJECT, positive=False, name="k2")],
        [keypoint(ON_THE_OBJECT, positive=False, name="k2"), keypoint(BESIDE_IT, positive=False, name="k3")],
    ],
}


@pytest.mark.parametrize("dialogue", DIALOGUES.values(), ids=DIALOGUES)
def test_each_request_may_reach_another_replica_or_one_that_was_restarted(
    built: Services, scene: Scene, tmp_path: Path, dialogue: list[list[dict[str, Any]]]
) -> None:
    def replica() -> Services:
        shelf, window = DiskCache(tmp_path, 10**7), built.settings.join_seconds
        return replace(built, joins=Joins(window, shelf), recent=Recent(shelf))

    def masks(replicas: list[Services]) -> list[list[tuple[bool, bytes]]]:
        answers = [ask(one, scene, *prompts) for one, prompts in zip(replicas, dialogue, strict=True)]
        first = answers[0][0]["id"]
        return [
            [(region["id"] == first, recordings.bitmap(region).tobytes()) for region in regions] for regions in answers
        ]

    alone = masks([with_settings(built)] * len(dialogue))
    assert alone != masks([with_settings(built) for _ in dialogue])
    assert alone == masks([replica() for _ in dialogue])


# ------------------------------------------------------------------------------------------------------- sizes, numbers


@pytest.mark.parametrize("seen", [(200, 300), (800, 1200), (133, 200)])
def test_the_mask_has_the_size_that_the_browser_saw(shared: Services, scene: Scene, seen: tuple[int, int]) -> None:
    """The same picture at another scale: the editor's canvas takes no mask of another size than its own."""
    [region] = ask(shared, scene, keypoint(ON_THE_OBJECT), seen=seen)
    assert (region["original_height"], region["original_width"]) == seen
    truth = scenes.draw(seen[1], seen[0], scenes.STAGE).objects["left"]
    assert scenes.iou(recordings.bitmap(region), truth) >= 0.8


@pytest.mark.parametrize("seen", [(600, 400), (400, 400), (400_000, 600_000), (10**9, 1)])
def test_a_size_that_cannot_be_this_pictures_is_a_named_error(
    shared: Services, scene: Scene, seen: tuple[int, int]
) -> None:
    with pytest.raises(PromptError):
        ask(shared, scene, keypoint(ON_THE_OBJECT), seen=seen)


def test_five_hundred_prompts_are_answered(shared: Services, scene: Scene) -> None:
    dice = random.Random(0)
    clicks = [keypoint((dice.uniform(28, 42), dice.uniform(31, 49)), name=f"k{n}") for n in range(500)]
    assert scenes.iou(only(ask(shared, scene, *clicks[:16])), scene.objects["left"]) >= 0.9
    assert only(ask(shared, scene, *clicks)).any()


def test_two_annotators_with_equal_labels_on_two_tasks_never_get_each_others_mask(built: Services) -> None:
    """Both draw a box and click in it, again and again, at the same time; every answer is that of somebody alone."""
    shared = with_settings(built)
    drawn = {number: scenes.draw(SIZE[1], SIZE[0], scenes.STAGE, seed=number) for number in (1, 2)}

    def work(task: int) -> list[bytes]:
        answers = []
        for turn in range(5):
            place = (20.0 + turn, 20.0, 30.0, 40.0)
            one = keypoint((24.0 + turn, 30.0), name=f"k{turn}")
            two = keypoint((49.0 + turn, 58.0), positive=False, name=f"l{turn}")
            for prompts in ([rectangle(*place, name=f"r{turn}")], [one], [one, two]):
                regions = ask(shared, drawn[task], *prompts, id=task)
                answers.append(b"".join(recordings.bitmap(region).tobytes() for region in regions))
        return answers

    with ThreadPoolExecutor(2) as pool:
        together = list(pool.map(work, drawn))
    shared = with_settings(built)
    alone = [work(task) for task in drawn]
    assert together == alone
    assert not set(alone[0]) & set(alone[1])
