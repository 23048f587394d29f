"""What automatic mode does with a project's tasks, and the version that says so."""

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

import orjson

from sam_backend.automatic_settings import AutomaticSettings
from sam_backend.errors import ExtraParamsError
from sam_backend.labelstudio import choice
from sam_backend.labelstudio.choice import AnswerOptions, Choice
from sam_backend.labelstudio.config import LabelConfig
from sam_backend.preannotation import extra_params as params
from sam_backend.settings import Settings

_RULES = 1
"""Goes up when equal parameters begin to give other regions."""

_FINISH = ("fill_holes", "drop_islands", "keep_clicked", "crop_below")
_NO_MATTER = frozenset({"mode", "label"})


@dataclass(frozen=True, slots=True)
class Plan:
    """What automatic mode does.

    Attributes:
        label_config: the project's.
        automatic: the mode and its parameters.
        options: which controls answer, and how.
        finish: name and value of the other settings that change the mask of a box.
        max_pixels: most pixels of an image.
    """

    label_config: LabelConfig
    automatic: AutomaticSettings
    options: AnswerOptions
    finish: tuple[tuple[str, Any], ...] = ()
    max_pixels: int = 100_000_000

    @classmethod
    def of(cls, settings: Settings, label_config: LabelConfig, extra_params: Any = None) -> Self:
        """The plan for a project.

        Args:
            settings: the environment's.
            label_config: the project's.
            extra_params: the model connection's, as `extra_params.merge` takes them.

        Raises:
            ExtraParamsError: a parameter is unknown or wrong, or the label is none that an answering control offers.
        """
        automatic = params.merge(settings.automatic, extra_params)
        finish = tuple((name, getattr(settings, name)) for name in _FINISH)
        plan = cls(label_config, automatic, AnswerOptions.of(settings), finish, settings.max_image_pixels)
        plan._check_label()
        return plan

    @property
    def is_on(self) -> bool:
        """Whether anything is labeled before somebody asks."""
        return self.automatic.mode != "off"

    def choices(self) -> dict[str, Choice]:
        """Which control takes the masks of `everything`, with which label, by the image's name."""
        label = self._label()
        images = choice.answered(self.label_config, self.options)
        return {
            image.name: choice.choose_for_label(image.name, label, self.label_config, self.options) for image in images
        }

    def version(self, model_version: str) -> str:
        """The version of the predictions: equal ones give equal answers; with mode off, it is the model's.

        Args:
            model_version: the segmenter's.
        """
        if not self.is_on:
            return model_version
        known = orjson.dumps(self._matters(), option=orjson.OPT_SORT_KEYS)
        return f"{model_version}-{self.automatic.mode}-{hashlib.sha256(known).hexdigest()[:8]}"

    def _matters(self) -> Mapping[str, Any]:
        """All that changes an answer of this mode."""
        common = {"rules": _RULES, "options": asdict(self.options)}
        parameters = self.automatic.model_dump(mode="json")
        if self.automatic.mode == "boxes":
            config = asdict(self.label_config)
            return common | {"max_rle": parameters["max_rle"], "finish": dict(self.finish), "config": config}
        images = [asdict(image) for image in self.label_config.images]
        choices = {name: asdict(chosen) for name, chosen in self.choices().items()}
        no_matter = _NO_MATTER if self.automatic.guided else _NO_MATTER | {"points_per_batch"}
        generator = {name: value for name, value in parameters.items() if name not in no_matter}
        return common | {"generator": generator, "images": images, "choices": choices}

    def _label(self) -> str:
        """The label of the masks of `everything`, "" for none."""
        if self.automatic.label:
            return self.automatic.label
        labels = choice.offered(self.label_config, self.options)
        return labels[0] if labels is not None and len(labels) == 1 else ""

    def _check_label(self) -> None:
        wanted = self.automatic.label
        if self.automatic.mode != "everything" or not wanted:
            return
        if not any(chosen.labels for chosen in self.choices().values()):
            labels = choice.offered(self.label_config, self.options)
            raise ExtraParamsError(
                f"label = {wanted!r}: no control of the label config that takes masks offers it.",
                f"Offered are {', '.join(labels)}." if labels else "None offers any label: leave it empty.",
            )
