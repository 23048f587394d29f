"""The benchmarks: what a row says and when it refuses to, and that the peer over HTTP does what it stands for."""

import argparse
import contextlib
import itertools
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import bench, busy, clients, decoder, encoder, masks, prompting, report, rows, serving
from benchmarks.example_backend import Files, create
from benchmarks.observing import Stopwatch
from benchmarks.official import predictor_class
from benchmarks.rows import BF16, EQUAL, F32, TABLE, Row, compared
from benchmarks.sides import Ran, Side, SideError, in_turn, peaks, sides, times
from model_export import architectures
from model_export.weights import Weights, build
from sam_backend.labelstudio import rle
from tests.support import jobs, recordings, scenes
from tests.support.image_host import TOKEN, image_host

# ------------------------------------------------------------------------------------------------------------- rows


def test_the_table_has_the_rows_that_were_asked_for() -> None:
    assert set(TABLE) == {
        "encoder_bf16_vs_torch_f32",
        "encoder_bf16_vs_torch_bf16",
        "encoder_bf16_of_peak",
        "encoder_int8_vs_bf16",
        "decoder_click_vs_torch",
        "decoder_64_vs_torch",
        "rle_12mp_vs_sdk",
        "request_click_1200x800",
        "request_click_4000x3000",
        "request_click_busy_task",
        "everything_vs_official",
        "everything_guided_vs_official",
        "first_click_after_open",
        "click_p95_under_encode",
    }


def test_every_row_of_the_table_has_a_script_that_makes_it() -> None:
    made = {*encoder.BF16_ROWS, *decoder.TORCH_ROWS, *masks.SIZES, *serving.REQUESTS}
    made |= {serving.BUSY, serving.FIRST, serving.UNDER, "everything_vs_official", "everything_guided_vs_official"}
    assert set(TABLE) <= made
    for script in bench.SCRIPTS:
        assert (bench.ROOT / "benchmarks" / f"{script.name}.py").exists()


def test_a_ratio_is_the_peers_median_by_ours() -> None:
    row = compared("decoder_click_vs_torch", [2.0, 1.0, 9.0], [8.0, 6.0, 7.0], 1.0, F32)
    assert (row.ours, row.peer, row.ratio) == (2.0, 7.0, 3.5)
    assert row.more["spread"] == {"ours": [1.0, 9.0], "peer": [6.0, 8.0], "runs": [3, 3]}
    assert row.verdict == "ok"


def test_a_row_is_written_as_it_was_asked_for() -> None:
    document = compared("decoder_click_vs_torch", [2.0], [8.0], 1.0, F32, precision="f32").document()
    assert document["name"] == "decoder_click_vs_torch"
    assert (document["ours"], document["peer"], document["unit"], document["ratio"]) == (2.0, 8.0, "s", 4.0)
    assert (document["agreement"], document["floor"], document["goal"]) == (1.0, 3.3, 5)
    assert document["precision"] == "f32"


@pytest.mark.parametrize("agreement", [0.979, 0.0, math.nan, None])
def test_no_ratio_is_given_where_the_sides_disagree(agreement: float | None) -> None:
    row = compared("request_click_1200x800", [1.0], [5.0], agreement, BF16)
    assert row.ratio is None
    assert row.document()["ratio"] is None
    assert "agreement" in row.document()["refused"]
    assert "5.00" not in report.table([row]).split("REFUSED")[0].split("s")[-1]


def test_no_ratio_is_given_where_anything_else_is_wrong() -> None:
    row = Row("decoder_64_vs_torch", 1.0, 9.0, 1.0, F32, faults=("the logits differ",))
    assert (row.ratio, row.refused) == (None, "the logits differ")


def test_what_this_machine_cannot_do_is_skipped_and_says_why() -> None:
    row = Row("encoder_bf16_of_peak", skipped="this CPU has no bf16")
    assert (row.ratio, row.refused, row.document()["skipped"]) == (None, "", "this CPU has no bf16")


@pytest.mark.parametrize(
    "row",
    [
        compared("rle_12mp_vs_sdk", [1.0], [2.0], 1.0, EQUAL, short=True),
        compared("rle_12mp_vs_sdk", [1.0], [2.0], 0.5, EQUAL),
        Row("rle_12mp_vs_sdk", 1.0, 2.0, 1.0, F32, faults=("the logits differ",)),
        Row("rle_12mp_vs_sdk", faults=("it ended",)),
        Row("encoder_bf16_of_peak", skipped="this CPU has no bf16"),
    ],
)
def test_rows_are_read_as_they_were_written(row: Row, tmp_path: Path) -> None:
    report.write(tmp_path / "rows.json", [row])
    assert [read.document() for read in report.read(tmp_path / "rows.json")] == [row.document()]


def test_a_script_that_refuses_ends_with_an_error_and_still_writes(tmp_path: Path) -> None:
    given = argparse.Namespace(json=tmp_path / "rows.json", plot=None, short=True)
    agreeing, other = (compared("rle_12mp_vs_sdk", [1.0], [2.0], value, EQUAL) for value in (1.0, 0.99))
    assert report.finish("Masks", [agreeing], given) == 0
    assert report.finish("Masks", [agreeing, other], given) == 1
    written = json.loads(given.json.read_text())
    assert [row["ratio"] for row in written] == [2.0, None]
    assert all(row["short"] for row in written)


def test_a_measurement_that_breaks_becomes_rows_that_say_so() -> None:
    def broken() -> Iterator[Row]:
        yield Row("one", 1.0, 1.0, 1.0)
        raise SideError("it ended")

    [row] = report.attempt(["one"], broken)
    assert row.ratio is None
    assert "it ended" in row.refused


def test_what_a_broken_script_owes_is_in_the_end_still_there() -> None:
    rows = bench._complete([Row("rle_12mp_vs_sdk", 1.0, 2.0, 1.0, EQUAL), Row("one_beside", 1.0, 2.0, 1.0)])
    assert [row.name for row in rows] == [*TABLE, "one_beside"]
    assert [row.name for row in rows if row.ratio] == ["rle_12mp_vs_sdk", "one_beside"]


# ------------------------------------------------------------------------------------------------------------ sides


def test_sides_run_in_turn_on_the_same_inputs() -> None:
    with sides(("two", jobs.doubling, {"factor": 2}), ("three", jobs.doubling, {"factor": 3})) as both:
        two, three = in_turn(both, [(1,), (2,), (3,)])
    assert ([ran.output for ran in two], [ran.output for ran in three]) == ([2, 4, 6], [3, 6, 9])
    assert all(seconds >= 0 for seconds in times(two))
    assert min(peaks(two, three).values()) > 1


def test_a_side_that_fails_says_what_failed() -> None:
    side = Side("broken", jobs.dividing)
    try:
        assert side.run(1).output == 1
        with pytest.raises(SideError, match="broken: ZeroDivisionError"):
            side.run(0)
        with pytest.raises(SideError, match="broken: the process ended"):
            side.run(1)
    finally:
        side.close()


def test_streams_that_differ_in_one_byte_are_not_equal() -> None:
    ours, theirs = [Ran(1.0, b"ab", 1.0)] * 2, [Ran(1.0, b"ab", 1.0), Ran(1.0, b"ac", 1.0)]
    assert masks.equal(ours, ours) == 1
    assert compared("rle_12mp_vs_sdk", [1.0], [20.0], masks.equal(ours, theirs), EQUAL).ratio is None


def test_our_streams_and_the_sdks_are_compared_on_masks_of_their_size() -> None:
    from benchmarks import ours, peers

    drawn = masks.drawn((60, 80))
    mine, theirs = ours.rle(drawn), peers.sdk_rle(drawn)
    for number, mask in enumerate(drawn):
        assert mask.shape == (60, 80)
        assert mine.show(mine.run(number)) == theirs.show(theirs.run(number))


# --------------------------------------------------------------------------------------------------------- requests


def test_clicks_name_whole_pixels_for_who_cuts_them_too() -> None:
    for size in ((800, 1200), (3000, 4000)):
        places = [(0, 0), (1, 7), (419, 333), (size[1] - 1, size[0] - 1)]
        document = json.loads(clients.click("/a.jpg", size, places, drafts=[]))
        values = [region["value"] for region in document["params"]["context"]["result"]]
        assert [(int(v["x"] * size[1] / 100), int(v["y"] * size[0] / 100)) for v in values] == places


def test_a_busy_task_has_regions_of_a_mask_s_size_and_leaves_room_to_click() -> None:
    size = (800, 1200)
    regions = busy.regions(size, 4)
    assert all(1000 < len(region["value"]["rle"]) < 40_000 for region in regions)
    same_label = [region for region in regions if region["value"]["brushlabels"] == ["Airplane"]]
    assert len(same_label) == 2
    for region in same_label:
        painted = rle.decode(region["value"]["rle"], size)
        assert painted.any()
        assert not any(painted[y, x] for x, y in busy.free_places(size, 50))


def test_opening_a_task_asks_for_nothing() -> None:
    document = json.loads(clients.opened("/a.jpg", (10, 10)))
    assert document["params"]["context"] is None


@pytest.fixture(scope="module")
def predictor() -> Any:
    return predictor_class()(build(architectures.find("builtin"), Weights())[0])


@pytest.mark.parametrize("name", ["A1_keypoint_positive__predict", "C1_smart_rectangle__predict"])
def test_the_example_answers_a_recorded_click_as_its_predictor_does(name: str, predictor: Any, tmp_path: Path) -> None:
    recording = recordings.read(name)
    with image_host() as host:
        recordings.serve(host)
        client = create(predictor, Files(tmp_path, host.url, TOKEN)).test_client()
        answers = [client.post("/predict", json=recording.body) for _ in range(2)]
        assert len(host.requests) == 1, "the image is fetched once"
    region = answers[1].get_json()["results"][0]["result"][0]
    [prompt] = recordings.prompts(recording)
    predictor.set_image(recordings.scene(recording).rgb)
    found = predictor.predict(**asked(prompt), multimask_output=False)[0][0]
    assert found.any()
    assert np.array_equal(recordings.bitmap(region), found)
    assert (region["from_name"], region["value"]["brushlabels"]) == ("brush", ["Airplane"])


def asked(prompt: dict[str, Any]) -> dict[str, Any]:
    value, width, height = prompt["value"], prompt["original_width"] / 100, prompt["original_height"] / 100
    x, y = value["x"] * width, value["y"] * height
    if prompt["type"] == "keypointlabels":
        return {"point_coords": np.array([[int(x), int(y)]]), "point_labels": np.ones(1)}
    far = int(x + value["width"] * width), int(y + value["height"] * height)
    return {"box": np.array([int(x), int(y), *far])}


def test_the_example_answers_an_opened_task_with_nothing(tmp_path: Path) -> None:
    client = create(None, Files(tmp_path, "http://127.0.0.1:1", TOKEN)).test_client()
    answer = client.post("/predict", json=json.loads(clients.opened("/a.jpg", (10, 10))))
    assert answer.get_json() == {"results": []}


def test_masks_of_two_answers_are_compared_pixel_by_pixel() -> None:
    left = scenes.draw(40, 30, scenes.CENTER).objects["center"]
    assert prompting.iou(left, left) == 1
    assert prompting.iou(left, ~left) == 0
    assert rows.F32 > rows.BF16 > rows.INT8


# -------------------------------------------------------------------------------------------------------- observing


def test_what_is_observed_inside_of_what_is_observed_counts_once_and_what_a_stage_does_not_at_all() -> None:
    watch = Stopwatch(itertools.count().__next__)  # each look takes a second
    watch.around(watch.around(lambda: None))()
    assert watch.seconds == 1
    with watch.at_both_ends(contextlib.nullcontext)():
        for _ in range(50):
            watch._clock()
    assert watch.seconds == 4  # made, entered, left
