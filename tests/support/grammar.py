"""Bodies that Label Studio never sends: recorded ones with something else in them, and what is no JSON at all.

A place in a body is chosen, and what stands there is changed by one of `CHANGES`; some change what means something
here, a label config or a region. What a JSON writer would refuse (numbers beyond all bounds, text that is no UTF-8,
depths beyond its own) is put in afterwards, in the place of a mark.
"""

import base64
import copy
import random
import re
from collections.abc import Callable, Iterator
from typing import Any

import orjson

from sam_backend.labelstudio import rle
from tests.support import recordings, scenes

Document = dict[str, Any]
Dice = random.Random
Path = tuple[Any, ...]

ODD: list[Any] = [
    None, True, False, -1, 0, 1, 2**53 + 1, 10**15, 1e308, -5e-324, 99.5, "", " ", "x" * 3000, "\x00 %2e%2e/ ☃",
    "$image",    "http://[::1", "data:,", "data:image/png;base64,AAAA", "/data/upload/../../etc/passwd", "file:///etc/passwd",
    "s3://bucket/key", "6.1795179528", [], {}, [[]], [None], {"id": {}}, {"result": [{"id": 1}]}, {"rle": [1, 2]},
    [0] * 200, {"x" * 500: 1},
]  # fmt: skip
"""What stands in the wrong place."""

RAW: list[Callable[[Dice], bytes]] = [
    lambda dice: b"9" * dice.choice([20, 400, 5000]),
    lambda dice: b"-1e" + b"9" * dice.choice([3, 30]),
    lambda _: b"1e999",
    lambda _: b"NaN",
    lambda _: b"-0",
    lambda _: b'"\\ud800"',
    lambda _: b'"\xff\xfe\x80"',
    lambda _: b'"\\u0000\\u202e\\r\\n"',
    lambda dice: b'"' + b"A" * dice.choice([10_000, 300_000]) + b'"',
    lambda dice: _nest(dice.choice([200, 900, 1020, 1100, 100_000]), b"[", b"]", b"1"),
    lambda dice: _nest(dice.choice([200, 900, 1020, 1100]), b'{"a":', b"}", b"1"),
    lambda dice: _nest(dice.choice([200, 500]), b'{"result":[{"value":', b"}]}", b"null"),
    lambda dice: b"[" + b",".join([b"0"] * dice.choice([1000, 60_000])) + b"]",
    lambda _: b'{"id":1,"id":2,"rle":[1],"rle":"x"}',
    lambda _: b'{"rle" : [01, 2]}',
    lambda _: b'{"rle":[1,2',
]
"""What takes the place of a value in the text."""

_ALL_ANSWERS = """<View><Image name='image' value='$image'/><KeyPoint name='keypoint' toName='image' smart='true'/>
<Rectangle name='rectangle' toName='image'/><Polygon name='polygon' toName='image'/></View>"""
_ODD_NAMES = """<View><Image name='image' value='$a.b[0].{}$$image'/><BrushLabels name='brush' toName='image,image,,x'>
<Label value='Airplane' alias=''/><Label alias='Airplane'/><Label value='&#xffff;'/></BrushLabels>
<KeyPointLabels name='keypoint' toName='image' value='$labels'/></View>"""
_ONE = """<Image name='image' value='$image'/>
<BrushLabels name='brush' toName='image'><Label value='Airplane'/></BrushLabels>
<KeyPointLabels name='keypoint' toName='image'><Label value='Airplane'/></KeyPointLabels>"""

CONFIGS = [
    '<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "bbbb"><!ENTITY c "&b;&b;&b;&b;">]><View>&c;&c;&c;</View>',
    '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><View><Image name="i" value="&x;"/></View>',
    '<!DOCTYPE a SYSTEM "http://127.0.0.1:1/a.dtd"><View/>',
    "<View>" * 3000 + "</View>" * 3000,
    "<View>" * 100_000 + _ONE + "</View>" * 100_000,
    "<View" * 5000,
    "<View><Image name='image' value='$image'/><Brush name='brush' toName='image'/></View>",
    _ALL_ANSWERS,
    _ODD_NAMES,
    "<View>" + _ONE * 300 + "</View>",
    "<a:View xmlns:a='b'><a:Image name='image' value='$image'/><?php x?><!-- - -><![CDATA[x]]></a:View>",
    "<View>" + "<Label value='Airplane'>" * 900 + "</Label>" * 900 + "</View>",
    "<View>" + "<BrushLabels name='brush' toName='image'>" * 900 + _ONE + "</BrushLabels>" * 900 + "</View>",
    "\ufeff<View/>",
    "<View a='" + "&amp;" * 20_000 + "'/>",
    "\ufeff\x00<View/>",
]
"""Label configs that ask for trouble."""

EXTRA: list[Any] = [
    {"mode": "everything", "points_per_side": "9"}, {"mode": []}, {"mode": "off", "point_grids": [[[0.5]]]},
    {"point_grids": "[" * 2000}, '{"mode": "off"', "[]", 5, {"__class__": 1}, {"mode": "off", "label": "x" * 5000},
    {"points_per_side": 10**9}, {"pred_iou_thresh": "NaN"}, {"": ""}, {"mode": "everything\x00"}, {"crop_n_layers": -1},
    {"min_mask_region_area": 1e300}, {"points_per_batch": True}, " ",
]  # fmt: skip
"""Extra params that are none."""

CASES = ("predict", "setup", "webhook")


def seeds() -> dict[str, list[tuple[str, Document]]]:
    """The recorded bodies of each endpoint, as (path, body); their pictures come along."""
    found: dict[str, list[tuple[str, Document]]] = {case: [] for case in CASES}
    addresses = {width: _address(scene) for width, scene in _PICTURES.items()}
    for name in recordings.names():
        recording = recordings.read(name)
        for case in CASES:
            if recording.body and recording.path == f"/{case}":
                found[case].append((recording.path, _with_pictures(recording, addresses)))
    return found


_PICTURES = {1200: recordings.PLAIN, 800: recordings.TURNED, 640: recordings.PAGE}


def _address(scene: scenes.Scene) -> str:
    return "data:image/png;base64," + base64.b64encode(scenes.png(scene.rgb)).decode()


def _with_pictures(recording: recordings.Recording, addresses: dict[int, str]) -> Document:
    body = copy.deepcopy(recording.body) or {}
    prompts = recordings.prompts(recording)
    width = prompts[-1]["original_width"] if prompts else 1200
    for task in body.get("tasks", []) if recording.path == "/predict" else []:
        data = task["data"]
        task["data"] = {
            key: [addresses[width]] * len(value) if isinstance(value, list) else addresses[width]
            for key, value in data.items()
        }
        for draft in task.get("drafts", []):
            for region in draft["result"]:
                if "rle" in region["value"]:
                    region["value"]["rle"] = rle.encode(recordings.PLAIN.objects["left"])
    return body


def places(value: Any, path: Path = ()) -> Iterator[Path]:
    """Where something stands in a document; of a long list, where its first things do."""
    items = value.items() if isinstance(value, dict) else enumerate(value[:4]) if isinstance(value, list) else ()
    for key, item in items:
        yield (*path, key)
        yield from places(item, (*path, key))


def body(dice: Dice, document: Document) -> bytes:
    """The recorded body with one to five changes, now and then broken as text too."""
    changed = copy.deepcopy(document)
    marks: dict[str, bytes] = {}
    for _ in range(dice.choice([1, 1, 1, 2, 3, 5])):
        dice.choice(CHANGES)(dice, changed, marks)
    text = orjson.dumps(changed, option=orjson.OPT_NON_STR_KEYS)
    for mark, raw in marks.items():
        text = text.replace(f'"{mark}"'.encode(), raw)
    return dice.choice(BREAKS)(dice, text) if dice.random() < 0.1 else text


def nonsense(dice: Dice, document: Document) -> bytes:
    """Bytes that are no JSON, or hardly."""
    text = orjson.dumps(document)
    return dice.choice([*BREAKS, lambda dice, _: dice.randbytes(dice.choice([0, 1, 30, 5000]))])(dice, text)


def _nest(depth: int, opening: bytes, closing: bytes, inner: bytes) -> bytes:
    return opening * depth + inner + closing * depth


# ------------------------------------------------------------------------------------------------------------- changes

Change = Callable[[Dice, Document, dict[str, bytes]], None]


def _spot(dice: Dice, document: Document) -> tuple[Any, Any]:
    """A container and a key in it: any place is as likely as another, those near the root more than that."""
    found = list(places(document))
    if not found:
        document["x"] = 1
        return document, "x"
    path = dice.choice(found)
    if dice.random() < 0.2:
        path = path[: dice.randint(1, len(path))]
    at: Any = document
    for key in path[:-1]:
        at = at[key]
    return at, path[-1]


def _odd(dice: Dice, document: Document, marks: dict[str, bytes]) -> None:
    at, key = _spot(dice, document)
    at[key] = copy.deepcopy(dice.choice(ODD))


def _raw(dice: Dice, document: Document, marks: dict[str, bytes]) -> None:
    at, key = _spot(dice, document)
    mark = f"MARK-{len(marks)}-{dice.getrandbits(60)}"
    marks[mark] = dice.choice(RAW)(dice)
    at[key] = mark


def _without(dice: Dice, document: Document, marks: dict[str, bytes]) -> None:
    at, key = _spot(dice, document)
    del at[key]


def _twice(dice: Dice, document: Document, marks: dict[str, bytes]) -> None:
    at, key = _spot(dice, document)
    if isinstance(at, list):
        at[key:key] = [copy.deepcopy(at[key]) for _ in range(dice.choice([1, 2, 50]))]
    else:
        at[str(key).upper()] = copy.deepcopy(at[key])


def _swapped(dice: Dice, document: Document, marks: dict[str, bytes]) -> None:
    """What stands at one place, at another one too."""
    (one, key), (other, place) = _spot(dice, document), _spot(dice, document)
    one[key] = copy.deepcopy(other[place]) if place in other or isinstance(other, list) else None


def _other_type(dice: Dice, document: Document, marks: dict[str, bytes]) -> None:
    at, key = _spot(dice, document)
    value = at[key]
    at[key] = dice.choice([[value], {"value": value}, str(value)[:5000], {str(key): [value, value]}, bool(value)])


def _number(dice: Dice, document: Document, marks: dict[str, bytes]) -> None:
    found = [path for path in places(document) if isinstance(_at(document, path), int | float)]
    for path in dice.sample(found, min(3, len(found))):
        factor = dice.choice([-1, 0, 1e-9, 0.5, 2, 100, 1e9, 1e300])
        value = max(-1e308, min(_at(document, path) * factor, 1e308))
        _at(document, path[:-1])[path[-1]] = float(value) if abs(value) >= 2**63 else value


def _config(dice: Dice, document: Document, marks: dict[str, bytes]) -> None:
    key = "schema" if "schema" in document else "label_config"
    text = document.get(key)
    if dice.random() < 0.4 or not isinstance(text, str) or not text:
        document[key] = dice.choice(CONFIGS)
        return
    tags = re.findall(r"<[^>]*>", text)
    here, there = dice.choice(tags or ["<"]), dice.choice([*tags, "", "<Video>", "<!--", "&x;", "<Image/>"])
    start = dice.randrange(len(text))
    document[key] = dice.choice(
        [
            text.replace(here, there, 1),
            text.replace(here, here * dice.choice([2, 40]), 1),
            text[:start] + text[start + dice.choice([1, 7, 90]) :],
            text.replace('toName="image"', dice.choice(['toName=""', 'toName="image,image"', 'toname="IMAGE"'])),
            text.replace("Airplane", dice.choice(["", "☃" * 50, "&lt;b&gt;", "A" * 9000])),
            text.replace("<Label ", f'<Label alias="{dice.choice(["", "Car", "x"])}" '),
            re.sub("Brush", dice.choice(["Polygon", "Ellipse", "Rectangle", "Bitmask", "Video"]), text),
        ]
    )


def _regions(dice: Dice, document: Document, marks: dict[str, bytes]) -> None:
    """Works with strange regions, in the task or in the context."""
    tasks = document.get("tasks")
    if not isinstance(tasks, list) or not tasks or not isinstance(tasks[0], dict):
        return
    known = [_at(document, path) for path in places(document)]
    templates = [one for one in known if isinstance(one, dict) and "from_name" in one] or [PAINTED]
    regions = [_region(dice, dice.choice([*templates, PAINTED])) for _ in range(dice.choice([1, 2, 3, 40]))]
    regions += [{"type": "relation", "from_id": regions[0].get("id"), "to_id": dice.choice(["b", None, 1])}]
    place = dice.choice(["drafts", "annotations", "predictions", "context"])
    context = _at(document, ("params", "context")) if place == "context" else None
    if isinstance(context, dict):
        context["result"] = regions
    else:
        tasks[0][place] = [{"id": 1, "annotation": dice.choice([1, None, "1"]), "result": regions}]


PAINTED: Document = {
    "id": "painted",
    "type": "brushlabels",
    "from_name": "brush",
    "to_name": "image",
    "original_width": 1200,
    "original_height": 800,
    "value": {"format": "rle", "brushlabels": ["Airplane"], "rle": rle.encode(recordings.PLAIN.objects["left"])},
}


def _region(dice: Dice, template: Document) -> Document:
    region = copy.deepcopy(template)
    for _ in range(dice.choice([0, 1, 2])):
        _odd(dice, region, {})
    if not isinstance(region.get("value"), dict):
        region["value"] = {}
    if "rle" in region["value"] or dice.random() < 0.2:
        region["value"] |= {"format": "rle", "rle": _stream(dice)}
    if dice.random() < 0.3:
        region |= {"readonly": dice.choice([True, 1]), "item_index": dice.choice([0, 10**12, -1, "0"])}
    return region


def _stream(dice: Dice) -> Any:
    """A stream of an RLE that is cut, flipped, said to be longer than it is, or none."""
    stream: list[Any] = list(PAINTED["value"]["rle"])
    at = dice.randrange(len(stream))
    return dice.choice(
        [
            stream[:at],
            [*stream[:at], dice.choice([-1, 256, 10**18, 0.5, None, "1", [1]]), *stream[at:]],
            [255, 255, 255, 255, *stream[4:]],
            [0, 0, 0, 0],
            [dice.randrange(256) for _ in range(dice.choice([1, 20, 3000]))],
            stream * 3,
            [value ^ 1 << dice.randrange(8) if dice.random() < 0.02 else value for value in stream],
            "",
            [],
        ]
    )


def _extra(dice: Dice, document: Document, marks: dict[str, bytes]) -> None:
    document["extra_params"] = copy.deepcopy(dice.choice(EXTRA))


def _task(dice: Dice, document: Document, marks: dict[str, bytes]) -> None:
    tasks = document.get("tasks")
    for task in tasks if isinstance(tasks, list) else []:
        if isinstance(task, dict):
            task["id"] = dice.choice([-1, 10**18, "1", None, {}, [], 1.5, True])
            task["project"] = dice.choice([1, "x" * 3000, None, [1]])


def _at(document: Any, path: Path) -> Any:
    """What stands there, or None."""
    for key in path:
        try:
            document = document[key]
        except (KeyError, IndexError, TypeError):
            return None
    return document


CHANGES: list[Change] = [
    _odd, _odd, _raw, _raw, _without, _without, _twice, _swapped, _other_type, _number, _number, _config, _regions,
    _regions, _extra, _task,
]  # fmt: skip


def _flipped(dice: Dice, text: bytes) -> bytes:
    data = bytearray(text)
    for _ in range(dice.choice([1, 3, 40])):
        if data:
            data[dice.randrange(len(data))] ^= 1 << dice.randrange(8)
    return bytes(data)


BREAKS: list[Callable[[Dice, bytes], bytes]] = [
    lambda dice, text: text[: dice.randrange(len(text) + 1)],
    lambda dice, text: text[dice.randrange(len(text) + 1) :],
    _flipped,
    lambda _, text: text + text,
    lambda dice, text: text + dice.randbytes(9),
    lambda _, text: b"\xef\xbb\xbf" + text,
    lambda _, text: text.decode("utf-8", "replace").encode("utf-16"),
    lambda _, text: b"[" + text + b"]",
    lambda _, text: text.replace(b'"', b"'"),
    lambda _, text: text.replace(b",", b",,", 1),
    lambda dice, _: _nest(dice.choice([1000, 10**6]), b'{"tasks":[', b"", b""),
]
