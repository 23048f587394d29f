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
from sam_backend.joins import Place
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


DEPTHS = [99, 260, 600, 1000, 1015]


def nested(document: dict[str, Any], depth: int) -> bytes:
    """The document with so many lists in one another in place of "HERE"."""
    return orjson.dumps(document).replace(b'"HERE"', b"[" * depth + b"]" * depth)


@pytest.mark.parametrize("depth", DEPTHS)
def test_a_deep_body_is_answered_or_refused_wherever_it_is_deep(client: FlaskClient, depth: int) -> None:
    """Also where an answer carries it back: what stands beside a corrected region goes with it."""
    click = body(RECORDED[2])
    draft = click["tasks"][0]["drafts"][0]["result"]
    painted = next(region for region in draft if "rle" in region["value"])
    beside = {"id": painted["id"], "type": "textarea", "from_name": "t", "to_name": "image", "value": "HERE"}
    setup = {"project": "1", "schema": click["label_config"]}
    for path, document in (
        ("/predict", spoiled(click, ("tasks", 0, "drafts", 0, "result"), [*draft, beside])),
        ("/predict", spoiled(click, ("tasks", 0, "id"), "HERE")),
        ("/predict", spoiled(click, ("params", "context", "result", 0, "value"), "HERE")),
        ("/setup", setup | {"project": "HERE"}),
        ("/setup", setup | {"extra_params": {"point_grids": "HERE"}}),
        ("/setup", setup | {"extra_params": {"mode": "HERE"}}),
    ):
        response = client.post(path, data=nested(document, depth))
        assert response.status_code == 200 or response.get_json()["error"] in NAMED, (path, response.data[:300])


def test_extra_params_as_deep_text_are_refused(client: FlaskClient) -> None:
    setup = {"project": "1", "schema": body(RECORDED[0])["label_config"]}
    for depth in DEPTHS:
        text = '{"point_grids": ' + "[" * depth + "]" * depth + "}"
        response = client.post("/setup", json=setup | {"extra_params": text})
        assert (response.status_code, response.get_json()["error"]) == (422, "ExtraParamsError")
        assert len(response.data) < 2000


def test_a_mask_of_more_clicks_than_anybody_places_is_refused(client: FlaskClient) -> None:
    click = body(RECORDED[0])
    region = click["params"]["context"]["result"][-1]
    for count, status in ((1000, 200), (1001, 400)):
        changed = spoiled(click, ("params", "context", "result"), [region | {"id": f"k{n}"} for n in range(count)])
        response = client.post("/predict", data=orjson.dumps(changed))
        assert response.status_code == status
    assert response.get_json()["error"] == "PromptError"


@pytest.mark.parametrize("name", [one for one in recordings.names() if "webhook" in one])
def test_an_event_is_noted_by_its_name_and_nothing_else(client: FlaskClient, name: str) -> None:
    event = recordings.read(name).body
    assert event is not None
    response = client.post("/webhook", data=orjson.dumps(event))
    assert (response.status_code, response.get_json()) == (201, {"status": "ok"})


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b'{"action": "A", "task": ' + b"[" * 100_000, 201),
        (b'{"action": "' + b"A" * 1_000_000 + b'"}', 201),
        (b'{"action" : "A\\n2026-01-01 forged"}', 201),
        (b'{"action": "\x1b[31mA"}', 400),
        (b'{"action": "\r\nA"}', 400),
        (b'{"action": 5}', 400),
        (b'{"x": "' + b"x" * 5000 + b'", "action": "A"}', 400),
        (b"\xff" * 5000, 400),
    ],
)
def test_an_event_is_not_parsed_and_its_name_is_short_and_plain(
    client: FlaskClient, data: bytes, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    assert client.post("/webhook", data=data).status_code == status
    [line] = [record.getMessage() for record in caplog.records if "/webhook" in record.getMessage()]
    assert len(line) < 250
    assert line.isprintable()


def test_an_event_has_a_limit_of_its_own(client: FlaskClient) -> None:
    """Of `SAM_MAX_BODY_BYTES`, where that is less."""
    response = client.post("/webhook", data=b'{"action": "A"}' + b" " * 10_000_000)
    assert (response.status_code, response.get_json()["error"]) == (413, "BodyTooLargeError")


@pytest.mark.parametrize("key", ["project", "hostname", "access_token"])
def test_what_is_remembered_of_a_project_is_short(client: FlaskClient, key: str) -> None:
    setup = {"project": "1", "schema": body(RECORDED[0])["label_config"]}
    response = client.post("/setup", json=setup | {key: "x" * 10_001})
    assert (response.status_code, response.get_json()["error"]) == (400, "BodyError")
    assert len(response.data) < 300


def test_a_prompt_with_an_endless_id_is_refused(client: FlaskClient) -> None:
    changed = spoiled(body(RECORDED[3]), ("params", "context", "result", 0, "id"), "x" * 257)
    response = client.post("/predict", data=orjson.dumps(changed))
    assert (response.status_code, response.get_json()["error"]) == (400, "PromptError")


def test_a_place_is_remembered_under_a_short_name() -> None:
    places = [Place("1", "2" * length, "image", 0, ("a",)) for length in (1, 10_000, 10_001)]
    assert len({place.key for place in places}) == 3
    assert max(len(place.key) for place in places) < 1000
