"""Read a label config: which images a task has, which controls ask for masks, which controls can take the answer.

A rectangle control is both: it asks for a mask and can take one, as its box. Label Studio's tags and attributes are not
case sensitive, and `toName` may name several objects with commas.
"""

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from xml.etree.ElementTree import Element, ParseError

import defusedxml.ElementTree
from defusedxml import DefusedXmlException

from sam_backend.answer_settings import ANSWERS
from sam_backend.errors import LabelConfigError

MAX_CHARACTERS = 2_000_000
MOST_CONTROLS = 200
ANSWER_KINDS = tuple(name + suffix for name in ANSWERS for suffix in ("labels", ""))
POINT_KINDS = ("keypointlabels", "keypoint")
RECTANGLE_KINDS = ("rectanglelabels", "rectangle")
PROMPT_KINDS = POINT_KINDS + RECTANGLE_KINDS


@dataclass(frozen=True, slots=True)
class ImageTag:
    """An `<Image>`.

    Attributes:
        name: the name that controls and regions refer to.
        value: where a task holds its address, as written, such as `$image` or `$pages.front`.
        is_list: the value leads to a list of addresses (`valueList`), one for each `item_index`.
    """

    name: str
    value: str
    is_list: bool


@dataclass(frozen=True, slots=True)
class Label:
    """One `<Label>`; Label Studio writes `alias` into annotations where there is one, else `value`."""

    value: str
    alias: str = ""

    @property
    def stored(self) -> str:
        """The name that stands in annotations."""
        return self.alias or self.value


@dataclass(frozen=True, slots=True)
class Control:
    """A control on one image.

    Attributes:
        name: the `from_name` of its regions.
        to_name: the image's name.
        kind: the tag in lower case, which is also the `type` of its regions.
        labels: the labels that it offers.
        labels_from: the task field that further labels come from (`value="$labels"`), or empty.
        smart: false where the config says `smart="false"`: the editor never asks with it.
    """

    name: str
    to_name: str
    kind: str
    labels: tuple[Label, ...] = ()
    labels_from: str = ""
    smart: bool = True

    @property
    def answer(self) -> str:
        """What a mask becomes under this control: one of `ANSWERS`, if it is one of `ANSWER_KINDS`."""
        return self.kind.removesuffix("labels")

    @property
    def has_labels(self) -> bool:
        """Whether it offers labels, its own or the task's."""
        return bool(self.labels or self.labels_from)

    def label(self, stored: str) -> Label | None:
        """The label that annotations know by this name: by what Label Studio stores first, then by value."""
        by_stored = (label for label in self.labels if label.stored == stored)
        by_value = (label for label in self.labels if label.value == stored)
        return next(by_stored, None) or next(by_value, None)


@dataclass(frozen=True, slots=True)
class LabelConfig:
    """What matters to us of a label config. Each image has an answer and, unless it was read without, a prompt.

    Attributes:
        images: the images that can be prompted, or at least be answered for.
        answers: the controls that take masks, in the config's order, those with labels before those without.
        prompts: the keypoint and rectangle controls.
        labels: the `<Labels>` controls, which give labels to the regions of controls that have none.
    """

    images: tuple[ImageTag, ...]
    answers: tuple[Control, ...]
    prompts: tuple[Control, ...]
    labels: tuple[Control, ...] = ()

    def image_for(self, to_name: str) -> ImageTag:
        """The image of that name.

        Raises:
            LabelConfigError: there is none with prompts and answers.
        """
        for image in self.images:
            if image.name == to_name:
                return image
        raise LabelConfigError(f"The label config has no prompted <Image> named {to_name!r}.", "Save the config again.")

    def answers_for(self, to_name: str) -> tuple[Control, ...]:
        """The controls that can take a mask of that image; at least one."""
        self.image_for(to_name)
        return tuple(control for control in self.answers if control.to_name == to_name)

    def prompt_control(self, from_name: object, to_name: object, kind: object) -> Control | None:
        """The control that a region comes from, or None when it is none of ours."""
        wanted = (from_name, to_name, kind)
        return next((found for found in self.prompts if (found.name, found.to_name, found.kind) == wanted), None)


def parse(label_config: str | None, *, prompted: bool = True) -> LabelConfig:
    """Read a label config's XML.

    Args:
        label_config: the XML.
        prompted: whether an image needs a prompt to count; automatic mode needs none.

    Raises:
        LabelConfigError: it names what is missing: XML that can be read (a document type, and with it entities, is
            refused), an `<Image>` with a name and a value, a control of `ANSWER_KINDS` on it and, if `prompted`, a
            keypoint or rectangle control on it.
    """
    root = _read(label_config)
    images = tuple(_images(root))
    if not images:
        raise LabelConfigError(
            "The label config has no <Image> with a name and a value.", 'Add <Image name="image" value="$image"/>.'
        )
    answers = _controls_on(root, images, ANSWER_KINDS)
    if not answers:
        raise LabelConfigError(
            "The label config has no control for masks on its <Image>.",
            "Add <BrushLabels>, <BitmaskLabels>, <PolygonLabels>, <EllipseLabels> or <RectangleLabels> with the "
            "image's name in toName.",
        )
    prompts = _controls_on(root, images, PROMPT_KINDS)
    if not prompts and prompted:
        raise LabelConfigError(
            "The label config has no prompt on its <Image>.",
            'Add <KeyPointLabels> or <RectangleLabels> with smart="true" and the image\'s name in toName.',
        )
    found = LabelConfig(images, answers, prompts, _controls_on(root, images, ("labels",)))
    return _connected(found, {control.to_name for control in prompts if prompted} or {image.name for image in images})


def _connected(found: LabelConfig, asked: set[str]) -> LabelConfig:
    """Keep the images that have a way in, being among those asked about, and a way out."""
    served = {control.to_name for control in found.answers} & asked
    if not served:
        raise LabelConfigError(
            "The label config has its prompts and its controls for masks on different images.",
            "Give them the same toName.",
        )
    answers = (control for control in found.answers if control.to_name in served)
    return LabelConfig(
        images=tuple(image for image in found.images if image.name in served),
        answers=tuple(sorted(answers, key=lambda control: not control.kind.endswith("labels"))),
        prompts=tuple(control for control in found.prompts if control.to_name in served),
        labels=tuple(control for control in found.labels if control.to_name in served),
    )


def _read(label_config: str | None) -> Element:
    if label_config is None or not label_config.strip():
        raise LabelConfigError("The label config is empty.", "Give the project a label config with an <Image>.")
    if len(label_config) > MAX_CHARACTERS:
        raise LabelConfigError(f"The label config has more than {MAX_CHARACTERS} characters.", "Make it shorter.")
    try:
        return defusedxml.ElementTree.fromstring(label_config, forbid_dtd=True)
    except (ParseError, DefusedXmlException, ValueError) as error:
        raise LabelConfigError(
            f"The label config is not XML that we read: {error}.", "Check it in Label Studio's editor."
        ) from error


def _images(root: Element) -> Iterator[ImageTag]:
    for tag in root.iter():
        if tag.tag.lower() != "image":
            continue
        attributes = _attributes(tag)
        name, listed, value = (attributes.get(key, "") for key in ("name", "valuelist", "value"))
        if name and (listed or value):
            yield ImageTag(name, listed or value, bool(listed))


def _controls_on(root: Element, images: tuple[ImageTag, ...], kinds: tuple[str, ...]) -> tuple[Control, ...]:
    names = {image.name for image in images}
    tags = (tag for tag in root.iter() if tag.tag.lower() in kinds)
    found = tuple(itertools.islice((control for tag in tags for control in _controls(tag, names)), MOST_CONTROLS + 1))
    if len(found) > MOST_CONTROLS:
        raise LabelConfigError(f"The label config has more than {MOST_CONTROLS} controls of a kind.", "Use fewer.")
    return found


def _controls(tag: Element, images: set[str]) -> Iterator[Control]:
    """One control for each image that the tag points to."""
    attributes = _attributes(tag)
    name = attributes.get("name", "")
    to_names = [one.strip() for one in attributes.get("toname", "").split(",")]
    if not name or images.isdisjoint(to_names):
        return
    labels = tuple(_labels(tag))
    source = re.fullmatch(r"\$(.+)", attributes.get("value", ""))
    smart = attributes.get("smart", "").lower() != "false"
    for to_name in to_names:
        if to_name in images:
            yield Control(name, to_name, tag.tag.lower(), labels, source[1] if source else "", smart)


def _labels(tag: Element) -> Iterator[Label]:
    for child in tag.iter():
        if child.tag.lower() == "label":
            attributes = _attributes(child)
            if attributes.get("value"):
                yield Label(attributes["value"], attributes.get("alias", ""))


def _attributes(tag: Element) -> dict[str, str]:
    return {key.lower(): value.strip() for key, value in tag.attrib.items()}
