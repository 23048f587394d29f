"""Every request that Label Studio 1.23 was seen to send, sent to a running backend."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.support import recordings, scenes
from tests.support.image_host import TOKEN, ImageHost, image_host
from tests.support.recordings import Recording
from tests.support.service import Service, running

# The object that a recorded click means. None: it means nothing, and the answer is the empty prediction.
MEANT: dict[str, str | None] = {
    "A1_keypoint_positive": "left",
    "A2_keypoint_second_positive_not_accepted": "left",
    "A3_keypoint_negative_altclick": "left",
    "A5_keypoint_after_accept": "bottom right",
    "B1_autoaccept_keypoint": "left",
    "B2_autoaccept_second_keypoint": "middle right",
    "B3_autoaccept_negative": None,
    "C1_smart_rectangle": "left",
    "C2_rectangle_then_keypoint_same_label": "middle right",
    "C3_second_rectangle": "bottom right",
    "D1_keypoint_airplane": "left",
    "D2_keypoint_other_label_car": "bottom right",
    "E1_rotated90_keypoint": "bottom left",
    "F1_exif6_keypoint": "corner",
    "G1_error500": "top",
    "G2_error400": "top",
    "G3_notjson": "top",
    "G4_emptylist": "top",
    "G5_noregions": "top",
    "G6_noresults": "top",
    "H1_positive": "left",
    "H2_negative_altclick": "left",
    "H3_move_prompt": "left",
    "H6_ctrl_click_on_accepted_brush": "left",
    "I1_negative_only": None,
    "J1_multi_image0_keypoint": "center",
    "K4_smart_keypoint_with_plain_one_present": "top right",
    "S10a_inter_err500": "left",
    "S10b_inter_err400": "left",
    "S10c_inter_notjson": "left",
    "S10d_inter_noresults": "left",
    "S10e_inter_empty": "left",
    "S10f_inter_list_item": "left",
}
# Positive points on several objects, under one label: what one mask should be then is anybody's guess.
ON_SEVERAL = {"H8_keep_label_selected_1", "H9_keep_label_selected_2_no_rearm"}
STATUS = {"/health": 200, "/setup": 200, "/versions": 200, "/predict": 200, "/webhook": 201}

ALL = [recordings.read(name) for name in recordings.names()]
CLICKS = [recording for recording in ALL if recordings.prompts(recording)]
BATCHES = [recording for recording in ALL if recording.path == "/predict" and recording not in CLICKS]


def case(recording: Recording) -> str:
    return recording.name.removesuffix("__predict")


@pytest.fixture(scope="module")
def host() -> Iterator[ImageHost]:
    with image_host() as running_host:
        recordings.serve(running_host)
        yield running_host


@pytest.fixture(scope="module")
def service(host: ImageHost, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("service")
    with running(folder, LABEL_STUDIO_URL=host.url, LABEL_STUDIO_API_KEY=TOKEN) as running_service:
        yield running_service


@pytest.fixture(scope="module")
def version(service: Service) -> str:
    """What the backend tells Label Studio in /setup."""
    version = recordings.read("S1_connect__setup").send(service.url).json()["model_version"]
    assert isinstance(version, str)
    assert version
    return version


def test_recordings_are_all_there_and_each_click_has_its_meaning() -> None:
    assert len(ALL) == 85
    assert {case(recording) for recording in CLICKS} == set(MEANT) | ON_SEVERAL


@pytest.mark.parametrize("recording", ALL, ids=lambda recording: recording.name)
def test_label_studio_is_content_with_the_status_and_gets_json(service: Service, recording: Recording) -> None:
    response = recording.send(service.url)
    assert response.status_code == STATUS[recording.path], response.text
    assert response.headers["Content-Type"] == "application/json"
    assert isinstance(response.json(), dict)


@pytest.mark.parametrize("recording", BATCHES, ids=case)
def test_opened_tasks_are_answered_one_by_one_without_a_prediction(
    service: Service, version: str, recording: Recording
) -> None:
    """No "result" key: Label Studio then saves nothing."""
    assert recording.body is not None
    assert recording.send(service.url).json()["results"] == [{"model_version": version}] * len(recording.body["tasks"])


@pytest.mark.parametrize("recording", CLICKS, ids=case)
def test_a_click_is_answered_by_regions_that_label_studio_accepts(
    service: Service, version: str, recording: Recording
) -> None:
    [prediction] = recording.send(service.url).json()["results"]
    assert prediction["model_version"] == version
    assert isinstance(prediction["score"], float)
    prompt = recordings.prompts(recording)[-1]
    labels = prompt["value"][prompt["type"]]
    empty = case(recording) in MEANT and MEANT[case(recording)] is None
    assert len(prediction["result"]) == (0 if empty else 1)
    for region in prediction["result"]:
        assert (region["type"], region["from_name"], region["to_name"]) == ("brushlabels", "brush", "image")
        assert region["origin"] == "manual"
        assert isinstance(region["score"], float)
        for key in ("original_width", "original_height", "image_rotation", "item_index"):
            assert region.get(key) == prompt.get(key)
        assert region["value"]["format"] == "rle"
        assert region["value"]["brushlabels"] == labels
        assert recordings.bitmap(region).any()


@pytest.mark.parametrize("recording", [one for one in CLICKS if MEANT.get(case(one))], ids=case)
def test_the_mask_lands_on_the_object_that_was_meant(service: Service, recording: Recording) -> None:
    [region] = recordings.answered(recording.send(service.url))
    meant = recordings.scene(recording).objects[str(MEANT[case(recording)])]
    mask = recordings.bitmap(region)
    assert mask.shape == meant.shape
    assert scenes.iou(mask, meant) >= 0.8


def test_equal_clicks_get_equal_masks_and_ids_of_their_own(service: Service) -> None:
    recording = recordings.read("A1_keypoint_positive__predict")
    [one], [other] = (recordings.answered(recording.send(service.url)) for _ in range(2))
    assert one.pop("id") != other.pop("id")
    assert one == other


def test_a_submit_with_a_pending_suggestion_gets_the_empty_prediction(service: Service, version: str) -> None:
    """Label Studio then sends a context without regions; null would mean something else."""
    recording = recordings.read("A1_keypoint_positive__predict")
    assert recording.body is not None
    recording.body["params"]["context"] = {"result": []}
    [prediction] = recording.send(service.url).json()["results"]
    assert prediction == {"result": [], "score": 0.0, "model_version": version}


def test_the_second_image_of_a_list_is_the_one_that_is_segmented(service: Service, host: ImageHost) -> None:
    recording = recordings.read("J1_multi_image0_keypoint__predict")
    assert recording.body is not None
    scene = scenes.draw(500, 700, {"low": (60, 70, 20, 15)}, seed=3)
    host.put("/data/local-files/?d=sub/page1_500x700.png", scenes.png(scene.rgb))
    first, second = (dict(recordings.prompts(recording)[0]) for _ in range(2))
    second |= {"item_index": 1, "original_width": 500, "original_height": 700, "id": "second"}
    second["value"] = second["value"] | {"x": 60.0, "y": 70.0}
    recording.body["params"]["context"]["result"] = [first, second]
    [region] = recordings.answered(recording.send(service.url))
    assert region["item_index"] == 1
    assert scenes.iou(recordings.bitmap(region), scene.objects["low"]) >= 0.8


def test_no_recording_holds_a_token(tmp_path: Path) -> None:
    for recording in ALL:
        token = (recording.body or {}).get("access_token", "<LEGACY_TOKEN>")
        assert token == "<LEGACY_TOKEN>"


def test_the_stored_file_of_an_orientation_shows_the_upright_picture() -> None:
    """The tests' own camera, checked against Pillow."""
    from io import BytesIO

    from PIL import Image, ImageOps

    for orientation in range(1, 9):
        file = BytesIO(scenes.jpeg(recordings.TURNED.rgb, orientation))
        shown = np.asarray(ImageOps.exif_transpose(Image.open(file)))
        assert shown.shape == recordings.TURNED.rgb.shape
        assert np.abs(shown.astype(int) - recordings.TURNED.rgb).mean() < 8
