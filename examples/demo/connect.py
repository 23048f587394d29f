"""`python -m examples.demo.connect`: connects a running Label Studio and a running backend; for docker-compose.yml.

Makes the demo's project if it is not there, connects the backend to it, says where to click, and ends. All that it
needs comes by environment: LABEL_STUDIO_URL, LABEL_STUDIO_API_KEY (a legacy token), LABEL_STUDIO_USERNAME,
LABEL_STUDIO_HOST (the address for browsers), BACKEND_URL, BASIC_AUTH_USER and BASIC_AUTH_PASS.
"""

import os
import sys

import requests

from examples.demo import still_lifes
from examples.demo.label_studio import Credentials, LabelStudio, LabelStudioError, Login


def main() -> int:
    """Exit code 0 when a project is connected, else 1."""
    environment = os.environ
    login = Login(environment["LABEL_STUDIO_USERNAME"], "", environment["LABEL_STUDIO_API_KEY"])
    studio = LabelStudio(environment["LABEL_STUDIO_URL"], login)
    backend = environment["BACKEND_URL"]
    credentials = Credentials(environment["BASIC_AUTH_USER"], environment["BASIC_AUTH_PASS"])
    try:
        project = still_lifes.connected_project(studio, backend, credentials)
        password = "LABEL_STUDIO_PASSWORD in .env"  # noqa: S105 (where it is, not what it is)
        print(still_lifes.guide(studio, project, backend, password, environment["LABEL_STUDIO_HOST"]), flush=True)
    except (LabelStudioError, requests.RequestException) as error:
        print(f"Not connected: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
