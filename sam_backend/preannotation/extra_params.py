"""Read a model connection's `extra_params`: the parameters of automatic mode, over those of the environment."""

import difflib
from collections.abc import Mapping
from typing import Any

import orjson
from pydantic import ValidationError

from sam_backend.automatic_settings import AutomaticSettings
from sam_backend.errors import ExtraParamsError
from sam_backend.labelstudio.bodies import is_too_deep
from sam_backend.settings import complaint

_EXAMPLE = '{"mode": "everything", "points_per_side": 16}'
_REMEDY = "Change it in the model connection's extra params."


def merge(settings: AutomaticSettings, extra_params: Any) -> AutomaticSettings:
    """The settings with the given parameters in the place of theirs.

    Args:
        settings: the environment's.
        extra_params: an object, its JSON as text, "" or None. Its keys are the names of `AutomaticSettings`' fields.

    Raises:
        ExtraParamsError: it is something else, has an unknown key, or a value of the wrong type or out of range.
    """
    given = _object(extra_params)
    if not given:
        return settings
    _refuse_unknown(given)
    _refuse_other_kinds(given)
    if is_too_deep(dict(given)):
        raise ExtraParamsError("A list of the extra params is too deep.", _REMEDY)
    try:
        return AutomaticSettings.model_validate(settings.model_dump() | dict(given))
    except ValidationError as error:
        raise ExtraParamsError(_named(complaint(error)), _REMEDY) from None
    except RecursionError:  # point grids may be JSON in a text
        raise ExtraParamsError("A list of the extra params is too deep.", _REMEDY) from None


def _object(extra_params: Any) -> Mapping[str, Any]:
    given = extra_params
    if isinstance(given, str):
        try:
            given = orjson.loads(given) if given.strip() else None
        except orjson.JSONDecodeError as error:
            raise ExtraParamsError(f"extra_params is not JSON: {error}.", f"Write {_EXAMPLE}, or nothing.") from None
    if given is None or isinstance(given, Mapping):
        return given or {}
    raise ExtraParamsError(f"extra_params is {type(given).__name__}, not an object.", f"Write {_EXAMPLE}, or nothing.")


def _refuse_unknown(given: Mapping[str, Any]) -> None:
    known = AutomaticSettings.model_fields
    unknown = sorted(str(name) for name in given if name not in known)
    if unknown:
        nearest = difflib.get_close_matches(unknown[0].lower().removeprefix("sam_"), known, n=1)
        remedy = f"Did you mean {nearest[0]}?" if nearest else f"There are {', '.join(known)}."
        raise ExtraParamsError(f"{unknown[0]} is not a parameter of automatic mode (extra_params).", remedy)


def _refuse_other_kinds(given: Mapping[str, Any]) -> None:
    """Text is no number here, nor is a number true or false, though both would do in the environment."""
    for name, value in given.items():
        usual = AutomaticSettings.model_fields[name].default
        is_text = isinstance(value, str) and isinstance(usual, int | float)
        if is_text or isinstance(value, bool) != isinstance(usual, bool):
            wanted = "true or false" if isinstance(usual, bool) else "neither text nor true or false"
            raise ExtraParamsError(f"{name} = {value!r:.200}: must be {wanted}.", _REMEDY)


def _named(complained: str) -> str:
    """The complaint with the field's own name, not its environment variable's."""
    for name, field in AutomaticSettings.model_fields.items():
        alias = str(field.validation_alias)
        if complained.startswith((f"{alias} ", f"{alias}.", f"{alias}:")):
            return name + complained.removeprefix(alias)
    return complained
