"""What a bulk change has left behind: in our rows, in AMOP, in the audit log, and in the carrier's own ledger."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Self

import psycopg
from psycopg.rows import class_row, tuple_row

from m2m_pipeline.services.audit.signing import Signatures
from m2m_pipeline.services.audit.verifying import Verified
from m2m_pipeline.services.auditing import Auditing
from m2m_pipeline.simulator.client import SimulatorControl
from m2m_pipeline.simulator.documents import DeviceView, LedgerCall, LedgerChange, LedgerSummary
from m2m_pipeline.storage.database import Database


@dataclass(frozen=True, slots=True)
class DeviceRow:
    """A row of device_change."""

    id: int
    tenant_id: int
    row_number: int
    iccid: str
    status: str
    reason: str | None
    message: str | None
    carrier_code: str | None
    attempts: int
    retry: int
    old_rate_plan: str | None
    old_communication_plan: str | None
    rate_plan: str
    communication_plan: str | None
    sent_at: datetime | None
    ended_at: datetime | None


@dataclass(frozen=True, slots=True)
class AuditRow:
    """A row of audit_entry."""

    id: int
    tenant_id: int
    kind: str
    actor: str
    outcome: str
    reason: str | None
    message: str | None
    device_change_id: int | None
    retry: int
    iccid: str | None
    old_rate_plan: str | None
    new_rate_plan: str | None
    is_sealed: bool


@dataclass(frozen=True, slots=True)
class BulkRow:
    """A row of bulk_change, as far as the invariants ask for it."""

    tenant_id: int
    status: str
    reason: str | None
    carrier_calls: int
    calls_per_second: float
    in_flight: int
    username: str | None
    result: dict[str, object] | None


@dataclass(frozen=True, slots=True)
class Evidence:
    """Everything that the invariants look at."""

    bulk: BulkRow
    rows: Sequence[DeviceRow]
    audit: Sequence[AuditRow]
    chains: Sequence[Verified]
    moves: Sequence[tuple[str, str, str]]  # table, from, to
    amop: Mapping[str, tuple[str | None, str | None]]
    carrier: Mapping[str, DeviceView]
    calls: Sequence[LedgerCall]
    changes: Sequence[LedgerChange]
    summary: LedgerSummary

    def row(self, iccid: str) -> DeviceRow:
        """The first row of a device."""
        return next(row for row in self.rows if row.iccid == iccid)

    def statuses(self) -> dict[str, str]:
        """ICCID → status."""
        return {row.iccid: row.status for row in self.rows}

    def puts(self, iccid: str | None = None) -> list[LedgerCall]:
        """The change calls in the ledger (of one device)."""
        return [call for call in self.calls if call.method == "PUT" and iccid in {None, call.iccid}]

    def reads(self, iccid: str) -> list[LedgerCall]:
        """The calls that read one device alone."""
        return [call for call in self.calls if call.method == "GET" and call.iccid == iccid]

    def entries(self, iccid: str) -> list[AuditRow]:
        """The audit entries of one device, oldest first."""
        return [entry for entry in self.audit if entry.iccid == iccid]

    def of_account(self, username: str, iccids: Sequence[str]) -> Self:
        """The same with the ledger reduced to one account and its devices."""
        own = set(iccids)
        return replace(
            self,
            calls=[call for call in self.calls if call.account == username],
            changes=[change for change in self.changes if change.iccid in own],
            summary=self.summary.model_copy(
                update={
                    "max_calls_in_a_second": _only(self.summary.max_calls_in_a_second, username),
                    "max_in_flight": _only(self.summary.max_in_flight, username),
                }
            ),
        )


_WATCH = """
CREATE TABLE IF NOT EXISTS public.moves (
    n bigint GENERATED ALWAYS AS IDENTITY, kind text, row_id bigint, before text, after text);
CREATE OR REPLACE FUNCTION public.note_move() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    INSERT INTO public.moves (kind, row_id, before, after) VALUES (TG_TABLE_NAME, NEW.id, OLD.status, NEW.status);
    RETURN NULL;
END $$;
CREATE OR REPLACE TRIGGER note_move AFTER UPDATE ON m2m.device_change FOR EACH ROW
    WHEN (OLD.status IS DISTINCT FROM NEW.status) EXECUTE FUNCTION public.note_move();
CREATE OR REPLACE TRIGGER note_move AFTER UPDATE ON m2m.bulk_change FOR EACH ROW
    WHEN (OLD.status IS DISTINCT FROM NEW.status) EXECUTE FUNCTION public.note_move();
"""


def watch_moves(database_url: str) -> None:
    """From now on, note every change of a status, whoever makes it."""
    with _connect(database_url) as connection:
        connection.execute(_WATCH)


def collect(database_url: str, control: SimulatorControl, bulk_change_id: int) -> Evidence:
    """The evidence as it is now."""
    given = {"id": bulk_change_id}
    chains = _verified(database_url)
    with _connect(database_url) as connection:
        bulk = connection.cursor(row_factory=class_row(BulkRow)).execute(
            """
            SELECT b.tenant_id, b.status, b.reason, b.carrier_calls, p.calls_per_second::float8 AS calls_per_second,
            p.in_flight, k.username, b.result
            FROM m2m.bulk_change b JOIN m2m.service_provider p ON p.id = b.service_provider_id
            LEFT JOIN m2m.carrier_credential k ON k.service_provider_id = p.id WHERE b.id = %(id)s
            """,
            given,
        )
        rows = connection.cursor(row_factory=class_row(DeviceRow)).execute(
            """
            SELECT id, tenant_id, row_number, iccid, status, reason, message, carrier_code, attempts, retry,
            old_rate_plan, old_communication_plan, rate_plan, communication_plan, sent_at, ended_at
            FROM m2m.device_change WHERE bulk_change_id = %(id)s ORDER BY row_number
            """,
            given,
        )
        audit = connection.cursor(row_factory=class_row(AuditRow)).execute(
            """
            SELECT id, tenant_id, kind, actor, outcome, reason, message, device_change_id, retry, iccid,
            old_rate_plan, new_rate_plan, EXISTS (SELECT 1 FROM m2m.audit_link WHERE entry_id = a.id) AS is_sealed
            FROM m2m.audit_entry a WHERE bulk_change_id = %(id)s ORDER BY id
            """,
            given,
        )
        amop = connection.cursor(row_factory=tuple_row).execute(
            """
            SELECT d.iccid, d.rate_plan, d.communication_plan FROM m2m.device d
            JOIN m2m.bulk_change b ON b.service_provider_id = d.service_provider_id WHERE b.id = %(id)s
            """,
            given,
        )
        moves = connection.cursor(row_factory=tuple_row).execute(
            """
            SELECT kind, before, after FROM public.moves m WHERE (kind = 'bulk_change' AND row_id = %(id)s)
            OR row_id IN (SELECT id FROM m2m.device_change WHERE bulk_change_id = %(id)s) ORDER BY n
            """,
            given,
        )
        found = bulk.fetchone()
        assert found is not None
        return Evidence(
            bulk=found,
            rows=rows.fetchall(),
            audit=audit.fetchall(),
            chains=chains,
            moves=[(kind, before, after) for kind, before, after in moves],
            amop={iccid: (rate_plan, communication_plan) for iccid, rate_plan, communication_plan in amop},
            carrier={device.iccid: device for device in control.devices()},
            calls=control.calls(),
            changes=control.changes(),
            summary=control.summary(),
        )


def _verified(database_url: str) -> Sequence[Verified]:
    """The audit log of each tenant, sealed and held against its chain."""
    database = Database(database_url)
    try:
        return list(Auditing(database, None, Signatures("", ())).verify())
    finally:
        database.dispose()


def _only(numbers: Mapping[str, int], name: str) -> dict[str, int]:
    return {name: numbers[name]} if name in numbers else {}


def _connect(database_url: str) -> psycopg.Connection:
    return psycopg.connect(database_url.replace("+psycopg", ""), autocommit=True)
