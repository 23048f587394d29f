"""Choose the control that takes a mask, and the labels that its region gets.

The prompt's labels are known by name: the same value, then the same alias, then the one's alias for the other's value.
Labels of a control without any, such as `<Brush>`, come from a `<Labels>` on the same image.

The control that offers most of the labels answers; of equals, the first in `SAM_ANSWER`; then the first in the config,
those with labels of their own before those without. But rectangles are usually there to ask, so a smart one answers
only where no control for masks stands before it in `SAM_ANSWER`, even if it alone offers the label: a mask that waits
for its label costs the annotator one key, while nothing turns a box into the mask that was asked for. With
`smart="false"` a rectangle control says that it is there to be answered with, and counts like all others.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, Self

from sam_backend.answer_settings import ANSWERS, AnswerSettings
from sam_backend.errors import LabelConfigError
from sam_backend.labelstudio.config import Control, ImageTag, Label, LabelConfig

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class AnswerOptions:
    """What the settings say of regions.

    Attributes:
        kinds: which of `ANSWERS` may answer, in the order of preference.
        tolerance: pixels by which a polygon may leave its mask's outline.
        points: most points of a polygon.
    """

    kinds: tuple[str, ...] = ANSWERS
    tolerance: float = 1.0
    points: int = 200

    @classmethod
    def of(cls, settings: AnswerSettings) -> Self:
        """Those of the settings."""
        return cls(tuple(settings.answer.split(",")), settings.polygon_tolerance, settings.polygon_points)


class Wish(Protocol):
    """What a region is wanted for; a `PromptRequest` is one."""

    @property
    def control(self) -> Control:
        """The control that asks; its `to_name` is the image."""

    @property
    def labels(self) -> tuple[str, ...]:
        """The names of the labels wanted, as that control's regions have them."""


@dataclass(frozen=True, slots=True)
class _Label:
    """A label wanted of a control, asked for by itself."""

    control: Control
    labels: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Choice:
    """Who answers.

    Attributes:
        control: the control that takes the mask.
        labels: the prompt's labels that it offers, or that `labels_control` does, as these store them.
        labels_control: the `<Labels>` that they come from, where `control` has none of its own.
    """

    control: Control
    labels: tuple[str, ...]
    labels_control: Control | None = None


def check(config: LabelConfig, options: AnswerOptions) -> None:
    """Whether any image of the config can be answered for.

    Raises:
        LabelConfigError: the setting `SAM_ANSWER` leaves all of the config's controls out.
    """
    if not any(control.answer in options.kinds for control in config.answers):
        raise _left_out(config.answers, options)


def choose(request: Wish, config: LabelConfig, options: AnswerOptions) -> Choice:
    """The control that answers a request, as this module's first lines say, and the labels.

    A label that the control does not offer is left out and logged, never replaced by another.

    Raises:
        LabelConfigError: the setting `SAM_ANSWER` leaves all controls of the prompt's image out.
    """
    allowed = _allowed(request.control.to_name, config, options)
    chosen = max((for_control(request, config, control) for control in allowed), key=lambda choice: len(choice.labels))
    _report(request, config, chosen)
    return chosen


def choose_for_label(to_name: str, label: str, config: LabelConfig, options: AnswerOptions) -> Choice:
    """The control that answers for an image where nobody asked, and the label where it offers that; "" is none.

    Raises:
        LabelConfigError: the setting `SAM_ANSWER` leaves all controls of the image out.
    """
    labels = (label,) if label else ()
    allowed = _allowed(to_name, config, options)
    choices = [_for_label(labels, config, control) for control in allowed]
    return max(choices, key=lambda choice: len(choice.labels))


def answered(config: LabelConfig, options: AnswerOptions) -> tuple[ImageTag, ...]:
    """The images that any control may answer for."""
    served = {control.to_name for control in config.answers if control.answer in options.kinds}
    return tuple(image for image in config.images if image.name in served)


def offered(config: LabelConfig, options: AnswerOptions) -> list[str] | None:
    """The labels of all controls that may answer, by value; None where a task's own are among them."""
    images = answered(config, options)
    controls = [control for image in images for control in _allowed(image.name, config, options)]
    sources = [source for control in controls for source in _sources(config, control)]
    if any(source.labels_from for source in sources):
        return None
    return list(dict.fromkeys(label.value for source in sources for label in source.labels))


def _allowed(to_name: str, config: LabelConfig, options: AnswerOptions) -> Sequence[Control]:
    """The image's controls that may answer, the preferred ones first."""
    controls = config.answers_for(to_name)
    allowed = sorted(
        (control for control in controls if control.answer in options.kinds),
        key=lambda control: options.kinds.index(control.answer),
    )
    if not allowed:
        raise _left_out(controls, options)
    asking = ("rectangle", True)
    if (allowed[0].answer, allowed[0].smart) != asking:
        allowed = [control for control in allowed if (control.answer, control.smart) != asking]
    return allowed


def _for_label(labels: tuple[str, ...], config: LabelConfig, control: Control) -> Choice:
    """The control, or a `<Labels>` beside it, asks itself for the label."""
    wishes = [_Label(source, labels) for source in _sources(config, control)] or [_Label(control, ())]
    return max((for_control(wish, config, control) for wish in wishes), key=lambda choice: len(choice.labels))


def _left_out(controls: tuple[Control, ...], options: AnswerOptions) -> LabelConfigError:
    there = ", ".join(sorted({control.answer for control in controls}))
    return LabelConfigError(
        f"The label config can take masks as {there}, but the setting SAM_ANSWER allows {', '.join(options.kinds)}.",
        "Add a control of an allowed kind, or change the setting.",
    )


def for_control(request: Wish, config: LabelConfig, control: Control) -> Choice:
    """The control and the request's labels that it offers; what has no labels of its own, with the best `<Labels>`."""
    if control.has_labels:
        return Choice(control, _offered(request, config, control))
    choices = [Choice(control, _offered(request, config, source), source) for source in _sources(config, control)]
    return max(choices, key=lambda choice: len(choice.labels), default=Choice(control, ()))


def _sources(config: LabelConfig, control: Control) -> list[Control]:
    """Where the control's labels come from: itself, else the image's `<Labels>`."""
    if control.has_labels:
        return [control]
    is_plain = not control.kind.endswith("labels")
    return [source for source in config.labels if source.to_name == control.to_name and is_plain]


def _report(request: Wish, config: LabelConfig, chosen: Choice) -> None:
    """Say which labels are lost, and between which lists."""
    source = chosen.labels_control or chosen.control
    if any(_stored(name, request.control, config, source) is None for name in request.labels):
        offered = [label.value for label in source.labels]
        logger.warning(
            "The prompt's labels are %s, but the control %r offers %s: the region goes without what is missing.",
            list(request.labels),
            source.name,
            f"those of the task's {source.labels_from!r}" if source.labels_from and not offered else offered,
        )


def _offered(request: Wish, config: LabelConfig, source: Control) -> tuple[str, ...]:
    names = (_stored(name, request.control, config, source) for name in request.labels)
    return tuple(dict.fromkeys(name for name in names if name))


def _stored(name: str, asking: Control, config: LabelConfig, source: Control) -> str | None:
    """How `source` stores the label that annotations of the asking control know by this name, if it offers it."""
    askers = (asking, *(control for control in config.labels if control.to_name == asking.to_name))
    asked = next((label for label in (control.label(name) for control in askers) if label), Label(name))
    found = _match(asked, source)
    if found:
        return found.stored
    shared = source.labels_from and any(control.labels_from == source.labels_from for control in askers)
    return name if shared else None


def _match(asked: Label, source: Control) -> Label | None:
    """The label of the same value, else of the same alias, else whose alias is the other's value or the reverse."""
    for mine, theirs in (("value", "value"), ("alias", "alias"), ("alias", "value"), ("value", "alias")):
        for label in source.labels:
            if getattr(asked, mine) and getattr(asked, mine) == getattr(label, theirs):
                return label
    return None
