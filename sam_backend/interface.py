"""A project's labeling interface, as its label config has it: what clicks are answered by, and what is labeled."""

import functools
from typing import Any

from sam_backend.errors import BodyError
from sam_backend.labelstudio import config, results
from sam_backend.labelstudio.config import LabelConfig
from sam_backend.preannotation.plan import Plan
from sam_backend.settings import Settings


def make_plan(settings: Settings, label_config: str, extra_params: Any) -> Plan:
    """What automatic mode does with a project.

    Raises:
        ExtraParamsError: a parameter is unknown or wrong.
        BodyError, LabelConfigError: as `parse_config`.
    """
    return Plan.of(settings, parse_config(label_config, prompted=False), extra_params)


def checked_plan(settings: Settings, label_config: str, extra_params: Any) -> Plan:
    """The same, of a project that can be answered: in automatic mode it needs no prompts, else it does.

    Raises:
        ExtraParamsError, BodyError, LabelConfigError: as `make_plan`; what is answered has no control to stand in.
    """
    plan = make_plan(settings, label_config, extra_params)
    results.check(plan.label_config if plan.is_on else parse_config(label_config), plan.options)
    return plan


@functools.lru_cache(maxsize=64)
def parse_config(label_config: str, *, prompted: bool = True) -> LabelConfig:
    """The label config, parsed once per text.

    Raises:
        BodyError: there is none.
        LabelConfigError: it has no control to answer with or, for clicks (`prompted`), no prompt to read.
    """
    if not label_config:
        raise BodyError("There is no label config.", "Reload the project's page in Label Studio: it sends /setup.")
    return config.parse(label_config, prompted=prompted)
