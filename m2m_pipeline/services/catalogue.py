"""What may be asked for: the tenant's service providers, their plans, and how each account stands."""

from collections.abc import Sequence
from dataclasses import dataclass

from m2m_pipeline.domain.accounts import ServiceProvider
from m2m_pipeline.services.standings import Standing, Standings
from m2m_pipeline.storage import accounts, plans
from m2m_pipeline.storage.database import Database


@dataclass(frozen=True, slots=True)
class Offer:
    """One service provider, what it offers, and how its account stands now."""

    provider: ServiceProvider
    rate_plans: Sequence[str]
    communication_plans: Sequence[str]
    standing: Standing


class Catalogue:
    """Reads, by tenant."""

    def __init__(self, database: Database, standings: Standings) -> None:
        self._database = database
        self._standings = standings

    def offers(self, tenant_name: str) -> Sequence[Offer]:
        """The tenant's service providers by name."""
        with self._database.begin() as tx:
            tenant = accounts.find_tenant(tx, tenant_name)
            found = [
                (one, plans.list_rate_plans(tx, one.id), plans.list_communication_plans(tx, one.id))
                for one in (accounts.list_providers(tx, tenant.id) if tenant else [])
            ]
        return [Offer(one, rate_plans, others, self._standings.of(one)) for one, rate_plans, others in found]
