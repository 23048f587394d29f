"""What each recorded `/predict` of Label Studio 1.23 asks for."""

import pytest

from sam_backend.labelstudio import config, prompts, tasks
from tests.support import recordings

Points = list[tuple[float, float, int]]

LEFT, BELOW, AWAY = (34.986, 39.991, 1), (30.028, 49.953, 1), (59.963, 30.028, 0)
ROW = [(x, 15.014, 1) for x in (34.986, 40.037, 44.995, 50.047, 55.005, 57.998)]
SPOT, FAR, FARTHER = (36.015, 41.955, 1), (69.972, 20.066, 1), (79.981, 20.066, 1)

# Clicks: percent and label (1 positive, 0 negative). Rectangles: x, y, width, height in percent.
CLICKS: dict[str, Points] = {
    "A1_keypoint_positive": [LEFT],
    "A2_keypoint_second_positive_not_accepted": [LEFT, BELOW],
    "A3_keypoint_negative_altclick": [LEFT, BELOW, AWAY],
    "A5_keypoint_after_accept": [(75.023, 70.019, 1)],
    "B1_autoaccept_keypoint": [LEFT],
    "B2_autoaccept_second_keypoint": [(69.972, 49.953, 1)],
    "B3_autoaccept_negative": [AWAY],
    "C2_rectangle_then_keypoint_same_label": [(69.972, 39.991, 1)],
    "D1_keypoint_airplane": [LEFT],
    "D2_keypoint_other_label_car": [(75.023, 70.019, 1)],
    "E1_rotated90_keypoint": [(6.642, 62.546, 1)],
    "F1_exif6_keypoint": [(24.908, 9.963, 1)],
    "G1_error500": ROW[:1],
    "G2_error400": ROW[:2],
    "G3_notjson": ROW[:3],
    "G4_emptylist": ROW[:4],
    "G5_noregions": ROW[:5],
    "G6_noresults": ROW[:6],
    "H1_positive": [LEFT],
    "H2_negative_altclick": [LEFT, AWAY],
    "H3_move_prompt": [(40.037, 34.939, 1), AWAY],
    "H6_ctrl_click_on_accepted_brush": [SPOT],
    "H8_keep_label_selected_1": [SPOT, FAR],
    "H9_keep_label_selected_2_no_rearm": [SPOT, FAR, FARTHER],
    "I1_negative_only": [AWAY],
    "J1_multi_image0_keypoint": [(50.046, 50.0, 1)],
    "K4_smart_keypoint_with_plain_one_present": [(69.972, 30.028, 1)],
    **{
        f"S10{case}": [(35.0, 40.0, 1)]
        for case in ("a_inter_err500", "b_inter_err400", "c_inter_notjson", "d_inter_noresults", "e_inter_empty")
    },
    "S10f_inter_list_item": [(35.0, 40.0, 1)],
}
RECTANGLES = {
    "C1_smart_rectangle": [(20.019, 20.065, 30.028, 39.991)],
    "C3_second_rectangle": [(59.963, 55.005, 30.028, 34.939)],
}
# (label, (H, W), rotation of the view, item_index) where they are not those of most.
MOST = ("Airplane", (800, 1200), 0, None)
OTHERS = {
    "D2_keypoint_other_label_car": ("Car", (800, 1200), 0, None),
    "E1_rotated90_keypoint": ("Airplane", (800, 1200), 90, None),
    "F1_exif6_keypoint": ("Airplane", (1200, 800), 0, None),
    "J1_multi_image0_keypoint": ("Airplane", (480, 640), 0, 0),
}
PREDICTS = {
    recording.name.split("__")[0] + recording.name.split("__")[1].removeprefix("predict"): recording
    for recording in map(recordings.read, recordings.names())
    if recording.path == "/predict"
}


def test_there_are_58_and_each_is_either_a_click_a_rectangle_or_an_open_task() -> None:
    with_context = {name for name, recording in PREDICTS.items() if recordings.prompts(recording)}
    assert len(PREDICTS) == 58
    assert with_context == {*CLICKS, *RECTANGLES}


@pytest.mark.parametrize("name", [*CLICKS, *RECTANGLES])
def test_a_recorded_prompt_is_understood(name: str) -> None:
    body = PREDICTS[name].body
    assert body is not None
    found = config.parse(body["label_config"])
    request = prompts.parse(body["params"]["context"], found)
    assert request is not None
    label, size, rotation, item_index = OTHERS.get(name, MOST)
    assert request.labels == (label,)
    assert (request.original_size, request.image_rotation, request.item_index) == (size, rotation, item_index)
    assert request.region_id == recordings.prompts(PREDICTS[name])[-1]["id"]

    prompt = prompts.to_prompt(request, size)
    height, width = size
    clicks = [
        (x / width * 100, y / height * 100, int(label))
        for (x, y), label in zip(prompt.points.tolist(), prompt.point_labels.tolist(), strict=True)
    ]
    assert clicks == [pytest.approx(click, abs=1e-3) for click in CLICKS.get(name, [])]
    boxes = [
        (x0 / width * 100, y0 / height * 100, (x1 - x0) / width * 100, (y1 - y0) / height * 100)
        for x0, y0, x1, y1 in prompt.boxes.tolist()
    ]
    assert boxes == [pytest.approx(box, abs=1e-3) for box in RECTANGLES.get(name, [])]


@pytest.mark.parametrize("name", PREDICTS)
def test_every_recorded_task_has_its_image(name: str) -> None:
    body = PREDICTS[name].body
    assert body is not None
    found = config.parse(body["label_config"])
    for task in body["tasks"]:
        addresses = tasks.image_urls(task, found)
        assert addresses == (task["data"].get("images") or [task["data"]["image"]])
        assert tasks.image_url(task, found.images[0]) == addresses[0]
