"""The example label configs are served as their first lines say: each prompt's label has a control that answers it."""

from pathlib import Path
from xml.etree.ElementTree import Element

import defusedxml.ElementTree
import pytest

from sam_backend.labelstudio import choice, config, prompts
from sam_backend.labelstudio.choice import AnswerOptions
from sam_backend.labelstudio.config import Control, LabelConfig
from sam_backend.labelstudio.prompts import PromptRequest

FOLDER = Path(__file__).parents[1] / "examples" / "label_configs"
EXAMPLES = sorted(FOLDER.glob("*.xml"))
ANSWERS = {
    "bitmask": {"bitmask"},
    "brush": {"brush"},
    "damage_inspection": {"damage", "part"},
    "multi_image": {"brush"},
    "polygon": {"polygon"},
    "rectangle": {"rectangle"},
}

example = pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.stem)


def parsed(file: Path) -> LabelConfig:
    return config.parse(file.read_text(encoding="utf-8"))


def request(found: LabelConfig, control: Control, label: str) -> PromptRequest:
    """A click on a label, or a box for it, as Label Studio sends it."""
    place = {"x": 40, "y": 40, "width": 20, "height": 20, "rotation": 0}
    region = {
        "type": control.kind,
        "from_name": control.name,
        "to_name": control.to_name,
        "is_positive": True,
        "value": place | {control.kind: [label]},
    }
    asked = prompts.parse({"result": [region]}, found)
    assert asked is not None
    return asked


def test_every_example_is_named_here() -> None:
    assert [file.stem for file in EXAMPLES] == sorted(ANSWERS)


@example
def test_every_label_that_can_be_asked_for_is_answered_with_it(file: Path) -> None:
    found = parsed(file)
    answered = set()
    for control in found.prompts:
        for label in control.labels:
            chosen = choice.choose(request(found, control, label.stored), found, AnswerOptions())
            offered = {own.stored: own.value for own in chosen.control.labels}
            assert [offered[name] for name in chosen.labels] == [label.value]
            answered.add(chosen.control.name)
    assert answered == ANSWERS[file.stem]


@example
def test_there_is_a_click_and_a_box_for_the_same_labels(file: Path) -> None:
    labels = {control.kind: [label.value for label in control.labels] for control in parsed(file).prompts}
    assert set(labels) == {"keypointlabels", "rectanglelabels"}
    assert labels["keypointlabels"] == labels["rectanglelabels"] != []


@example
def test_only_prompts_are_smart(file: Path) -> None:
    """A smart tool for masks asks nothing, and stands in the way of those that ask."""
    found = parsed(file)
    asking = {control.name for control in found.prompts}
    assert {control.name for control in found.answers if control.smart} <= asking


def written(file: Path) -> list[Element]:
    return list(defusedxml.ElementTree.fromstring(file.read_text(encoding="utf-8")).iter())


@example
def test_a_label_has_one_color_wherever_it_stands(file: Path) -> None:
    colors: dict[str, set[str]] = {}
    for tag in written(file):
        if tag.tag == "Label":
            colors.setdefault(tag.attrib["value"], set()).add(tag.attrib["background"])
    assert [value for value, found in colors.items() if len(found) > 1] == []


@example
def test_no_hotkey_is_given_twice(file: Path) -> None:
    keys = [tag.attrib["hotkey"] for tag in written(file) if "hotkey" in tag.attrib]
    assert len(keys) == len(set(keys))


@example
def test_the_first_line_says_what_the_example_is_for(file: Path) -> None:
    assert file.read_text(encoding="utf-8").startswith("<!-- ")
