"""A Ray cluster: the way in, and whether its nodes can do the work."""

import logging
import platform
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sam_backend import __version__
from sam_backend.errors import JobError, SamBackendError
from sam_backend.prelabel.types import Order

INSTALL = "pip install --no-deps -r requirements-ray.txt"
LOCAL = "local"
AUTO = "auto"

_LOOPBACK = {"localhost", "127.0.0.1", "[::1]"}
"""Ray takes these for the machine's address in its network."""
_PATIENCE = 120.0
"""Seconds for a node to start a process and to read the model folder."""


@dataclass(frozen=True, slots=True)
class Node:
    """One machine of the cluster, or what counts as one.

    Attributes:
        node_id: Ray's name of it.
        address: its IP address.
        cpus: how many CPUs it gives to the cluster.
    """

    node_id: str
    address: str
    cpus: int


@contextmanager
def connected(address: str) -> Iterator[None]:
    """Be a driver of the cluster: `local` starts one that ends with this, `auto` is the one that runs on this machine.

    Raises:
        JobError: Ray is not installed, the address is none, or nothing answers there.
    """
    ray = _import()
    _check_address(ray, address)
    _keep_quiet()
    try:
        with _own_signals():
            _join(ray, address)
        yield
    finally:
        ray.shutdown()


def nodes() -> list[Node]:
    """The cluster's living nodes that give CPUs."""
    ray = _import()
    found = [
        Node(node["NodeID"], node["NodeManagerAddress"], int(node["Resources"].get("CPU", 0)))
        for node in ray.nodes()
        if node["Alive"]
    ]
    return [node for node in found if node.cpus]


def check(order: Order, found: list[Node]) -> None:
    """Ask each node what it would label with: a difference must show before the first image, not after the last.

    Raises:
        StartError: there is no node, a node lacks the package or the model, or has another version of either.
    """
    if not found:
        raise JobError("The Ray cluster has no CPUs.", "Add nodes (ray start --address ...).")
    here = kit(order)
    for node, answer in zip(found, _ask(order, found), strict=True):
        if isinstance(answer, str):
            raise JobError(f"Node {node.address} cannot label: {answer}", "Each node needs sam-backend and the model.")
        for name, ours in here.items():
            if answer[name] != ours:
                raise JobError(
                    f"Node {node.address} has {name} {answer[name]}, and this machine {ours}.",
                    "Install the same on both: else the answers would differ.",
                )


def kit(order: Order) -> dict[str, str]:
    """All that must be equal on all machines, by name.

    Raises:
        StartError: the model folder cannot be used here.
    """
    from sam_backend.prelabel.worker import Worker

    return {"Python": _python(), "sam-backend": __version__, "the model": Worker(order).version}


def _python() -> str:
    return ".".join(platform.python_version_tuple()[:2])


def _ask(order: Order, found: list[Node]) -> list[dict[str, str] | str]:
    """Each node's kit, or in one line why it has none."""
    ray = _import()
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    task = ray.remote(num_cpus=0, max_retries=0)(_kit_or_reason)
    asked = [
        task.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node.node_id, soft=False)).remote(order)
        for node in found
    ]
    ray.wait(asked, num_returns=len(asked), timeout=_PATIENCE)
    return [_answer(ray, one) for one in asked]


def _kit_or_reason(order: Order) -> dict[str, str] | str:
    try:
        return kit(order)
    except SamBackendError as error:
        return " ".join(str(error).split())


def _answer(ray: Any, asked: Any) -> dict[str, str] | str:
    try:
        answer: dict[str, str] | str = ray.get(asked, timeout=0)
    except ray.exceptions.GetTimeoutError:
        return f"it did not answer within {_PATIENCE:.0f} s."
    except ray.exceptions.RayError as error:
        return f"{str(error).strip().splitlines()[-1]}."
    return answer


# ----------------------------------------------------------------------------------------------------- the way in


def _import() -> Any:
    try:
        import ray
        import ray.data  # what `ray` alone lacks: pyarrow and its like
    except ImportError as error:
        raise JobError(f"--ray needs Ray, and {error.name} is not installed.", INSTALL) from None
    return ray


def _check_address(ray: Any, address: str) -> None:
    """Say at once what Ray finds out after half a minute.

    Raises:
        JobError: the address is none, or nothing listens there.
    """
    if address in {AUTO, LOCAL}:
        return
    if address.startswith("ray://"):
        raise JobError("--ray takes no ray:// address.", "Run this on a node of the cluster, with --ray auto.")
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal():
        raise JobError(f"--ray {address} is none of local, auto and HOST:PORT.", "HOST:6379 is the head node's.")
    host = ray.util.get_node_ip_address() if host in _LOOPBACK else host.strip("[]")
    try:
        socket.create_connection((host, int(port)), timeout=5).close()
    except (OSError, OverflowError) as error:
        raise JobError(
            f"Nothing answers at {host}:{port}: {error}.", "Is the head node up, and the port right?"
        ) from None


def _join(ray: Any, address: str) -> None:
    """Usage statistics: those of a cluster are its owner's business; one that `ray.init` starts has none."""
    options = {"include_dashboard": False} if address == LOCAL else {}
    try:
        ray.init(address, log_to_driver=False, logging_level=logging.ERROR, **options)
    except (ConnectionError, OSError, RuntimeError, ValueError) as error:
        raise JobError(f"The Ray cluster {address} cannot be used: {' '.join(str(error).split())}", "") from None


def _keep_quiet() -> None:
    """Ray Data tells the console of each dataset, and of each item that it tries again; a file has it all."""
    log = logging.getLogger("ray.data")
    for handler in [handler for handler in log.handlers if handler.name == "console"]:
        log.removeHandler(handler)


@contextmanager
def _own_signals() -> Iterator[None]:
    """Ray takes SIGTERM for itself."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
