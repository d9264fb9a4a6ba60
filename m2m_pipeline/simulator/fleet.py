"""A world without a world file: a built-in account, its plans, and any number of generated devices."""

import random
from collections.abc import Iterator
from itertools import islice

from m2m_pipeline.simulator.documents import Account, Device, Limits, World

USERNAME = "simulator"
API_KEY = "simulator-key"
RATE_PLANS = ("M2M 1MB Pooled", "M2M 5MB Pooled", "M2M 20MB Pooled", "M2M 100MB Pooled")
COMMUNICATION_PLANS = ("CP_Basic_ON", "CP_Data_SMS")

_PREFIX = "8988"
"""89 = telecommunications, 88 = international networks (ITU-T E.118); Cisco's own sample device begins so."""
_SERIAL_DIGITS = 10


def built_in_world(limits: Limits) -> World:
    """One account that may do everything, four rate plans, two communication plans, no devices."""
    account = Account(username=USERNAME, api_key=API_KEY, limits=limits)
    return World(accounts=(account,), rate_plans=RATE_PLANS, communication_plans=COMMUNICATION_PLANS)


def with_generated_devices(world: World, count: int, seed: int) -> World:
    """The world and `count` more devices: the same for the same seed, spread over its plans and accounts."""
    present = {device.iccid for device in world.devices}
    fleet = (device for device in _devices(world, seed) if device.iccid not in present)
    return world.model_copy(update={"devices": (*world.devices, *islice(fleet, count))})


def _devices(world: World, seed: int) -> Iterator[Device]:
    rng = random.Random(seed)  # noqa: S311 -- a reproducible fleet, not a secret
    usernames = [account.username for account in world.accounts]
    for serial in range(10**_SERIAL_DIGITS):
        # One length per issuer in practice: here one issuer has ICCIDs of 19 digits, the other of 20.
        issuer = rng.choice(("2161", "30012"))
        body = f"{_PREFIX}{issuer}{serial:0{_SERIAL_DIGITS}d}"
        yield Device(
            iccid=body + luhn_digit(body),
            rate_plan=rng.choice(world.rate_plans),
            communication_plan=rng.choice(world.communication_plans),
            account=rng.choice(usernames),
        )


def luhn_digit(body: str) -> str:
    """The check digit that ISO/IEC 7812 appends to these digits."""
    doubled = (2 * int(digit) for digit in body[-1::-2])
    kept = sum(int(digit) for digit in body[-2::-2])
    return str(-(kept + sum(value // 10 + value % 10 for value in doubled)) % 10)
