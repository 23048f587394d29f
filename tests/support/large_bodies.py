"""Bodies that say one thing very often: what they cost must grow with their length, and not with its square."""

import copy
from collections.abc import Callable
from typing import Any

from tests.support import recordings
from tests.support.grammar import PAINTED

Document = dict[str, Any]

_IMAGE = "<Image name='image' value='$image'/>"
_POINT = "<KeyPoint name='k' toName='image'/>"
_BRUSH = "<BrushLabels name='brush' toName='image'><Label value='Airplane'/></BrushLabels>"


def _click(document: Document) -> Document:
    region: Document = copy.deepcopy(document["params"]["context"]["result"][-1])
    return region


def _unlabeled(region: Document) -> Document:
    kept = {key: value for key, value in region["value"].items() if "labels" not in key}
    return region | {"value": kept}


def _prompts(document: Document, regions: list[Document]) -> None:
    document["params"]["context"]["result"] = regions


def _draft(document: Document, regions: list[Document]) -> None:
    document["tasks"][0]["drafts"] = [{"result": regions}]


def _painted(number: int, stream: list[int]) -> Document:
    return PAINTED | {"id": f"p{number}", "value": PAINTED["value"] | {"rle": stream}}


def clicks(document: Document, count: int) -> None:
    click = _click(document)
    value = click["value"]
    _prompts(document, [click | {"id": f"k{n}", "value": value | {"x": n * 7 % 100}} for n in range(count)])


def clicks_without_labels(document: Document, count: int) -> None:
    click = _click(document)
    _prompts(document, [_unlabeled(click) | {"id": f"k{n}"} for n in range(count)] + [click])


def rectangles(document: Document, count: int) -> None:
    _prompts(document, [recordings.rectangle(20, 20, 10, 10) | {"id": f"r{n}"} for n in range(count)])


def regions_without_labels(document: Document, count: int) -> None:
    _draft(document, [_unlabeled(_painted(n, [0, 0, 0, 1])) for n in range(count)])


def regions_of_one_id(document: Document, count: int) -> None:
    _draft(document, [_painted(0, [0, 0, 0, n % 256, n // 256]) for n in range(count)])


def drafts(document: Document, count: int) -> None:
    works = [{"id": n, "annotation": n, "result": [_painted(n, [0, 0, 0, 1])]} for n in range(count)]
    document["tasks"][0]["drafts"] = works


def relations(document: Document, count: int) -> None:
    _draft(document, [{"type": "relation", "from_id": str(n), "to_id": "b"} for n in range(count)])


def boxes_without_labels(document: Document, count: int) -> None:
    document["params"]["context"] = None
    box = _unlabeled(recordings.rectangle(20, 20, 10, 10))
    document["tasks"][0]["predictions"] = [{"result": [box | {"id": f"r{n}"} for n in range(count)]}]


def controls(document: Document, count: int) -> None:
    document["label_config"] = f"<View>{_IMAGE}{_BRUSH}{_POINT * count}</View>"
    clicks(document, count)


def nested_controls(document: Document, count: int) -> None:
    nested = "<Brush name='b' toName='x'>" * count + "</Brush>" * count
    document["label_config"] = f"<View>{_IMAGE}{_BRUSH}{_POINT}{nested}{nested.replace('x', 'image')}</View>"


def images_of_a_control(document: Document, count: int) -> None:
    brush = f"<Brush name='b' toName='{'image,' * count}'><Label value='a'/></Brush>"
    document["label_config"] = f"<View>{_IMAGE}{brush}{_POINT}</View>"


def tasks(document: Document, count: int) -> None:
    document["params"]["context"] = None
    [task] = document["tasks"]
    document["tasks"] = [task | {"id": n, "data": {"image": f"data:,{n}"}} for n in range(count)]


LARGE: list[Callable[[Document, int], None]] = [
    clicks, clicks_without_labels, rectangles, regions_without_labels, regions_of_one_id, drafts, relations,
    boxes_without_labels, controls, nested_controls, images_of_a_control, tasks,
]  # fmt: skip
