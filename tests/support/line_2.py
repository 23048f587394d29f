"""Run with Python: call SamBackend as label-studio-ml 2.x does, and print what it returned as one JSON document.

2.x is not on PyPI. What stands here is its contract, not its code: `LabelStudioMLBase(project_id, label_config)` keeps
strings per project by `get` and `set`, offers `label_config` and `model_version` as read-only properties, and calls
`setup()` at the end of its constructor. Its server makes an instance per request.
"""

import json
import sys
import types
from pathlib import Path
from typing import Any, ClassVar


class LabelStudioMLBase:
    """The base class of 2.x, as far as a subclass sees it."""

    kept: ClassVar[dict[tuple[str, str], str]] = {}

    def __init__(self, project_id: str | None = None, label_config: str | None = None) -> None:
        self.project_id = project_id or ""
        if label_config is not None:
            self.set("label_config", label_config)
        self.setup()

    def setup(self) -> None: ...

    def get(self, key: str) -> str | None:
        return self.kept.get((self.project_id, key))

    def set(self, key: str, value: str) -> None:
        if not isinstance(value, str):
            raise TypeError("Value must be a string")
        self.kept[self.project_id, key] = value

    @property
    def label_config(self) -> str | None:
        return self.get("label_config")

    @property
    def model_version(self) -> str | None:
        return self.get("model_version")


package, module = types.ModuleType("label_studio_ml"), types.ModuleType("label_studio_ml.model")
package.__path__ = []
module.LabelStudioMLBase = LabelStudioMLBase  # type: ignore[attr-defined]
sys.modules.update({"label_studio_ml": package, "label_studio_ml.model": module})

from sam_backend.backend import SamBackend  # noqa: E402 - the base has to stand first


def setup(body: dict[str, Any]) -> object:
    """As 2.x's /setup."""
    model = SamBackend(project_id=body["project"].split(".", 1)[0], label_config=body["schema"])
    return model.get("model_version")


def predict(body: dict[str, Any]) -> object:
    """As 2.x's /predict."""
    params = dict(body.get("params", {}))
    context = params.pop("context", {})
    model = SamBackend(project_id=str(body["project"]).split(".", 1)[0], label_config=body["label_config"])
    return model.predict(body["tasks"], context=context, **params)


def webhook(body: dict[str, Any]) -> object:
    """As 2.x's /webhook, which makes an instance with the project's id by position."""
    SamBackend(str(body["project"]["id"]), label_config=body["project"]["label_config"])
    return None


CALLS = {"/setup": setup, "/predict": predict, "/webhook": webhook}
recordings = [json.loads(Path(name).read_text()) for name in sys.argv[1:]]
print(json.dumps([CALLS[recording["path"]](recording["body"]) for recording in recordings]))
