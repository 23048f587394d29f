"""nginx in front of several services, as a team runs them, on a port of loopback."""

import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

from tests.support.service import ending, free_port

PROGRAM = "nginx"
_CONFIG = """
daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/nginx.log; {user}
events {{ worker_connections 256; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/f;
  uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  client_max_body_size 256m;
  upstream fleet {{ {servers} }}
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass http://fleet;
      # A click may be asked twice: its answer depends on nothing but what it asks.
      proxy_next_upstream error timeout http_503 non_idempotent;
      proxy_read_timeout 120s;
    }}
  }}
}}
"""


@contextmanager
def balancing(folder: Path, urls: Sequence[str]) -> Iterator[str]:
    """The address of an nginx that deals requests out to these, while inside."""
    program = shutil.which(PROGRAM)
    if program is None:
        pytest.fail(f"{PROGRAM} is not installed (Debian: apt-get install nginx-light).")
    port = free_port()
    servers = " ".join(f"server {url.removeprefix('http://')} max_fails=1 fail_timeout=5s;" for url in urls)
    user = "user root;" if Path(folder).owner() == "root" else ""
    config = folder / "nginx.conf"
    config.write_text(_CONFIG.format(folder=folder, servers=servers, port=port, user=user))
    process = subprocess.Popen([program, "-p", str(folder), "-c", str(config)], stderr=subprocess.DEVNULL)
    with ending(process, 10):
        end = time.monotonic() + 20
        while time.monotonic() < end:
            try:
                requests.get(f"http://127.0.0.1:{port}/health", timeout=5)
            except requests.ConnectionError:
                time.sleep(0.05)
            else:
                yield f"http://127.0.0.1:{port}"
                return
        pytest.fail(f"{PROGRAM} did not start: {(folder / 'nginx.log').read_text()}")
