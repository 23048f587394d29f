"""The benchmark of clicks counts them as the field does, and asks through the backend's own path."""

import json
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from benchmarks import noc
from benchmarks.prompting import Annotator, iou, start
from sam_backend.services import Services


@pytest.fixture(scope="module")
def shared() -> Iterator[Services]:
    services = start()
    yield services
    services.close()


@pytest.fixture(scope="module")
def annotator(shared: Services) -> Annotator:
    picture = np.full((200, 300, 3), 128, np.uint8)
    cv2.circle(picture, (100, 100), 50, (220, 30, 30), -1)
    cv2.circle(picture, (240, 100), 30, (30, 40, 220), -1)
    return Annotator(shared, picture)


def test_an_object_that_never_gets_there_counts_as_all_the_clicks() -> None:
    curves = np.array([[0.2, 0.9, 0.4], [0.86, 0.1, 0.1], [0.3, 0.4, 0.5]])
    assert noc.clicks_needed(curves, 0.85).tolist() == [2, 1, 3]
    found = noc.summary(curves)
    assert found["noc"] == {"NoC@85": 2.0, "NoC@90": pytest.approx(8 / 3)}
    assert found["never"] == {"NoC@85": pytest.approx(1 / 3), "NoC@90": pytest.approx(2 / 3)}
    assert found["mean_iou"]["2"] == pytest.approx(1.4 / 3)
    assert noc.difference(curves, curves)["NoC@85"] == {"mean": 0.0, "within": 0.0}


def test_clicks_after_a_box_are_joined_with_it(annotator: Annotator) -> None:
    """A negative click alone is answered with nothing; after a box, with what the box has."""
    outside_the_circle = ((55.0, 55.0), 0)
    box = annotator.box(50, 50, 151, 151)
    joined = annotator.clicks_after_box([outside_the_circle])
    assert iou(joined, box) >= 0.8
    assert not annotator.clicks([outside_the_circle]).any()


def test_another_objects_clicks_are_joined_with_nothing(annotator: Annotator) -> None:
    at = ((240.0, 100.0), 1)
    alone = annotator.clicks([at])
    annotator.box(50, 50, 290, 151)
    assert np.array_equal(annotator.clicks([at]), alone)


def test_the_benchmark_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    noc.main(["--short", "--json", str(tmp_path / "noc.json")])
    report = json.loads((tmp_path / "noc.json").read_text())
    assert set(report["results"]) == {"click first", "box first"}
    for ways in report["results"].values():
        assert ways["chained"]["mean_iou"]["1"] == ways["alone"]["mean_iou"]["1"], "the first prompt has no mask before"
        assert ways["chained"] != ways["alone"]
        for found in ways.values():
            assert all(1 <= count <= 3 for count in found["noc"].values())
            assert all(0 <= value <= 1 for value in [*found["never"].values(), *found["mean_iou"].values()])
            assert set(found["mean_iou"]) == {"1", "2", "3"}
    assert "NoC@90" in capsys.readouterr().out
