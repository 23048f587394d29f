"""Find a task's images: an `<Image>`'s value says where in the task's data their addresses are.

As Label Studio's editor does: `$image` is a field; `$pages.front` and `$pages[0].front` lead deeper, unless a field has
just that name; text around a reference stays.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sam_backend.errors import TaskError
from sam_backend.labelstudio.config import ImageTag, LabelConfig

_REFERENCE = re.compile(r"\$[\w\[\].{}]+")
_STEP = re.compile(r"[^.\[\]]+")
_INDEX = re.compile(r"[0-9]{1,9}")


def image_url(task: Mapping[str, Any], image: ImageTag, item_index: int | None = None) -> str:
    """The address of the image that a prompt was placed on, as the task has it.

    Args:
        task: a task of Label Studio's request.
        image: the prompt's image, `LabelConfig.image_for(to_name)`.
        item_index: which one of a `valueList`; None means the first.

    Raises:
        TaskError: the task has no such address.
    """
    addresses = _addresses(task, image)
    index = item_index or 0
    if index >= len(addresses):
        raise TaskError(
            f"Task {task.get('id')} has {len(addresses)} images in {image.value!r}, so none with item_index {index}.",
            "Reload the task.",
        )
    if not isinstance(addresses[index], str) or not addresses[index].strip():
        raise TaskError(
            f"Task {task.get('id')} has no address of an image in {image.value!r}.",
            f"Import tasks with the field that the label config's <Image name={image.name!r}> names.",
        )
    return str(addresses[index])


def image_urls(task: Mapping[str, Any], config: LabelConfig) -> list[str]:
    """All addresses that prompts may ask for, in the label config's order; what is missing is left out."""
    return list(dict.fromkeys(address for _, _, address in places(task, config.images)))


def places(task: Mapping[str, Any], images: Sequence[ImageTag]) -> Iterator[tuple[ImageTag, int | None, str]]:
    """Each image that the task has: tag, `item_index` in a `valueList`, address; what is missing is left out."""
    for image in images:
        try:
            addresses = _addresses(task, image)
        except TaskError:
            continue
        for index, address in enumerate(addresses):
            if isinstance(address, str) and address.strip():
                yield image, index if image.is_list else None, address


def _addresses(task: Mapping[str, Any], image: ImageTag) -> Sequence[Any]:
    data = task.get("data")
    if not isinstance(data, Mapping):
        raise TaskError(f"Task {task.get('id')} has no data.", "Send tasks as Label Studio does.")
    value = _resolve(image.value, data)
    if not image.is_list:
        return [value]
    if not isinstance(value, list):
        raise TaskError(
            f"Task {task.get('id')} has no list of addresses in {image.value!r}.",
            "The label config's valueList needs a list; use value for one address.",
        )
    return value


def _resolve(value: str, data: Mapping[str, Any]) -> Any:
    """What the `<Image>`'s value stands for: any JSON where it is one reference, else text."""
    if _REFERENCE.fullmatch(value):
        return _look_up(value[1:], data)
    return _REFERENCE.sub(lambda reference: _text(_look_up(reference[0][1:], data)), value)


def _look_up(path: str, data: Mapping[str, Any]) -> Any:
    """The field of that name, else what the path leads to, else None."""
    if path in data:
        return data[path]
    found: Any = data
    for step in _STEP.findall(path):
        if isinstance(found, Mapping):
            found = found.get(step)
        elif isinstance(found, list) and _INDEX.fullmatch(step) and int(step) < len(found):
            found = found[int(step)]
        else:
            return None
    return found


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
