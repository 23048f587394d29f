"""Bodies with one thing wrong: answered, or refused by name; no traceback, no mask of a wrong size."""

import base64
import copy
import random
from collections.abc import Iterator
from typing import Any

import orjson
import pytest
from flask.testing import FlaskClient

from sam_backend import errors
from sam_backend.labelstudio import rle
from sam_backend.serving.server import create_app
from sam_backend.settings import Settings
from tests.support import recordings, scenes

RECORDED = (
    "A3_keypoint_negative_altclick__predict",
    "C3_second_rectangle__predict",
    "H6_ctrl_click_on_accepted_brush__predict",
    "J1_multi_image0_keypoint__predict",
)
ODD: list[Any] = [
    None,
    True,
    -1,
    0,
    10**30,
    1e308,
    -5e-324,
    99.5,
    "",
    "x" * 3000,
    "\x00 %2e%2e/ ☃",
    [],
    {},
    [[]],
    [None],
    {"id": {}},
    {"result": [{"id": 1}]},
]
NAMED = {name for name, value in vars(errors).items() if isinstance(value, type)}
EACH = 60


@pytest.fixture(scope="module")
def client() -> Iterator[FlaskClient]:
    app = create_app(Settings(max_body_bytes=10_000_000))
    with app.test_client() as running:
        yield running
    app.extensions["sam_backend"].close()


def body(name: str) -> dict[str, Any]:
    """A recorded body on a picture that comes along; a region that stands has a mask of that picture."""
    found = copy.deepcopy(recordings.read(name).body)
    assert found is not None
    recording = recordings.read(name)
    address = "data:image/png;base64," + base64.b64encode(scenes.png(recordings.scene(recording).rgb)).decode()
    [task] = found["tasks"]
    task["data"] = {
        key: [address] * len(value) if isinstance(value, list) else address for key, value in task["data"].items()
    }
    for draft in task["drafts"]:
        for region in draft["result"]:
            if "rle" in region["value"]:
                region["value"]["rle"] = rle.encode(recordings.PLAIN.objects["left"])
    return found


def paths(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where something stands in a document; of a long list, where its first things do."""
    items = value.items() if isinstance(value, dict) else enumerate(value[:4]) if isinstance(value, list) else ()
    for key, item in items:
        yield (*path, key)
        yield from paths(item, (*path, key))


def spoiled(document: dict[str, Any], path: tuple[Any, ...], odd: Any) -> dict[str, Any]:
    """The document with something odd at one place."""
    changed = copy.deepcopy(document)
    at: Any = changed
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = odd
    return changed


@pytest.mark.parametrize("name", RECORDED)
def test_one_odd_value_anywhere_is_answered_or_refused_by_name(client: FlaskClient, name: str) -> None:
    document = body(name)
    places, dice = list(paths(document)), random.Random(name)
    assert client.post("/predict", data=orjson.dumps(document)).status_code == 200
    for _ in range(EACH):
        path, odd = dice.choice(places), dice.choice(ODD)
        try:
            data = orjson.dumps(spoiled(document, path, odd))
        except TypeError:  # a number that JSON readers of 64 bits refuse
            data = orjson.dumps(spoiled(document, path, str(odd)))
        response = client.post("/predict", data=data)
        answer = response.get_json()
        if response.status_code == 200:
            size = recordings.scene(recordings.read(name)).rgb.shape[:2]
            for region in answer["results"][0].get("result", []):
                assert region["type"] == "choices" or len(rle.decode(region["value"]["rle"], size)) == size[0], path
        else:
            assert answer["error"] in NAMED, (path, odd, answer)


@pytest.mark.parametrize("number", [b"NaN", b"Infinity", b"-Infinity", b"1e999"])
def test_numbers_that_are_none_are_refused(client: FlaskClient, number: bytes) -> None:
    document = orjson.dumps(spoiled(body(RECORDED[0]), ("params", "context", "result", 0, "value", "x"), "HERE"))
    response = client.post("/predict", data=document.replace(b'"HERE"', number))
    assert response.status_code == 400
    assert response.get_json()["error"] in NAMED


def test_an_empty_rectangle_is_refused(client: FlaskClient) -> None:
    document = spoiled(body(RECORDED[1]), ("params", "context", "result", 1), None)
    document = spoiled(document, ("params", "context", "result", 0, "value", "width"), 0)
    response = client.post("/predict", data=orjson.dumps(document))
    assert (response.status_code, response.get_json()["error"]) == (400, "PromptError")
