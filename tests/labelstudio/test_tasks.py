"""A task's address is found where the label config says, as Label Studio's editor finds it."""

from typing import Any

import pytest

from sam_backend.errors import TaskError
from sam_backend.labelstudio import config, tasks
from sam_backend.labelstudio.config import ImageTag


def url(value: str, data: Any, index: int | None = None, *, is_list: bool = False) -> str:
    return tasks.image_url({"id": 7, "data": data}, ImageTag("image", value, is_list), index)


@pytest.mark.parametrize(
    ("value", "data", "found"),
    [
        ("$image", {"image": "/data/upload/1/a.png"}, "/data/upload/1/a.png"),
        ("$image", {"image": " spaced "}, " spaced "),
        ("$a.b", {"a": {"b": "x"}}, "x"),
        ("$a.b", {"a.b": "flat", "a": {"b": "nested"}}, "flat"),
        ("$a[1].b", {"a": [{"b": "x"}, {"b": "y"}]}, "y"),
        ("https://host/$name.jpg", {"name.jpg": "x.jpg"}, "https://host/x.jpg"),
        ("https://host/$folder/$name", {"folder": "f", "name": "n"}, "https://host/f/n"),
        ("https://host/always.png", {}, "https://host/always.png"),
    ],
)
def test_values_lead_to_addresses(value: str, data: dict[str, Any], found: str) -> None:
    assert url(value, data) == found


@pytest.mark.parametrize(
    ("value", "data"),
    [
        ("$image", {}),
        ("$image", {"other": "x"}),
        ("$image", {"image": None}),
        ("$image", {"image": ""}),
        ("$image", {"image": "  "}),
        ("$image", {"image": 3}),
        ("$image", {"image": ["x"]}),
        ("$a.b", {"a": "x"}),
        ("$a[5]", {"a": ["x"]}),
        ("$a[" + "9" * 5000 + "]", {"a": ["x"]}),
        ("$a.b.c", {"a": {"b": None}}),
        ("$image", None),
        ("$image", ["x"]),
    ],
)
def test_a_task_without_the_address_is_an_error_that_names_it(value: str, data: Any) -> None:
    with pytest.raises(TaskError, match="Task 7"):
        url(value, data)


def test_a_list_is_read_by_item_index() -> None:
    data = {"pages": ["a", "b", "c"]}
    assert [url("$pages", data, index, is_list=True) for index in (None, 0, 2)] == ["a", "a", "c"]


@pytest.mark.parametrize(
    ("data", "index"),
    [({"pages": ["a"]}, 1), ({"pages": []}, 0), ({"pages": "a"}, 0), ({}, 0), ({"pages": [None]}, 0)],
)
def test_an_item_that_is_not_there_is_an_error(data: dict[str, Any], index: int) -> None:
    with pytest.raises(TaskError, match="Task 7"):
        url("$pages", data, index, is_list=True)


def test_an_item_index_has_no_meaning_on_a_single_image() -> None:
    with pytest.raises(TaskError, match="item_index 1"):
        url("$image", {"image": "a"}, 1)


def test_all_addresses_of_a_task() -> None:
    found = config.parse(
        '<View><Image name="a" value="$a"/><Image name="b" valueList="$b"/><Image name="c" value="$c"/>'
        '<BrushLabels name="brush" toName="a,b,c"/><KeyPointLabels name="points" toName="a,b,c"/></View>'
    )
    assert tasks.image_urls({"data": {"a": "1", "b": ["2", None, "1", "3"]}}, found) == ["1", "2", "3"]
    assert tasks.image_urls({}, found) == []
