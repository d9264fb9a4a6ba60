"""The front door as clients meet it: a real server on a socket, keys of two tenants, and the world behind it."""

import socket
import ssl
import threading
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

import httpx
import uvicorn

from m2m_pipeline.domain.permissions import Role
from m2m_pipeline.web.application import build_app
from m2m_pipeline.web.malformed import ProblemProtocol
from m2m_pipeline_tests.world import NEW, PROVIDER, TENANT, World

RIVAL = "rival"

_UNUSED = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""Doors speak HTTP; without it, each client would read the certificates of all authorities."""


@dataclass(frozen=True)
class Door:
    """Clients of one running front door."""

    world: World
    url: str
    keys: Mapping[tuple[str, Role], str]
    clients: dict[str, httpx.Client] = field(default_factory=dict[str, httpx.Client])

    def as_(self, role: Role = Role.OPERATOR, tenant: str = TENANT) -> httpx.Client:
        """A client with a key of that role."""
        return self.with_token(self.keys[tenant, role])

    def with_token(self, token: str | None) -> httpx.Client:
        """A client with that bearer token, or without one."""
        name = token or ""
        if name not in self.clients:
            headers = {"Authorization": f"Bearer {token}"} if token else {}
            self.clients[name] = httpx.Client(
                base_url=self.url, headers=headers, timeout=30, trust_env=False, verify=_UNUSED
            )
        return self.clients[name]

    def request(self, **fields: object) -> dict[str, object]:
        """A request to move the world's devices to NEW."""
        return {"provider": PROVIDER, "rate_plan": NEW, "devices": list(self.world.iccids), **fields}


@contextmanager
def open_door(world: World, *, port: int = 0, **changed: object) -> Generator[Door]:
    """Serve the world at any free port, or that one; `changed` are settings."""
    settings = world.settings().model_copy(update=changed)
    identity = world.services.identity
    keys = {
        (tenant, role): identity.create_key(tenant, role.value, role, "test").secret
        for tenant in (TENANT, RIVAL)
        for role in Role
    }
    listener = socket.create_server(("127.0.0.1", port))
    app = build_app(world.services, settings)
    config = uvicorn.Config(app, http=ProblemProtocol, log_level="critical", timeout_graceful_shutdown=2)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.01)
    door = Door(world, f"http://127.0.0.1:{listener.getsockname()[1]}", keys)
    try:
        yield door
    finally:
        for client in door.clients.values():
            client.close()
        server.should_exit = True
        thread.join(10)
        listener.close()
