"""A process that reads one device of an account again and again, as fast as the account's budget lets it."""

import asyncio
import sys

from m2m_pipeline.carriers.registry import CarrierRegistry
from m2m_pipeline.domain.accounts import Credential, ServiceProvider, VerifyMode
from m2m_pipeline.services.paced import CarrierDoor
from m2m_pipeline.storage import gate
from m2m_pipeline.storage.database import Database
from m2m_pipeline_tests.world import API_KEY, USERNAME, iccids


async def call(database_url: str, carrier_url: str, calls_per_second: float, in_flight: int) -> None:
    """Call until killed; says so when it begins."""
    provider = ServiceProvider(1, 1, "p", "POD19", carrier_url, calls_per_second, in_flight, VerifyMode.EACH, True)
    carrier = CarrierDoor(Database(database_url), CarrierRegistry()).open(provider, Credential(USERNAME, API_KEY))
    (iccid,) = iccids(1)

    async def read_for_ever() -> None:
        while True:
            await carrier.read_device(iccid)

    print("calling", flush=True)  # noqa: T201 -- what the test waits for
    await asyncio.gather(*(read_for_ever() for _ in range(in_flight)))


if __name__ == "__main__":
    gate.CALL_ENDS_SECONDS = float(sys.argv[5])
    asyncio.run(call(sys.argv[1], sys.argv[2], float(sys.argv[3]), int(sys.argv[4])))
