"""Look all pinned requirements up in PyPI's list of known vulnerabilities: `make audit`.

An index that mirrors PyPI may have no such list, and pip-audit then passes over every package as one that it does not
know. So first a release is asked for that is known to be vulnerable; where that is unknown too, nothing is audited, and
it is said. It needs no package but pip-audit, in an environment of its own.
"""

import json
import subprocess
import sys
import urllib.request
from pathlib import Path

ROOT = Path(__file__).parents[2]
KNOWN = "https://pypi.org/pypi/flask/0.12.2/json"
SECONDS = 20
OPTIONS = ("--disable-pip", "--no-deps", "--progress-spinner", "off")  # the files are complete sets


def can_look_up(url: str = KNOWN) -> bool:
    """Whether the list is there, and knows what it must know."""
    try:
        with urllib.request.urlopen(url, timeout=SECONDS) as response:
            return bool(json.load(response).get("vulnerabilities"))
    except (OSError, ValueError):
        return False


def commands() -> dict[str, list[str]]:
    """The command for each file of requirements, by its name."""
    files = sorted(ROOT.glob("requirements*.txt"))
    return {file.name: [sys.executable, "-m", "pip_audit", *OPTIONS, "-r", str(file)] for file in files}


def main() -> int:
    """The exit status: 1 when something is found; with `--probe`, when nothing can be looked up."""
    if "--probe" in sys.argv:
        if can_look_up():
            return 0
        print(f"Not audited: {KNOWN} does not say which releases are vulnerable, from here.")
        return 1
    failed = []
    for name, command in commands().items():
        print(f"{name}:", flush=True)
        if subprocess.run(command, check=False).returncode:
            failed.append(name)
    print(f"Vulnerable, or not audited: {', '.join(failed)}." if failed else "No known vulnerabilities.")
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
