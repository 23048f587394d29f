"""The options of `prelabel` that are settings of automatic mode, and the settings with them in place of their own."""

import re
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import click
from pydantic import ValidationError

from sam_backend.automatic_settings import AutomaticSettings
from sam_backend.settings import Settings, complaint

Command = TypeVar("Command", bound=Callable[..., Any])

_FIELDS = {name: field for name, field in AutomaticSettings.model_fields.items() if name not in {"mode", "label"}}
GENERATOR = tuple(_FIELDS)
"""The settings that `generator_options` has options for, by name."""

_BY_VARIABLE = {str(field.validation_alias): name for name, field in AutomaticSettings.model_fields.items()}


def generator_options(command: Command) -> Command:
    """Give a command an option for each setting of the mask generator; what is not given is None."""
    for name in reversed(_FIELDS):
        command = _option(name)(command)
    return command


def with_options(settings: Settings, given: Mapping[str, Any], model: str | None = None) -> Settings:
    """The settings, with the options that were given in place of the environment's.

    Args:
        settings: the environment's.
        given: settings of automatic mode by name; None: not given.
        model: another model, or None.

    Raises:
        click.BadParameter: a value is out of range; it names the option.
    """
    automatic = settings.automatic.model_dump() | {name: value for name, value in given.items() if value is not None}
    values = settings.model_dump() | {"automatic": automatic} | ({"model": model} if model else {})
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        raise click.UsageError(_as_options(complaint(error))) from None


def _option(name: str) -> Callable[[Command], Command]:
    field = _FIELDS[name]
    option = _dashed(name)
    text = f"{_as_options(str(field.description).replace('`', ''))}  [default: {_shown(field.default)}]"
    if field.annotation is bool:
        return click.option(f"{option}/--no-{option[2:]}", name, default=None, help=text)
    return click.option(option, name, metavar=_metavar(field.annotation), help=text)


def _dashed(name: str) -> str:
    return "--" + name.replace("_", "-")


def _metavar(annotation: Any) -> str:
    if annotation is int or annotation == int | None:
        return "N"
    return "X" if annotation is float else "JSON"


def _shown(default: Any) -> str:
    if isinstance(default, bool):
        return "yes" if default else "no"
    return "none" if default is None else f"{default:g}" if isinstance(default, float) else str(default)


def _as_options(text: str) -> str:
    """Settings by the names that they have on the command line."""
    names = [*_BY_VARIABLE, *(name for name in AutomaticSettings.model_fields if "_" in name)]
    for name in sorted(names, key=len, reverse=True):
        text = re.sub(rf"(?<![\w-]){name}(?![\w-])", _dashed(_BY_VARIABLE.get(name, name)), text)
    return re.sub(r"^(?=(model|mode|label|guided|overlapping) =)", "--", text)
