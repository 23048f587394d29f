"""What holds for every test: no network but loopback, and no haste on a slow machine."""

import errno
import importlib.util
import ipaddress
import os
import socket
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest


def pytest_configure(config: pytest.Config) -> None:
    """Give Hypothesis time, and no luck in CI. The browser's tests run where it is not installed."""
    if config.pluginmanager.has_plugin("hypothesispytest"):
        import hypothesis

        hypothesis.settings.register_profile("sam-backend", deadline=None, derandomize="CI" in os.environ)
        hypothesis.settings.load_profile("sam-backend")


def _is_here(host: object) -> bool:
    """Whether a name or an address is this machine's own; an empty one stands for all its interfaces."""
    name = host.decode() if isinstance(host, bytes) else str(host or "")
    if name in {"", "localhost"}:
        return True
    try:
        address = ipaddress.ip_address(name.partition("%")[0])
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified


def _is_number(host: object) -> bool:
    """Whether it is an address of any spelling, for which no resolver is asked."""
    try:
        socket.inet_aton(str(host))
    except (OSError, UnicodeError):
        return ":" in str(host)
    return True


def _stay_here(event: str, arguments: tuple[Any, ...]) -> None:
    """Answer as a machine without a network does, so that a test can neither depend on one nor disturb it."""
    if event == "socket.getaddrinfo" and not (_is_here(arguments[0]) or _is_number(arguments[0])):
        raise socket.gaierror(socket.EAI_NONAME, f"tests resolve no name but localhost, not {arguments[0]!r}")
    if event in {"socket.connect", "socket.sendto"}:
        sock, address = arguments
        if sock.family in {socket.AF_INET, socket.AF_INET6} and not _is_here(address[0]):
            raise OSError(errno.ENETUNREACH, f"tests reach no address but loopback, not {address[0]}")


sys.addaudithook(_stay_here)


@pytest.fixture(autouse=True)
def _f32(monkeypatch: pytest.MonkeyPatch) -> None:
    """The numbers that tests compare are those of f32, whatever this CPU is best at; a test may name another one."""
    if importlib.util.find_spec("sam_backend"):
        monkeypatch.setattr("sam_backend.served_model.best_precision", lambda _: "f32")


@pytest.fixture(scope="session")
def vit_b_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of models that holds `vit_b` with the weights of seed 0, in f32; made once, it takes a while."""
    from model_export import pipeline
    from model_export.weights import Weights

    models: Path = tmp_path_factory.mktemp("models")
    order = pipeline.Order("vit_b", Weights(seed=0), "vit_b", models / "vit_b", compare=False)
    pipeline.export(order, lambda _: nullcontext())
    return models
