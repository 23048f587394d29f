"""The settings: read from the environment once, at start, and passed on as one frozen value.

Names that the Label Studio ecosystem already has are kept; ours begin with `SAM_`. A value out of range and an unknown
`SAM_` name both stop the start: a typo must not wait for the first click to show itself.
"""

import difflib
import os
from collections.abc import Mapping
from typing import Self

from pydantic import Field, ValidationError, model_validator
from pydantic.fields import FieldInfo

from sam_backend.answer_settings import AnswerSettings
from sam_backend.automatic_settings import AutomaticSettings
from sam_backend.errors import SettingError
from sam_backend.service_settings import ServiceSettings

SECRETS = frozenset({"LABEL_STUDIO_API_KEY", "BASIC_AUTH_PASS"})


class Settings(AnswerSettings, ServiceSettings):
    """All settings. A field's validation alias is its environment variable, its description the line in the README.

    Those of automatic mode stand apart: a project's `extra_params` take their place.
    """

    automatic: AutomaticSettings = Field(default_factory=AutomaticSettings)

    @model_validator(mode="after")
    def _user_and_password_together(self) -> Self:
        if bool(self.basic_auth_user) != bool(self.basic_auth_pass.get_secret_value()):
            raise ValueError("BASIC_AUTH_USER and BASIC_AUTH_PASS must be set together")
        return self

    @model_validator(mode="after")
    def _key_has_an_address(self) -> Self:
        if self.label_studio_api_key.get_secret_value() and not self.label_studio_url:
            raise ValueError("LABEL_STUDIO_API_KEY needs LABEL_STUDIO_URL: a token is sent to one named origin only")
        return self


def environment_fields() -> dict[str, FieldInfo]:
    """Each setting's field, by its environment variable."""
    fields = [*Settings.model_fields.values(), *AutomaticSettings.model_fields.values()]
    return {str(field.validation_alias): field for field in fields if field.validation_alias}


def load(environ: Mapping[str, str] = os.environ) -> Settings:
    """Read the settings. An empty variable counts as unset.

    Raises:
        SettingError: a value is out of range, or a `SAM_` name is unknown.
    """
    known = set(environment_fields())
    _refuse_unknown({name for name in environ if name.startswith("SAM_")} - known, known)
    given = {name: environ[name] for name in known if environ.get(name)}
    automatic = {str(field.validation_alias) for field in AutomaticSettings.model_fields.values()}
    try:
        return Settings.model_validate(
            {name: value for name, value in given.items() if name not in automatic}
            | {"automatic": {name: value for name, value in given.items() if name in automatic}}
        )
    except ValidationError as error:
        raise SettingError(complaint(error), "See the settings in the README.") from None


def _refuse_unknown(unknown: set[str], known: set[str]) -> None:
    if unknown:
        name = min(unknown)
        nearest = difflib.get_close_matches(name, known, n=1)
        raise SettingError(f"{name} is not a setting.", f"Did you mean {nearest[0]}?" if nearest else "Unset it.")


def complaint(error: ValidationError) -> str:
    """What pydantic complains of first, in one line: the name, the value unless it is secret, what is wrong."""
    first = error.errors(include_url=False, include_context=False)[0]
    names = [str(part) for part in first["loc"] if part != "automatic"]
    said = first["msg"].removeprefix("Value error, ")
    if not names:
        return f"{said}."
    shown = "" if names[0] in SECRETS else f" = {first['input']!r:.200}"
    return f"{'.'.join(names)}{shown}: {said}."
