"""A tenant with a past: bulk changes that have ended, planted into the tables past the front door."""

from dataclasses import dataclass

import psycopg

from benchmarks.fleet import COMMUNICATION_PLAN, NEW, OLD
from benchmarks.sql import plain
from m2m_pipeline.domain.accounts import ServiceProvider


@dataclass(frozen=True, slots=True)
class Past:
    """So many bulk changes of so many devices each, over a fleet of which each takes the next part in turn.

    In each change the carrier refused one device in twenty, for two reasons.
    """

    fleet: int
    changes: int
    devices_each: int

    @property
    def rows(self) -> int:
        """Device changes in all."""
        return self.changes * self.devices_each


_CHANGES = """
INSERT INTO m2m.bulk_change (tenant_id, service_provider_id, status, rate_plan, batch_size, requested_by, request,
    request_digest, attempt, queued_at, started_at, finished_at, created_at, result)
SELECT %(tenant)s, %(provider)s, 'PARTIAL', %(new)s, 100, 'bench', jsonb_build_object('process_changes', true,
    'device_count', %(each)s::bigint), '', 1, t.at, t.at, t.at, t.at,
    jsonb_build_object('counts', jsonb_build_object('PROCESSED', %(each)s::bigint - %(each)s::bigint / 20,
        'REFUSED', %(each)s::bigint / 20))
FROM generate_series(1, %(changes)s) n, LATERAL (SELECT now() - (%(changes)s - n) * interval '1 hour' AS at) t
"""
_DEVICES = """
INSERT INTO m2m.device_change (tenant_id, service_provider_id, bulk_change_id, row_number, iccid, device_id, status,
    old_rate_plan, old_communication_plan, rate_plan, batch, attempts, reason, message, http_status, sent_at,
    verified_at, ended_at)
SELECT %(tenant)s, %(provider)s, b.id, n, d.iccid, d.id, CASE WHEN n %% 20 = 0 THEN 'REFUSED' ELSE 'PROCESSED' END,
    %(old)s, %(communication)s, %(new)s, 1 + n / 100, 1,
    CASE WHEN n %% 40 = 0 THEN 'CARRIER_REFUSED' WHEN n %% 20 = 0 THEN 'CARRIER_DEVICE_UNKNOWN' END,
    CASE WHEN n %% 20 = 0 THEN 'The carrier refused the change of this device.' END,
    CASE WHEN n %% 20 = 0 THEN 400 ELSE 200 END, b.started_at, b.started_at, b.finished_at
FROM (SELECT id, started_at, finished_at, row_number() OVER (ORDER BY id) - 1 AS place FROM m2m.bulk_change
    WHERE tenant_id = %(tenant)s) b
CROSS JOIN generate_series(1, %(each)s) n
JOIN (SELECT id, iccid, row_number() OVER (ORDER BY iccid) - 1 AS place FROM m2m.device
    WHERE service_provider_id = %(provider)s) d ON d.place = (b.place * %(each)s + n) %% %(fleet)s
"""


def plant(database_url: str, provider: ServiceProvider, past: Past) -> None:
    """Write the past of a provider whose inventory holds the fleet."""
    values = {
        "tenant": provider.tenant_id,
        "provider": provider.id,
        "old": OLD,
        "new": NEW,
        "communication": COMMUNICATION_PLAN,
        "fleet": past.fleet,
        "changes": past.changes,
        "each": past.devices_each,
    }
    with psycopg.connect(plain(database_url), autocommit=True) as connection:
        # The keys hold by construction, and looking each of them up would take longer than the measurement.
        connection.execute("SET session_replication_role = replica")
        connection.execute(_CHANGES, values)
        connection.execute(_DEVICES, values)
        connection.execute("VACUUM ANALYZE")
