"""The carrier's side of a measurement: an account, its plans, and any number of SIMs on the old one."""

from collections.abc import Sequence

from m2m_pipeline.simulator.documents import Account, Device, World

USERNAME, API_KEY = "bench", "bench-key"
OLD, NEW = "Plan Old", "Plan New"
COMMUNICATION_PLAN = "Comm"
UNTOLD_PLAN, OTHER_COMMUNICATION_PLAN = "Plan Untold", "Comm Other"
"""Plans of the carrier that AMOP is not told of, and that no SIM is on at first."""


def iccid(number: int) -> str:
    """The fleet's SIM of this number."""
    return f"898821616971{number:07}"


def iccids(first: int, count: int) -> Sequence[str]:
    """`count` SIMs of the fleet from number `first` on."""
    return [iccid(number) for number in range(first, first + count)]


def carrier_world(devices: int) -> World:
    """One account without limits of its own: what a caller allows itself is what is measured."""
    return World(
        accounts=(Account(username=USERNAME, api_key=API_KEY),),
        rate_plans=(OLD, NEW, UNTOLD_PLAN),
        communication_plans=(COMMUNICATION_PLAN, OTHER_COMMUNICATION_PLAN),
        devices=tuple(
            Device(iccid=one, rate_plan=OLD, communication_plan=COMMUNICATION_PLAN) for one in iccids(0, devices)
        ),
    )
