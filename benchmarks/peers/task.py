"""The task of all peers: one PUT a device, one outcome row a device."""

import base64
from collections.abc import Mapping

import aiohttp
import httpx
import psycopg
from httpx_aiohttp import AiohttpTransport
from pydantic import BaseModel

from benchmarks.fleet import API_KEY, NEW, USERNAME

IN_FLIGHT = 100
TIMEOUT_SECONDS = 30.0

TABLE = "CREATE TABLE outcome (iccid text PRIMARY KEY, http_status int NOT NULL, at timestamptz DEFAULT now())"
INSERT = "INSERT INTO outcome (iccid, http_status) VALUES (%s, %s)"


class Task(BaseModel):
    """Where to work, and on how many devices of the fleet. `database_url`: for libpq."""

    carrier_url: str
    database_url: str
    devices: int

    def make_table(self) -> None:
        """Make the table of the outcome rows."""
        with psycopg.connect(self.database_url, autocommit=True) as connection:
            connection.execute(TABLE)


def headers() -> Mapping[str, str]:
    """What every call carries."""
    token = base64.b64encode(f"{USERNAME}:{API_KEY}".encode()).decode()
    return {"Authorization": f"Basic {token}", "Content-Type": "application/json", "Accept": "application/json"}


def path(iccid: str) -> str:
    """Of a device."""
    return f"/rws/api/v1/devices/{iccid}"


BODY = f'{{"ratePlan":"{NEW}"}}'


def async_client(task: Task) -> httpx.AsyncClient:
    """The transport that the platform uses too: with it one process makes the most calls."""
    return httpx.AsyncClient(
        base_url=task.carrier_url,
        transport=AiohttpTransport(
            client=lambda: aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=IN_FLIGHT))
        ),
        headers=headers(),
        timeout=TIMEOUT_SECONDS,
        trust_env=False,
    )


async def put(client: httpx.AsyncClient, iccid: str) -> int:
    """Move one device; the HTTP status."""
    response = await client.put(path(iccid), content=BODY)
    return response.status_code
