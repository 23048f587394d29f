"""The README's table of settings, made from the settings themselves.

`python -m tests.support.settings_table` writes it into the README; tests/test_docs.py holds the README to it.
"""

from pathlib import Path
from typing import Any

from pydantic import ByteSize, SecretStr

from sam_backend.settings import environment_fields

README = Path(__file__).parents[2] / "README.md"
START = "<!-- settings: written by `make docs` from sam_backend/settings.py -->\n"
END = "<!-- settings end -->\n"


def table() -> str:
    """One line a setting: name, default, meaning."""
    rows = [
        f"| `{name}` | {_shown(info.default)} | {info.description} |" for name, info in environment_fields().items()
    ]
    return "\n".join(["| Name | Default | Meaning |", "|---|---|---|", *rows]) + "\n"


def _shown(default: Any) -> str:
    if isinstance(default, SecretStr):
        default = default.get_secret_value()
    if isinstance(default, ByteSize):
        default = default.human_readable().replace(".0", "")
    if default in (None, ()):
        default = ""
    text = f"{default:g}" if isinstance(default, float) else str(default)
    return f"`{text}`" if text else ""


def with_table(readme: str) -> str:
    """The README with the table that holds now."""
    before, rest = readme.split(START)
    return before + START + table() + END + rest.split(END)[1]


if __name__ == "__main__":
    README.write_text(with_table(README.read_text(encoding="utf-8")), encoding="utf-8")
