"""Who lives the history: the tenants, their providers, and the carrier accounts behind them; and how much of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pydantic import BaseModel

from m2m_pipeline.bootstrap import Application
from m2m_pipeline.domain.accounts import DriftPolicy, ServiceProvider
from m2m_pipeline.domain.carrier import DeviceReading
from m2m_pipeline.services.accounts import ProviderSettings
from m2m_pipeline.simulator.documents import Account, Device, World

API_KEY = "history-key"
PLANS = ("Plan A", "Plan B", "Plan C")
COMMUNICATION_PLAN = "Comm"
DEVICES, LOST = 400, 8
"""SIMs of a provider at the carrier, and such that only AMOP has: a change of one is refused."""


@dataclass(frozen=True, slots=True)
class Member:
    """A service provider of a tenant; its user at the carrier has its name."""

    tenant: str
    name: str
    prefix: str

    @property
    def devices(self) -> Sequence[str]:
        """Its SIMs at the carrier."""
        return [f"{self.prefix}{number:08}" for number in range(DEVICES)]

    @property
    def lost(self) -> Sequence[str]:
        """ICCIDs that the carrier does not know."""
        return [f"{self.prefix}{number:08}" for number in range(DEVICES, DEVICES + LOST)]


MEMBERS = (
    Member("north", "north-a", "89882161690"),
    Member("north", "north-b", "89882161691"),
    Member("south", "south-a", "89882161692"),
)


class Plan(BaseModel):
    """How much happens: `changes` in `days` parts, each begun by a pass; `runs` of them by the real Dagster job."""

    carrier_url: str
    days: int
    changes: int
    runs: int


class Often(BaseModel):
    """What the daemon does in so many `days`: one in `share` of the times; in `asked` of them a change was found."""

    days: int
    share: int
    asked: int


def carrier_world() -> World:
    """An account for each provider."""
    return World(
        accounts=tuple(
            Account(username=one.name, api_key=API_KEY, account_id=str(100 + number))
            for number, one in enumerate(MEMBERS)
        ),
        rate_plans=PLANS,
        communication_plans=(COMMUNICATION_PLAN,),
        devices=tuple(
            Device(iccid=iccid, rate_plan=PLANS[0], communication_plan=COMMUNICATION_PLAN, account=one.name)
            for one in MEMBERS
            for iccid in one.devices
        ),
    )


def establish(services: Application, carrier_url: str) -> Mapping[Member, ServiceProvider]:
    """Configure the providers, load their plans and devices; AMOP follows what drifts."""
    return {one: _establish(services, carrier_url, one) for one in MEMBERS}


def _establish(services: Application, carrier_url: str, member: Member) -> ServiceProvider:
    settings = ProviderSettings(
        integration_type="POD19",
        base_url=carrier_url,
        username=member.name,
        api_key=API_KEY,
        calls_per_second=10_000.0,
        in_flight=50,
        writes_enabled=True,
        drift=DriftPolicy.FOLLOW,
    )
    provider = services.accounts.configure(member.tenant, member.name, settings, actor="bench")
    services.accounts.import_plans(provider, PLANS, [COMMUNICATION_PLAN])
    devices = [*member.devices, *member.lost]
    services.accounts.import_devices(provider, [DeviceReading(one, PLANS[0], COMMUNICATION_PLAN) for one in devices])
    return provider
