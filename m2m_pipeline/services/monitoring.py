"""What those who run the service measure: read when they ask, since the processes that do the work come and go."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from m2m_pipeline.domain.alerts import AlertName
from m2m_pipeline.services.alerting import HEARTBEAT
from m2m_pipeline.services.standings import Standing, Standings
from m2m_pipeline.storage import accounts, alerts, gauges, heartbeats
from m2m_pipeline.storage.database import Database
from m2m_pipeline.storage.gauges import Counted, LeaseGauge, QueueGauge


@dataclass(frozen=True, slots=True)
class AccountGauge:
    """How one provider's account stands."""

    tenant: str
    provider: str
    writes_enabled: bool
    calls: int  # that its bulk changes and passes on record have made
    standing: Standing


@dataclass(frozen=True, slots=True)
class Measured:
    """All numbers of one moment. `quiet_seconds`: since the watcher's last tick; None where it never ticked."""

    queue: QueueGauge
    leases: LeaseGauge
    bulk_changes: Sequence[Counted]
    open_devices: Sequence[Counted]
    ended_devices: Sequence[Counted]
    accounts: Sequence[AccountGauge]
    quiet_seconds: float | None
    open_alerts: Mapping[AlertName, int]


class Monitoring:
    """Reads, over all tenants."""

    def __init__(self, database: Database, standings: Standings) -> None:
        self._database = database
        self._standings = standings

    def measure(self) -> Measured:
        """The numbers now.

        Raises:
            DatabaseUnavailableError: there are none.

        """
        with self._database.begin() as tx:
            providers = accounts.list_all_providers(tx)
            measured = (gauges.queue(tx), gauges.leases(tx), gauges.bulk_changes(tx))
            calls = gauges.carrier_calls(tx)
            devices = (gauges.open_devices(tx), gauges.ended_devices(tx))
            quiet, opened = heartbeats.quiet_seconds(tx, HEARTBEAT), Counter(one.name for one in alerts.list_open(tx))
        standings = [
            AccountGauge(tenant, one.name, one.writes_enabled, calls.get(one.id, 0), self._standings.of(one))
            for tenant, one in providers
        ]
        return Measured(*measured, *devices, standings, quiet, {name: opened[name] for name in AlertName})
