"""The process: a uvicorn server that says when it listens and ends in order when it is told to."""

import asyncio
import contextlib
import gc
import json
import signal
import socket
import sys
from collections.abc import Generator
from typing import cast

import uvicorn

from m2m_pipeline.simulator.application import Application
from m2m_pipeline.simulator.connections import Connections
from m2m_pipeline.simulator.documents import Latency, Limits, World
from m2m_pipeline.simulator.fleet import built_in_world, with_generated_devices
from m2m_pipeline.simulator.settings import SimulatorSettings
from m2m_pipeline.simulator.simulation import Simulation

_GRACE_S = 0.5
"""How long open calls may go on after the signal; then their connections are cut."""
_IDLE_S = 75
"""How long an idle connection is kept open, so that pooled clients don't meet a close of ours by chance."""


def run(settings: SimulatorSettings) -> None:
    """Build the world, listen, announce the address on stdout, serve until SIGINT or SIGTERM."""
    # A full collection walks through every device and every call of the ledger: for 0.1 s nobody is answered, and calls
    # that came evenly would be recorded as a crowd. What the ledger keeps is young once: it is walked in small parts.
    gc.set_threshold(200, 5, 1_000_000)
    low_ms, high_ms = settings.latency_ms
    simulation = Simulation(_world(settings), Latency(low_ms=low_ms, high_ms=high_ms), settings.seed)
    connections = Connections()
    config = uvicorn.Config(
        Application(simulation, connections),
        host=settings.host,
        port=settings.port,
        http=connections.protocol(),
        ws="none",
        lifespan="off",
        access_log=False,
        log_level="error",
        proxy_headers=False,
        server_header=False,
        date_header=False,
        timeout_keep_alive=_IDLE_S,
        timeout_graceful_shutdown=2,
    )
    _Server(config, connections).run()


def _world(settings: SimulatorSettings) -> World:
    if settings.world is None:
        limits = Limits(calls_per_second=settings.calls_per_second, in_flight=settings.in_flight)
        world = built_in_world(limits)
    else:
        world = World.model_validate_json(settings.world.read_bytes())
    return with_generated_devices(world, settings.devices, settings.seed)


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, connections: Connections) -> None:
        super().__init__(config)
        self._connections = connections

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        host, port = cast("tuple[str, int]", self.servers[0].sockets[0].getsockname()[:2])
        sys.stdout.write(json.dumps({"simulator_url": f"http://{host}:{port}"}) + "\n")
        sys.stdout.flush()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        cut = asyncio.get_running_loop().call_later(_GRACE_S, self._connections.abort_all)
        await super().shutdown(sockets)
        cut.cancel()

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        """Unlike uvicorn's own, don't raise the signal again at the end: being told to stop is no failure."""
        handlers = {name: signal.signal(name, self.handle_exit) for name in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for name, handler in handlers.items():
                signal.signal(name, handler)
