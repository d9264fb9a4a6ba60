"""Free TCP ports on the loopback interface."""

import random
import socket
from pathlib import Path

from m2m_pipeline.local.errors import LocalServiceError

LOOPBACK = "127.0.0.1"
_LOWEST = 15_000
_ATTEMPTS = 200


def free_port(owner: str | None = None) -> int:
    """Return a port that nobody listens on now, chosen at random; for the same `owner` the same one where it is free.

    Below the kernel's range of ephemeral ports: a service keeps its port while it is down, and there no outgoing
    connection (not even one to the port itself, which TCP allows) can take it. Another process may still be quicker.
    Raises LocalServiceError when none of 200 ports is free.
    """
    end = _first_ephemeral_port()
    choice = random.Random(owner)  # noqa: S311 - no secret; a name as the seed makes the choice repeatable
    for _ in range(_ATTEMPTS):
        port = choice.randrange(_LOWEST, end)
        if _is_free(port):
            return port
    message = f"ports: {_ATTEMPTS} ports between {_LOWEST} and {end} tried, none is free: end what listens there"
    raise LocalServiceError(message)


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        # Servers set it too: a connection in TIME_WAIT does not make a port unusable.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
        return True


def _first_ephemeral_port() -> int:
    try:
        first = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text(encoding="ascii").split()[0])
    except OSError:
        first = 0
    return first if first > _LOWEST + _ATTEMPTS else 32_768
